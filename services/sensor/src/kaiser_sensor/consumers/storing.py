"""The storing consumer: readings go to the database in batches and are acknowledged after the commit.

`sensor.latest` is written at most once a second. The first reading after a quiet moment is written there in the
transaction that stores it; the other readings of that second follow together in the transaction of a later batch, or in
one of their own if no batch comes. A pack is acknowledged once both tables have it, so after a crash the readings that
`latest` lacks are delivered again.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.consumer import Consumer
from kaiser_common.bus.dead_letters import reject
from kaiser_common.bus.metrics import STAGE_SECONDS
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.errors import Code
from kaiser_common.runtime.consume import Taking, Unreadable
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.tracing import Tracer
from kaiser_common.runtime.verdicts import OUTAGES, reason_of

from kaiser_sensor import metrics
from kaiser_sensor.domain.decode import Pack
from kaiser_sensor.domain.processed import PackProcessing
from kaiser_sensor.domain.rows import Row, to_row
from kaiser_sensor.domain.unwritten import Arrival, Unwritten, may_wait
from kaiser_sensor.store import Connection
from kaiser_sensor.store import readings as store

log = structlog.get_logger()

_RETRY_S = 0.5
_MANY = 100
_LATEST_EVERY_S = 1.0
_LOOK_EVERY_S = 0.5
_MOST_PACKS = 256
"""So many messages wait for `latest` at most: of a version before packs each has one reading."""
_DIFFERENT = "the sensor has another value of this time already"


class Storing:
    """Stores readings. Killed before the commit: nothing is stored; after it and before the acknowledgement: the
    readings come again and change nothing but `latest`, where it lacks them."""

    def __init__(
        self,
        bus: Bus,
        pool: DatabasePool,
        packs: PackProcessing,
        *,
        note_rollups: bool,
        tracer: Tracer | None = None,
    ) -> None:
        self._bus = bus
        self._unwritten = Unwritten()
        self._stored: list[Delivery] = []
        self._next_latest_at = 0.0
        self._writing = asyncio.Lock()
        self._pool = pool
        self._packs = packs
        self._note_rollups = note_rollups
        self._tracer = tracer
        self._seconds = STAGE_SECONDS.labels("bus_to_db")
        self._paused_at: float | None = None

    def taking(self, consumer: Consumer) -> Taking:
        """How readings are taken. With the database away nothing more is fetched, the stream keeps it."""
        return Taking(
            postponed=self._postponed,
            resumed=self._resumed,
            rejected=metrics.REJECTED.inc,
            retry_s=_RETRY_S,
            hold=True,
            keeps_unreadable=False,  # the live consumer rejects it
            acknowledge=partial(self._acknowledge, consumer),
        )

    @property
    def paused_s(self) -> float:
        """For how many seconds nothing could be stored; 0 while it can."""
        return 0.0 if self._paused_at is None else time.monotonic() - self._paused_at

    def _postponed(self) -> None:
        if self._paused_at is None:
            self._paused_at = time.monotonic()
        metrics.STORE_PAUSED.set(1)

    def _resumed(self) -> None:
        self._paused_at = None
        metrics.STORE_PAUSED.set(0)

    @asynccontextmanager
    async def keeping_latest(self, consumer: Consumer) -> AsyncIterator[None]:
        """Around taking: `latest` is written where no batch comes to do it, and once more at the end."""
        async with asyncio.TaskGroup() as tasks:
            keeper = tasks.create_task(self._keep_latest(consumer), name="latest")
            yield
            keeper.cancel()
        try:
            await self._write_latest(consumer)
        except OUTAGES as error:
            log.warning("latest_left_to_the_next", messages=len(self._stored), reason=reason_of(error))
            await consumer.nak(self._stored, delay_s=_RETRY_S)

    async def _keep_latest(self, consumer: Consumer) -> None:
        """Write `latest` where no batch comes to do it, until cancelled. Database away: the next look does it."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            if time.monotonic() < self._next_latest_at:
                continue
            try:
                await self._write_latest(consumer)
            except OUTAGES as error:
                log.warning("latest_postponed", messages=len(self._stored), reason=reason_of(error))

    async def _write_latest(self, consumer: Consumer) -> None:
        async with self._writing:
            if self._unwritten:
                async with self._pool.connection() as connection:
                    await store.put_latest(connection, self._unwritten.rows(), self._unwritten.arrivals())
                self._latest_is_written()
        await self._acknowledge(consumer, [])

    async def _acknowledge(self, consumer: Consumer, deliveries: Iterable[Delivery]) -> None:
        """Acknowledge what both tables have; what waits for `latest` waits here."""
        self._stored.extend(deliveries)
        if not self._unwritten:
            done, self._stored = self._stored, []
            await consumer.ack(done)

    def _latest_is_written(self) -> None:
        self._unwritten.clear()
        self._next_latest_at = time.monotonic() + _LATEST_EVERY_S

    async def on_readings(self, batch: Sequence[Delivery]) -> Unreadable:
        """Store a batch in one transaction; what of it is no reading."""
        packs, unreadable = self._packs.take(batch)
        processed = [one for pack in packs for one in pack.readings]
        if not processed:
            return unreadable
        rows = [to_row(one) for one in processed]
        arrivals = [(one.reading.received_at / 1000, one.reading.device_ts) for one in processed]
        stored = await self._store(rows, arrivals)
        if stored.different:
            await self._reject_different(_lines([each.pack for each in packs], stored.different))
        metrics.STORED.inc(stored.new)
        metrics.REPEATED.inc(len(rows) - stored.new - len(stored.different))
        self._seconds.observe(max(0.0, time.time() - processed[0].reading.received_at / 1000))
        if self._tracer is not None:
            self._tracer.note("store", batch)
        return unreadable

    async def _store(self, rows: Sequence[Row], arrivals: Sequence[Arrival]) -> store.Stored:
        """Store in one transaction. `latest` too, if a second has passed or if it might refuse these readings."""
        now = time.monotonic()
        due = now >= self._next_latest_at or len(self._stored) >= _MOST_PACKS or self._unwritten.is_full
        writes = due or not may_wait(arrivals)
        few = len(rows) < _MANY
        async with self._writing:
            async with self._pool.connection() as connection:
                if few and not (writes and self._unwritten):
                    async with store.each_statement_alone(connection):
                        stored = await store.insert(
                            connection, rows, arrivals, note_rollups=self._note_rollups, latest=writes
                        )
                else:
                    stored = await self._store_data(connection, rows, arrivals)
                    if writes:
                        newest = self._unwritten.with_these(rows, arrivals)
                        await store.put_latest(connection, newest.rows(), newest.arrivals())
            if writes:
                self._latest_is_written()
            else:
                self._unwritten.add(rows, arrivals)
        return stored

    async def _store_data(
        self, connection: Connection, rows: Sequence[Row], arrivals: Sequence[Arrival]
    ) -> store.Stored:
        """Many rows by COPY, unless one is there already, as after a redelivery; few take longer that way."""
        if len(rows) >= _MANY and await store.copy_new(connection, rows, note_rollups=self._note_rollups):
            return store.Stored(len(rows), [])
        return await store.insert(connection, rows, arrivals, note_rollups=self._note_rollups, latest=False)

    async def _reject_different(self, deliveries: Sequence[Delivery]) -> None:
        """Reject readings whose key is stored with other values. NATS away: raised, the batch is stored once more,
        which changes nothing and finds them again."""
        await reject(self._bus, [(delivery, _DIFFERENT) for delivery in deliveries], Code.DUPLICATE_ENTRY)
        metrics.DIFFERENT.inc(len(deliveries))


def _lines(packs: Sequence[Pack], wanted: Iterable[int]) -> list[Delivery]:
    """The lines of the readings that have these places in all packs together, which ascend."""
    found: list[Delivery] = []
    places = iter(packs)
    pack, before = next(places), 0
    for place in wanted:
        while place - before >= len(pack.readings):
            before += len(pack.readings)
            pack = next(places)
        found.append(pack.line(place - before))
    return found
