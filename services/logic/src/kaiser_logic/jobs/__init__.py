"""What the holder of the lease runs, executions of rules, and what time starts."""
