"""The service recorder: records or imports MQTT messages, exports recordings as files, and replays them."""
