"""Automation rules across devices."""
