"""Alarms: what is wrong now, who knows of it, and what was wrong before."""
