"""The MQTT connection: packets, client, connection, broker profiles."""
