"""Messages out: event.alarm to the bus, notifications to people."""
