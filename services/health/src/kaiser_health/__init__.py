"""The life of a device, from first contact to retirement."""
