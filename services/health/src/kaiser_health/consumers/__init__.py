"""Messages in: what the durable consumers of health give it."""
