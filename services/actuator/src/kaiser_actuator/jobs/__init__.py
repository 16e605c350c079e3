"""Jobs of actuator that are started by a timer."""
