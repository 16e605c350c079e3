"""Jobs that are started by time or by the lease, one file per job."""
