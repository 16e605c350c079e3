"""Messages in: what MQTT delivered for mocks."""
