"""What time starts: one module a job."""
