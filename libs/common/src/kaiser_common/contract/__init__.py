"""What services, devices and frontends agree on: pure, without I/O."""
