"""Reads EVENTS in order and turns them into steps of alarms.

The position in the stream is stored in the transaction of the steps, so each event takes effect once: killed before the
commit, its events are read again; killed after it, they are not. Database or NATS away: reading continues from the
stored position once both are back. EVENTS keeps ten minutes or 256 MiB. If events after the position are no longer
there, the owners of devices, sensors, stops and commands are asked for their current state (consumers/owners.py), once
those that are there have been read.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import psycopg
import structlog
from kaiser_common.bus.connection import Bus, BusUnavailable
from kaiser_common.bus.pull import Delivery, stream_info
from kaiser_common.bus.reader import OrderedReader
from kaiser_common.bus.turns import held
from kaiser_common.contract.errors import line_of
from kaiser_common.contract.schemas.api.alarms import LimitsBody
from kaiser_common.contract.subjects import EVENTS
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.verdicts import OUTAGES, Verdict, reason_of, verdict

from kaiser_alarm import metrics
from kaiser_alarm.domain.board import Board, Found
from kaiser_alarm.domain.decode import FILTERS, findings_of
from kaiser_alarm.domain.life import LifeStep, applied
from kaiser_alarm.domain.limits import Sensor
from kaiser_alarm.domain.readings import Watch
from kaiser_alarm.store import Connection, alarms, limits
from kaiser_alarm.store.limits import ReadElsewhere
from kaiser_alarm.store.owners import OWNERS, THRESHOLDS

log = structlog.get_logger()

_RETRY_S = 1.0
_MOST_UNREAD = 256
_MOVE_EVERY_S = 5.0
_REST_S = 0.1
"""An event waits for others for at most this time."""
_CHANGES_WITHIN_S = 30.0
"""Longer than a statement may take: changes of limits that take longer are an outage."""
_AWAY: tuple[type[Exception], ...] = (*OUTAGES, OSError)


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
        self.caught_up = asyncio.Event()
        """Set while the events that the stream held when reading began have been read."""
        self.owed: set[str] = set()
        """The owners whose current state is still to be asked."""
        self.changing_limits = asyncio.Lock()
        """Held from a change of limits, or a look at all of them, until they are in force: of two changes the one
        that saw less must not come into force last."""
        self.in_turn = asyncio.Lock()
        """Held while events, or the state of an owner, change alarms: what an owner says is older than the events that
        are taken after it."""

    async def run(self) -> None:
        """Read until cancelled; after each interruption begin again from what is stored."""
        while True:
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
        self.caught_up.clear()
        taken = 0
        created, first = await self._stream()
        async with self.in_turn:
            begin = await self._load(created, first)
        reader = OrderedReader(
            self._bus, EVENTS.name, FILTERS, start_sequence=begin, max_messages=_MOST_UNREAD, rest=lambda: _REST_S
        )
        log.info("events_read_from", sequence=begin, open=len(self._board.alarms), owed=sorted(self.owed))
        async for batch in reader:
            if reader.restarts:
                return
            if batch:
                await self.take(batch, created)
            taken += len(batch)
            if taken >= reader.pending_at_start:
                self.caught_up.set()

    async def _stream(self) -> tuple[str, int]:
        """When the stream was created (sequences from before that mean nothing), and its first sequence."""
        info = await stream_info(self._bus, EVENTS.name)
        if "created" not in info:
            raise BusUnavailable(f"no stream {EVENTS.name}")
        return str(info["created"]), max(1, int(info["state"]["first_seq"]))

    async def _load(self, created: str, first: int) -> int:
        """Take what is stored; the sequence to begin with. Events behind the position are gone: note it beside the new
        position, so that the owners are asked after a kill too."""
        async with held(self.changing_limits, _CHANGES_WITHIN_S), self._pool.connection() as connection:
            position = await limits.position(connection, EVENTS.name)
            if position is None or position[0] != created or position[1] + 1 < first:
                if position is not None:
                    log.warning("events_missed", read_to=position[1], first_kept=first)
                await limits.move_position(connection, EVENTS.name, position, (created, first - 1))
                before = {THRESHOLDS} if position is None else await limits.owed(connection, EVENTS.name)
                await limits.owe(connection, EVENTS.name, before.union(OWNERS))
                position = (created, first - 1)
            self.owed = await limits.owed(connection, EVENTS.name)
            self._board.load((await alarms.open_alarms(connection)).values())
            self._watch.set_limits(await limits.read_all(connection))
        self._position = position
        self.loaded.set()
        return position[1] + 1

    async def take(self, batch: Sequence[Delivery], created: str) -> None:
        """Read what a batch says, and store the steps and the position in one transaction."""
        async with self.in_turn:
            findings, unreadable = findings_of(batch, self._watch, self._board.watched)
            for delivery, reason in unreadable:
                metrics.UNREADABLE.inc()
                log.error("event_unreadable", subject=delivery.subject[:128], reason=reason)
            relevant = self._board.relevant(findings)
            if relevant or time.monotonic() - self._moved_at >= _MOVE_EVERY_S:
                await self._store(relevant, (created, batch[-1].stream_sequence))
        metrics.BEHIND.set(max(0.0, time.time() - batch[-1].timestamp_ns / 1e9))

    async def settle(self, owner: str, findings: Sequence[Found]) -> None:
        """Take the current state from an owner, and note that the owner was asked. To be called in turn."""
        async with self._pool.connection() as connection:
            steps = await _apply(connection, self._board.relevant(findings))
            await limits.owe(connection, EVENTS.name, self.owed - {owner})
        self.owed.discard(owner)
        self._done(steps)

    async def settle_limits(self, found: Mapping[Sensor, LimitsBody], by: str, now: datetime) -> None:
        """Take thresholds as the limits of sensors that have none, and note that they are asked. To be called in
        turn."""
        async with held(self.changing_limits, _CHANGES_WITHIN_S):
            async with self._pool.connection() as connection:
                await limits.put_where_missing(connection, found, by, now)
                await limits.owe(connection, EVENTS.name, self.owed - {THRESHOLDS})
                every = await limits.read_all(connection)
            self.owed.discard(THRESHOLDS)
            self._watch.set_limits(every)

    async def find(self, findings: Sequence[Found]) -> None:
        """Take findings that no event brought. To be called in turn."""
        if relevant := self._board.relevant(findings):
            async with self._pool.connection() as connection:
                steps = await _apply(connection, relevant)
            self._done(steps)

    async def _store(self, relevant: Sequence[Found], position: tuple[str, int]) -> None:
        async with self._pool.connection() as connection:
            await limits.move_position(connection, EVENTS.name, self._position, position)
            steps = await _applied(connection, relevant)
        self._position, self._moved_at = position, time.monotonic()
        self._done(steps)

    def _done(self, steps: Sequence[LifeStep]) -> None:
        self._board.take(steps)
        for step in steps:
            metrics.STEPS.labels(step.what).inc()
        if steps:
            self._on_steps()


async def _applied(connection: Connection, relevant: Sequence[Found]) -> list[LifeStep]:
    """Store the steps of findings; those that the database refuses are found by halves and left out."""
    try:
        async with connection.transaction():
            return await _apply(connection, relevant)
    except psycopg.Error as error:
        if verdict(error) is not Verdict.REJECT:
            raise
        if len(relevant) == 1:
            metrics.UNREADABLE.inc()
            key = relevant[0][0].key
            log.error("finding_refused", kind=key.kind, source=key.source[:128], reason=line_of(error))
            return []
    middle = len(relevant) // 2
    return [*await _applied(connection, relevant[:middle]), *await _applied(connection, relevant[middle:])]


async def _apply(connection: Connection, relevant: Sequence[Found]) -> list[LifeStep]:
    """Store the steps that findings make of the alarms as the table has them."""
    known = await alarms.locked(connection, {finding.key for finding, _ in relevant}) if relevant else {}
    steps = applied(known, relevant)
    await alarms.note_steps(connection, steps)
    return steps
