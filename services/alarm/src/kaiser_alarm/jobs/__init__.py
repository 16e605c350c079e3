"""Jobs of alarm that are started by a timer, and the work of the lease holder."""
