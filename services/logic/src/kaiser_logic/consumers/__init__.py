"""Messages in: events that rules are evaluated on, records of executions."""
