"""Every second publishes rows that time alone changed, stores new availabilities and AGV samples, sets the gauges."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.contract.errors import line_of
from kaiser_common.runtime.database import UNAVAILABLE, DatabasePool
from kaiser_common.runtime.loops import every
from kaiser_factory_dialect import view
from kaiser_factory_dialect.view import MachineRow

from kaiser_factory import metrics, publish
from kaiser_factory.domain.live import Changes, FactoryState
from kaiser_factory.store import samples
from kaiser_factory.store.samples import AgvSample

log = structlog.get_logger()

_EVERY_S = 1.0
_SAMPLE_EVERY_S = 30.0
_TOGETHER = 25


class Sampling:
    """Publishes and stores samples of the live state. Database away: no samples are stored."""

    def __init__(self, bus: Bus, pool: DatabasePool, live: Callable[[], FactoryState | None]) -> None:
        self._bus = bus
        self._pool = pool
        self._live = live
        self._availability: dict[str, str] = {}
        self._sampled: dict[str, tuple[float, tuple[object, ...]]] = {}
        self._silent: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Sample until cancelled."""
        await every(_EVERY_S, self._round, "samples_postponed", delay_s=_EVERY_S)

    async def _round(self) -> None:
        live = self._live()
        if live is not None:
            await self._sample(live)

    async def _sample(self, live: FactoryState) -> None:
        now = time.time_ns() // 1_000_000
        rows = await self._look(live, now)
        _show(live, rows)
        await self._report_silent(rows, now)
        at, env = datetime.now(UTC), live.environment.env
        changed = [row for row in rows if self._availability.get(row.serial) != row.availability]
        agvs = [AgvSample(row, _waiting(live, row.serial)) for row in rows if row.kind == "agv"]
        sampled = [one for one in agvs if self._is_due(one)]
        if not changed and not sampled:
            return
        try:
            async with self._pool.connection() as connection:
                if changed:
                    await samples.add_availabilities(connection, env, at, changed)
                if sampled:
                    await samples.add_agvs(connection, env, at, sampled)
        except UNAVAILABLE as error:
            log.warning("samples_lost", rows=len(changed) + len(sampled), error=line_of(error))
            return
        self._availability.update((row.serial, row.availability) for row in changed)
        self._sampled.update((one.row.serial, (time.monotonic(), _state(one))) for one in sampled)

    async def _look(self, live: FactoryState, now: int) -> list[MachineRow]:
        """The row of each module and AGV; rows that time has changed are published, and what NATS did not take before.

        Part by part, because messages wait for it: 1,000 rows take 0.1 s. NATS away: the other parts are not tried.
        """
        rows: list[MachineRow] = []
        serials, is_taken = sorted(live.factory.machines), True
        for part in (serials[at : at + _TOGETHER] for at in range(0, max(1, len(serials)), _TOGETHER)):
            rows += [view.row(live.factory, live.factory.machines[each], now) for each in part]
            is_taken = is_taken and await publish.news(self._bus, live, Changes(serials=set(part)), now)
            await asyncio.sleep(0)
        return rows

    async def _report_silent(self, rows: Sequence[MachineRow], now: int) -> None:
        """A system event for each module whose heartbeat has begun to be missing."""
        silent = frozenset(row.serial for row in rows if row.silent)
        told = [publish.silent(serial, now) for serial in sorted(silent - self._silent)]
        if await publish.events(self._bus, told):
            self._silent = silent

    def _is_due(self, sample: AgvSample) -> bool:
        """Whether an AGV drives, charges or waits otherwise than before, or its last sample is 30 s old."""
        before, now = self._sampled.get(sample.row.serial), _state(sample)
        return (
            before is None
            or before[1][:3] != now[:3]
            or (before[1] != now and time.monotonic() - before[0] >= _SAMPLE_EVERY_S)
        )


def _state(sample: AgvSample) -> tuple[object, ...]:
    row = sample.row
    return (row.driving, row.charging, sample.waiting, row.battery_percent, row.node)


def _waiting(live: FactoryState, serial: str) -> bool | None:
    machine = live.factory.machines.get(serial)
    return None if machine is None else machine.waiting_for_load


def _show(live: FactoryState, rows: list[MachineRow]) -> None:
    metrics.EPOCH.set(live.environment.epoch)
    metrics.SILENT.set(sum(row.silent for row in rows))
    metrics.MACHINES.clear()
    for (kind, availability), number in Counter((row.kind, row.availability) for row in rows).items():
        metrics.MACHINES.labels(kind, availability).set(number)
    metrics.ORDERS.clear()
    for state, number in Counter(record.order.state for record in live.factory.orders.values()).items():
        metrics.ORDERS.labels(state).set(number)
