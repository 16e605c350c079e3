"""Jobs that are started by a timer, one module per job, and the work of the lease holder (holder.py)."""
