"""Migrations of the schema `logic`."""
