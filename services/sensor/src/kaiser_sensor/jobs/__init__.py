"""Jobs that are started by a timer, one file per job."""
