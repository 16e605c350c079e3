"""Follows which environment of the factory is in force; ingest keeps it in a KV bucket."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

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

    async def work_in_each(self, work: Callable[[FactoryEnvironment], Coroutine[Any, Any, None]]) -> NoReturn:
        """Work in the environment in force. Another one, or another epoch: the work is cancelled, and begins again in
        that. Until cancelled; what the work raises is raised."""
        environment: FactoryEnvironment | None = None
        while True:
            environment = await self.another(environment)
            working = asyncio.create_task(work(environment), name="environment")
            changing = asyncio.create_task(self.another(environment), name="another")
            try:
                await asyncio.wait([working, changing], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (working, changing):
                    task.cancel()
                await asyncio.wait([working, changing])
            if not working.cancelled():
                working.result()

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
