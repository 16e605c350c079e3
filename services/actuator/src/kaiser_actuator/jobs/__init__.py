"""Jobs of actuator that are started by time."""
