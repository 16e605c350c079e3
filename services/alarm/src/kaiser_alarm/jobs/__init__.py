"""Jobs of alarm that are started by time, and the work of the lease holder."""
