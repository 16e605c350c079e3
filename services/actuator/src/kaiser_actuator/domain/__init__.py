"""Decisions about commands and stops, pure: time is an argument, nothing waits."""
