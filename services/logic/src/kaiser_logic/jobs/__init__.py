"""The work of the lease holder, executions of rules, and jobs that are started by a timer."""
