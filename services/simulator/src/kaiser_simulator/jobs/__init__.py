"""Jobs of the simulator that are started by time."""
