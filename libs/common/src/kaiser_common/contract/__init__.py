"""The contract between services, devices and frontends: pure, without I/O."""
