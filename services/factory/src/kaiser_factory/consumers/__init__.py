"""Messages in: one module per reader."""
