"""What time starts, one file a job."""
