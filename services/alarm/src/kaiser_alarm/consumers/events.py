"""Reads EVENTS in order and turns what they say into steps of alarms.

The position in the stream is stored in the transaction of the steps, so each event takes effect once: killed before the
commit, its events are read again; killed after it, they are not. Database or NATS away: reading goes on from the stored
position once both are back. EVENTS keeps ten minutes or 256 MiB; of a longer absence the older events are missed.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog
from kaiser_common.bus.connection import Bus, BusUnavailable, end_if_cancelled
from kaiser_common.bus.pull import Delivery, ask
from kaiser_common.bus.reader import OrderedReader
from kaiser_common.contract.subjects import EVENTS
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.outside import OUTSIDE, reason_of

from kaiser_alarm import metrics
from kaiser_alarm.domain.board import Board, Found
from kaiser_alarm.domain.decode import FILTERS, findings_of
from kaiser_alarm.domain.life import applied
from kaiser_alarm.domain.readings import Watch
from kaiser_alarm.store import alarms, limits
from kaiser_alarm.store.limits import ReadElsewhere

log = structlog.get_logger()

_RETRY_S = 1.0
_MOST_UNREAD = 256
_MOVE_EVERY_S = 5.0
_AWAY: tuple[type[Exception], ...] = (*OUTSIDE, OSError)


class EventReading:
    """Reads events while this process holds the lease. on_steps is called after each commit that has steps."""

    def __init__(self, pool: DatabasePool, bus: Bus, board: Board, watch: Watch, on_steps: Callable[[], None]) -> None:
        self._pool = pool
        self._bus = bus
        self._board = board
        self._watch = watch
        self._on_steps = on_steps
        self._position: tuple[str, int] | None = None
        self._moved_at = 0.0
        self.loaded = asyncio.Event()
        """Set once alarms and limits are in memory."""

    async def run(self) -> None:
        """Read until cancelled; after each interruption begin again from what is stored."""
        while True:
            end_if_cancelled()
            try:
                await self._read()
            except ReadElsewhere as error:
                metrics.FENCED.inc()
                log.warning("alarms_fenced", reason=str(error))
            except _AWAY as error:
                log.warning("events_not_read", reason=reason_of(error), retry_s=_RETRY_S)
            await asyncio.sleep(_RETRY_S)

    async def _read(self) -> None:
        """Read from the stored position on, until the reader has to begin again."""
        created = await self._created()
        await self._load()
        stored = self._position
        begin = stored[1] + 1 if stored is not None and stored[0] == created else 1
        reader = OrderedReader(self._bus, EVENTS.name, FILTERS, start_sequence=begin, max_messages=_MOST_UNREAD)
        log.info("events_read_from", sequence=begin, open=len(self._board.alarms))
        async for batch in reader:
            if reader.restarts:
                return
            if batch:
                await self.take(batch, created)

    async def _created(self) -> str:
        """When the stream was created: sequences of before its re-creation mean nothing."""
        info = await ask(self._bus, f"$JS.API.STREAM.INFO.{EVENTS.name}", {})
        if "created" not in info:
            raise BusUnavailable(f"no stream {EVENTS.name}")
        return str(info["created"])

    async def _load(self) -> None:
        async with self._pool.connection() as connection:
            self._position = await limits.position(connection, EVENTS.name)
            self._board.load((await alarms.open_alarms(connection)).values())
            self._watch.set_limits(await limits.read_all(connection))
        self.loaded.set()

    async def take(self, batch: Sequence[Delivery], created: str) -> None:
        """Read what a batch says, and store the steps and the position in one transaction."""
        findings, unreadable = findings_of(batch, self._watch, self._board.watched)
        for delivery, reason in unreadable:
            metrics.UNREADABLE.inc()
            log.error("event_unreadable", subject=delivery.subject[:128], reason=reason)
        relevant = self._board.relevant(findings)
        if relevant or time.monotonic() - self._moved_at >= _MOVE_EVERY_S:
            await self._store(relevant, (created, batch[-1].stream_sequence))
        metrics.BEHIND.set(max(0.0, time.time() - batch[-1].timestamp_ns / 1e9))

    async def _store(self, relevant: Sequence[Found], position: tuple[str, int]) -> None:
        async with self._pool.connection() as connection:
            await limits.move_position(connection, EVENTS.name, self._position, position)
            known = await alarms.locked(connection, {finding.key for finding, _ in relevant}) if relevant else {}
            steps = applied(known, relevant)
            await alarms.note_steps(connection, steps)
        self._position, self._moved_at = position, time.monotonic()
        self._board.take(steps)
        for step in steps:
            metrics.STEPS.labels(step.what).inc()
        if steps:
            self._on_steps()
