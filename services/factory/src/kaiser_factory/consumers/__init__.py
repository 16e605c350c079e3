"""Messages in: one module a reader."""
