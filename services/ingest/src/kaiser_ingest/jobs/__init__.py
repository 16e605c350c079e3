"""Jobs that are started by a timer or by the lease, one file per job."""
