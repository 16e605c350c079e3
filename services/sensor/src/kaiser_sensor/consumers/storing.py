"""The storing consumer: readings go to the database in batches and are acknowledged after the commit."""

import time
from collections.abc import Iterable, Sequence

from kaiser_common.bus import Bus
from kaiser_common.consumer import Consumer
from kaiser_common.database import DatabasePool
from kaiser_common.errors import Code
from kaiser_common.metrics import STAGE_SECONDS
from kaiser_common.outside import DeadLetters, Unreadable, take
from kaiser_common.pull import Delivery
from kaiser_common.quarantine import reject
from kaiser_common.tracing import Tracer

from kaiser_sensor import metrics
from kaiser_sensor.domain.decode import Pack, decode
from kaiser_sensor.domain.process import Process
from kaiser_sensor.domain.rows import Row, to_row
from kaiser_sensor.store import readings as store

_RETRY_S = 0.5
_MANY = 100
_DIFFERENT = "the sensor has another value of this time already"


class Storing:
    """Stores readings. Killed before the commit: nothing is stored; after it and before the acknowledgement: the
    readings come again and change nothing."""

    def __init__(
        self, bus: Bus, pool: DatabasePool, process: Process, *, note_rollups: bool, tracer: Tracer | None = None
    ) -> None:
        self._bus = bus
        self._pool = pool
        self._process = process
        self._note_rollups = note_rollups
        self._tracer = tracer
        self._seconds = STAGE_SECONDS.labels("bus_to_db")

    async def run(self, consumer: Consumer, letters: DeadLetters) -> None:
        """Store until the consumer is stopped. With the database away nothing more is fetched, the stream keeps it."""
        await take(
            consumer,
            self.on_readings,
            letters,
            postponed=lambda: metrics.STORE_PAUSED.set(1),
            resumed=lambda: metrics.STORE_PAUSED.set(0),
            rejected=metrics.REJECTED.inc,
            retry_s=_RETRY_S,
            hold=True,
            keeps_unreadable=False,  # the live consumer rejects it
        )

    async def on_readings(self, batch: Sequence[Delivery]) -> Unreadable:
        """Store a batch in one transaction; what of it is no reading."""
        packs, unreadable = decode(batch)
        readings = [reading for pack in packs for reading in pack.readings]
        if not readings:
            return unreadable
        rows = [to_row(self._process(reading)) for reading in readings]
        arrivals = [(reading.received_at / 1000, reading.device_ts) for reading in readings]
        async with self._pool.connection() as connection:
            stored = await self._store(connection, rows, arrivals)
        if stored.different:
            await self._reject_different(_lines(packs, stored.different))
        metrics.STORED.inc(stored.new)
        metrics.REPEATED.inc(len(rows) - stored.new - len(stored.different))
        self._seconds.observe(max(0.0, time.time() - readings[0].received_at / 1000))
        if self._tracer is not None:
            self._tracer.note("store", batch)
        return unreadable

    async def _store(
        self, connection: store.Connection, rows: Sequence[Row], arrivals: Sequence[store.Arrival]
    ) -> store.Stored:
        """Many rows by COPY, unless one is there already, as after a redelivery; few take longer that way."""
        if len(rows) >= _MANY and await store.copy_new(connection, rows, arrivals, note_rollups=self._note_rollups):
            return store.Stored(len(rows), [])
        return await store.insert(connection, rows, arrivals, note_rollups=self._note_rollups)

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
