"""Decisions: pure, time is an argument."""
