"""Pure decisions: conditions, the life of an alarm, limits."""
