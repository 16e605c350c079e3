"""Follows which environment of the factory is in force; ingest keeps it in a KV bucket."""

import asyncio

import structlog
from pydantic import ValidationError

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.mirror import Mirror
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_common.contract.subjects import INGEST_BUCKET

log = structlog.get_logger()

_KEY = "environment"


class EnvironmentMirror:
    """Follows the key `environment` of the bucket `ingest`."""

    def __init__(self, bus: Bus) -> None:
        self.current: FactoryEnvironment | None = None
        self._changed = asyncio.Event()
        self._mirror: Mirror[FactoryEnvironment | None] = Mirror(bus, INGEST_BUCKET, _read)
        self._mirror.on_change(self._on_change)

    async def keep(self) -> None:
        """Follow the bucket until cancelled."""
        await self._mirror.keep()

    async def another(self, known: FactoryEnvironment | None) -> FactoryEnvironment:
        """Wait for an environment that is not the known one."""
        while True:
            self._changed.clear()
            if self.current is not None and self.current != known:
                return self.current
            await self._changed.wait()

    def _on_change(self, key: str, found: FactoryEnvironment | None) -> None:
        if key == _KEY and found is not None:
            self.current = found
            self._changed.set()


def _read(value: bytes) -> FactoryEnvironment | None:
    """The environment; None for the bucket's other values."""
    try:
        return FactoryEnvironment.model_validate_json(value)
    except ValidationError:
        return None
