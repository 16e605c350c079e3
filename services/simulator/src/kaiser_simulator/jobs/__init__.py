"""Jobs of the simulator that are started by a timer."""
