"""Messages in: events from which conditions are read."""
