"""Decisions of health, pure: time is an argument, nothing waits on a socket."""
