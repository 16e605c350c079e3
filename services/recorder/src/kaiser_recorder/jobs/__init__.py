"""Jobs: reading an imported file, and the work of the lease holder."""
