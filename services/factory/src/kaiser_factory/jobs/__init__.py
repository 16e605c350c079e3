"""Jobs that are started by time, one module per job."""
