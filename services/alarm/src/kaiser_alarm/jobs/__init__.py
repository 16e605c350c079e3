"""What time starts in alarm, and what only the holder of the lease runs."""
