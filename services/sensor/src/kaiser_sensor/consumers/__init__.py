"""Takes messages from the bus, one file per consumer."""
