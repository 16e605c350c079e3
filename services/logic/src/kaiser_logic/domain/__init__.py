"""Rules, pure: time is an argument, nothing waits."""
