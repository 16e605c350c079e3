"""Takes messages of the bus, one file a consumer."""
