"""The MQTT dialect of the model factory (docs/factory-dialect.md) as pure functions; only cli.py does I/O."""

__version__ = "0.1.0"
