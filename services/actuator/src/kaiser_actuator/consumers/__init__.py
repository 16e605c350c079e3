"""Messages in: what devices say about their actuators."""
