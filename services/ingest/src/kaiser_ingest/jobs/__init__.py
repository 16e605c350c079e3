"""What time or the lease starts, one file a job."""
