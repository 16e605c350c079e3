"""Messages out: events and records, commands to actuators, webhooks."""
