"""Jobs of the gateway that are started by a timer."""
