"""The migrate step, a tool: it runs before the services, and none of them imports it."""

from kaiser_common.migrate.command import main

__all__ = ["main"]
