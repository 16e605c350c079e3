"""Requests in: alarms and limits."""
