"""The storing consumer: readings go to the database in batches and are acknowledged after the commit."""

import asyncio
import time
from collections.abc import Sequence

import psycopg
import structlog
from kaiser_common.bus import Bus, BusUnavailable
from kaiser_common.consumer import Consumer
from kaiser_common.database import UNAVAILABLE, DatabasePool, Verdict, verdict
from kaiser_common.errors import Code
from kaiser_common.metrics import STAGE_SECONDS
from kaiser_common.pull import Delivery
from kaiser_common.quarantine import reject
from kaiser_common.tracing import Tracer

from kaiser_sensor import metrics, store
from kaiser_sensor.decode import decode
from kaiser_sensor.process import Process
from kaiser_sensor.reading import Reading
from kaiser_sensor.rows import to_row

log = structlog.get_logger()

Pair = tuple[Delivery, Reading]

_RETRY_S = 0.5
_DIFFERENT = "the sensor has another value of this time already"
_OUTSIDE: tuple[type[Exception], ...] = (*UNAVAILABLE, psycopg.Error, BusUnavailable)


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

    async def run(self, consumer: Consumer, stopping: asyncio.Event) -> None:
        """Store until the consumer is stopped. With the database away nothing more is fetched, the stream keeps it."""
        async for batch in consumer:
            readings, _ = decode(batch)  # what is no reading the live consumer has rejected
            if await self._until_stored(readings, stopping):
                await consumer.ack(batch)
            else:
                await consumer.nak(batch, delay_s=_RETRY_S)

    async def _until_stored(self, readings: list[Pair], stopping: asyncio.Event) -> bool:
        """Try until it is stored; False when told to stop meanwhile."""
        refused: list[tuple[Delivery, str]] = []
        while not stopping.is_set():
            try:
                refused += await self._store(readings)
                readings = []  # committed: after a failure below they are not stored again
                if refused:
                    metrics.REJECTED.inc(len(refused))
                    await reject(self._bus, refused, Code.INTEGRITY_ERROR)
            except _OUTSIDE as error:
                if not isinstance(error, BusUnavailable) and verdict(error) is not Verdict.RETRY:
                    raise
                metrics.STORE_PAUSED.set(1)
                log.warning(
                    "store_paused", readings=len(readings), error=(str(error) or type(error).__name__).splitlines()[0]
                )
                await _sleep(_RETRY_S, stopping)
            else:
                metrics.STORE_PAUSED.set(0)
                return True
        return False

    async def _store(self, pairs: Sequence[Pair]) -> list[tuple[Delivery, str]]:
        """Store a batch, halving it around rows that cannot be stored; those come back with the reason."""
        if not pairs:
            return []
        rows = [to_row(self._process(reading)) for _, reading in pairs]
        arrivals = [(reading.received_at / 1000, reading.device_ts) for _, reading in pairs]
        try:
            async with self._pool.connection() as connection:
                stored = await store.insert(connection, rows, arrivals, note_rollups=self._note_rollups)
        except psycopg.Error as error:
            if verdict(error) is not Verdict.REJECT:
                raise
            if len(pairs) == 1:
                return [(pairs[0][0], str(error).splitlines()[0])]
            middle = len(pairs) // 2
            return [*await self._store(pairs[:middle]), *await self._store(pairs[middle:])]
        if stored.different:
            await self._reject_different([pairs[index][0] for index in stored.different])
        metrics.STORED.inc(stored.new)
        metrics.REPEATED.inc(len(rows) - stored.new - len(stored.different))
        self._seconds.observe(max(0.0, time.time() - pairs[0][1].received_at / 1000))
        if self._tracer is not None:
            self._tracer.note("store", (delivery for delivery, _ in pairs))
        return []

    async def _reject_different(self, deliveries: Sequence[Delivery]) -> None:
        """Reject readings whose key is stored with other values. NATS away: raised, the batch is stored once more,
        which changes nothing and finds them again."""
        await reject(self._bus, [(delivery, _DIFFERENT) for delivery in deliveries], Code.DUPLICATE_ENTRY)
        metrics.DIFFERENT.inc(len(deliveries))


async def _sleep(seconds: float, stopping: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return
