"""The only process that touches MQTT: devices' messages to the bus, the outbox to the devices."""
