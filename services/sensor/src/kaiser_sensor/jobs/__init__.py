"""Jobs that are started by time, one file per job."""
