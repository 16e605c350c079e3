"""Jobs of the gateway that are started by time."""
