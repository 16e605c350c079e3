"""Jobs of health that are started by a timer."""
