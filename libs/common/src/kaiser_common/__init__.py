"""The messages between Kaiser's services, and the runtime in which each service starts."""

__version__ = "0.1.0"
