"""The work of the lease holder: it writes recordings, reads files, replays and answers; others stand by."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.environment import EnvironmentMirror
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.loops import beside, every

from kaiser_recorder.domain.budget import Budget
from kaiser_recorder.jobs.recorders import Recorders
from kaiser_recorder.jobs.removing import remove_deleted
from kaiser_recorder.jobs.replaying import Replaying
from kaiser_recorder.settings import RecorderSettings
from kaiser_recorder.store.uploads import Uploads

_REMOVE_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class RecorderParts:
    """The parts of the lease holder that requests are about. environment: the one in force, None before it is known."""

    bus: Bus
    pool: DatabasePool
    recorders: Recorders
    replaying: Replaying
    budget: Budget
    uploads: Uploads
    environment: Callable[[], FactoryEnvironment | None]


class RecorderHolder:
    """Works while the lease is held."""

    def __init__(
        self,
        bus: Bus,
        pool: DatabasePool,
        new_broker: Callable[[], Broker],
        answer: Callable[[Broker, RecorderParts], None],
        settings: RecorderSettings,
    ) -> None:
        self._bus = bus
        self._pool = pool
        self._new_broker = new_broker
        self._answer = answer
        self._settings = settings

    async def until(self, stop: asyncio.Event) -> None:
        """Work until the event is set."""
        budget = Budget(self._settings.recorder_bytes)
        environments = EnvironmentMirror(self._bus)
        uploads = Uploads(self._settings.recorder_folder or self._settings.state_dir / "recorder")
        uploads.clear()
        recorders = Recorders(self._bus, self._pool, budget)

        def environment() -> FactoryEnvironment | None:
            return environments.current

        replaying = Replaying(self._bus, self._pool, environment, self._settings.vda5050_interfaces)
        records, replays = asyncio.Event(), asyncio.Event()
        broker = self._new_broker()
        parts = RecorderParts(self._bus, self._pool, recorders, replaying, budget, uploads, environment)
        self._answer(broker, parts)
        async with beside(
            recorders=recorders.run(records),
            replaying=replaying.run(replays),
            environments=environments.keep(),
            remove=every(_REMOVE_EVERY_S, partial(remove_deleted, self._pool, budget), "removal_postponed"),
        ):
            await records.wait()
            await replays.wait()
            async with broker.serving():
                await stop.wait()
