"""Takes messages: those of the broker, and those of the bus for the broker."""
