"""Every second: rows that time alone changes, samples of AGVs, and the gauges."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.contract.schemas.factory import FactoryModule
from kaiser_common.runtime.database import UNAVAILABLE, DatabasePool

from kaiser_factory import metrics, publish
from kaiser_factory.domain.live import Changes, FactoryState
from kaiser_factory.store import samples

log = structlog.get_logger()

_EVERY_S = 1.0
_SAMPLE_EVERY_S = 30.0


class Sampling:
    """Publishes and stores how the live state goes on. Database away: what happens meanwhile is not sampled."""

    def __init__(self, bus: Bus, pool: DatabasePool, live: Callable[[], FactoryState | None]) -> None:
        self._bus = bus
        self._pool = pool
        self._live = live
        self._availability: dict[str, str] = {}
        self._sampled: dict[str, tuple[float, tuple[object, ...]]] = {}

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            live = self._live()
            if live is not None:
                await self._sample(live)

    async def _sample(self, live: FactoryState) -> None:
        now = time.time_ns() // 1_000_000
        rows = live.rows(now)
        _show(live, rows)
        await publish.events(self._bus, live.news(Changes(all_serials=True), now))
        at, env = datetime.now(UTC), live.environment.env
        changed = [row for row in rows if self._availability.get(row.serial) != row.availability]
        sampled = [row for row in rows if row.kind == "agv" and self._is_due(row)]
        if not changed and not sampled:
            return
        try:
            async with self._pool.connection() as connection:
                if changed:
                    await samples.add_availabilities(connection, env, at, changed)
                if sampled:
                    await samples.add_agvs(connection, env, at, sampled)
        except UNAVAILABLE as error:
            log.warning("samples_lost", rows=len(changed) + len(sampled), error=str(error).splitlines()[0])
            return
        self._availability.update((row.serial, row.availability) for row in changed)
        self._sampled.update((row.serial, (time.monotonic(), _state(row))) for row in sampled)

    def _is_due(self, row: FactoryModule) -> bool:
        """Whether an AGV's state is another one, or its last sample is 30 s old."""
        before = self._sampled.get(row.serial)
        return (
            before is None
            or before[1][:2] != _state(row)[:2]
            or (before[1] != _state(row) and time.monotonic() - before[0] >= _SAMPLE_EVERY_S)
        )


def _state(row: FactoryModule) -> tuple[object, ...]:
    return (row.driving, row.charging, row.battery_percent, row.node)


def _show(live: FactoryState, rows: list[FactoryModule]) -> None:
    metrics.EPOCH.set(live.environment.epoch)
    metrics.SILENT.set(sum(row.silent for row in rows))
    metrics.MACHINES.clear()
    for (kind, availability), number in Counter((row.kind, row.availability) for row in rows).items():
        metrics.MACHINES.labels(kind, availability).set(number)
    metrics.ORDERS.clear()
    for state, number in Counter(record.order.state for record in live.factory.orders.values()).items():
        metrics.ORDERS.labels(state).set(number)
