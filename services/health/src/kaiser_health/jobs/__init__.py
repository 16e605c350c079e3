"""Jobs of health that are started by time."""
