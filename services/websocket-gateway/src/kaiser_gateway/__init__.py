"""REST, WebSocket and console: the only service that knows HTTP clients."""
