"""What crosses a service border in Kaiser, plus the shell that each service starts in."""

__version__ = "0.1.0"
