"""The runtime of a service: settings, start and stop, loops, the database, traces."""
