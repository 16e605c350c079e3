"""The pipeline of received messages: take them in order, have them sorted, publish, and hand back what is stored.

One batch is under way at a time, so order is kept and what is in flight is bounded by the window; of the batches before
it the rejections may still be stored (trailing.py), and the messages for TOPICS (topics_trail.py). A process that is
killed has acknowledged nothing that is not stored: the broker delivers the rest again, and the ids make it harmless.
"""

import asyncio
import time
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice

from kaiser_common.bus.connection import Bus, Outgoing
from kaiser_common.bus.metrics import STAGE_SECONDS
from kaiser_common.bus.waiting import set_within
from kaiser_common.contract.errors import Rejected
from kaiser_common.contract.pack import count
from kaiser_common.contract.topics import parse
from kaiser_common.runtime.clock import now_ms
from kaiser_common.runtime.tracing import Tracer

from kaiser_ingest.consumers.publishing import Part, Publisher
from kaiser_ingest.consumers.sorting import Batch, Sorter, decoded
from kaiser_ingest.consumers.topics_trail import TopicsTrail
from kaiser_ingest.consumers.trailing import RejectionTrail
from kaiser_ingest.domain.admission import Registered
from kaiser_ingest.domain.clocks import WrongClock
from kaiser_ingest.domain.factory_dialect import FactoryDialect
from kaiser_ingest.domain.factory_packs import to_factory_packs
from kaiser_ingest.domain.incoming import Incoming
from kaiser_ingest.domain.outgoing import to_packs
from kaiser_ingest.domain.taps import Taps
from kaiser_ingest.metrics import PACK_BYTES, PACK_READINGS, Accounts, Result

UNKNOWN_KIND = "unknown"
FACTORY_KIND = "factory"
"""All messages that are no devices' are accounted together; the factory's own metric has their kinds."""
DROPPED_TOPIC = "$SYS/broker/publish/messages/dropped"
"""Where Mosquitto publishes how many messages it has dropped since it started; not a message of a device."""
_DROPPED_TOPIC = DROPPED_TOPIC.encode()
_BATCH_BYTES = 1024 * 1024
_MANY_OTHERS = 20
"""With so many messages that are no readings in the usual form, the readings of a batch are published before the others
are sorted."""
_TURNS_TO_WRITE = 3
"""Turns of the loop in which a message that is published reaches the socket: the task, nats-py's writer, uvloop."""
_SPACING_S = 0.005
"""Least time between two batches: each pack costs NATS a sync and 0.3 to 1 ms, however small it is. The first message
after a quiet moment waits for nothing."""
_SPACING_OF_A_READING_S = 0.00005
_LONGEST_SPACING_S = 0.02
"""Behind many readings the next batch comes later, by so much for each, so that packs grow with the rate: at 8,000
readings a second they had 133 to 323 readings in place of 85 to 100."""


class Pipeline:
    """Takes received messages in order and has each acknowledged once it is stored."""

    def __init__(
        self,
        bus: Bus,
        registered: Registered,
        *,
        retention_ms: int,
        batch_size: int,
        qos0_limit: int,
        shards: int = 1,
        on_heard: Callable[[dict[tuple[str, str], int]], None],
        on_wrong_clock: Callable[[WrongClock], None] = lambda _: None,
        tracer: Tracer | None = None,
        factory: FactoryDialect | None = None,
        taps: Taps | None = None,
    ) -> None:
        self._bus = bus
        self._publisher = Publisher(bus)
        self._trail = RejectionTrail(bus, self._publisher)
        self._topics = TopicsTrail(self._publisher)
        self._sorter = Sorter(
            registered,
            bus.message_id,
            retention_ms=retention_ms,
            shards=shards,
            on_wrong_clock=on_wrong_clock,
            tracer=tracer,
            factory=factory,
            taps=taps or Taps(),
            monotonic=time.monotonic,
        )
        self._batch_size = batch_size
        self._qos0_limit = qos0_limit
        self._on_heard = on_heard
        self._waiting: deque[Incoming] = deque()
        self._under_way: Sequence[Incoming] = ()
        self._qos0 = 0
        self.in_flight_bytes = 0
        """Bytes of the payloads received and not yet stored."""
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._seconds = STAGE_SECONDS.labels("mqtt_to_bus")
        self.accounts = Accounts(self._in_flight_by_kind, self.oldest_age_s)

    @property
    def in_flight(self) -> int:
        """QoS 1 messages received and not yet stored."""
        return self.held + self._trail.held.messages_held + self._topics.held.messages_held - self._qos0

    @property
    def held(self) -> int:
        """Messages received and not yet stored, without those of batches that only wait for REJECTED or TOPICS."""
        return len(self._waiting) + len(self._under_way)

    def oldest_age_s(self) -> float:
        """Age of the oldest message that is not stored yet; 0 if there is none."""
        oldest = next(self._messages(), None)
        return max(0.0, time.time() - oldest.received_at_ms / 1000) if oldest is not None else 0.0

    def offer(self, messages: Sequence[Incoming]) -> None:
        """Take what a connection received. QoS 0 messages over their limit are dropped and counted."""
        for message in messages:
            if message.qos == 0 and message.topic == _DROPPED_TOPIC:
                self._note_dropped(message.payload)
                continue
            kind = _kind(message.topic)
            self.accounts.received[kind] += 1
            if message.qos == 0:
                if self._qos0 >= self._qos0_limit:
                    self._finish_unpublished(kind, "overflow")
                    continue
                self._qos0 += 1
            self.in_flight_bytes += len(message.payload)
            self._waiting.append(message)
        if self._waiting:
            self._idle.clear()
            self._arrived.set()

    def forget(self, generation: int) -> None:
        """Drop what a lost connection delivered and is not being published yet: the broker delivers it again."""
        kept: deque[Incoming] = deque()
        for message in self._waiting:
            if message.qos and message.generation == generation:
                self.in_flight_bytes -= len(message.payload)
                self._finish_unpublished(_kind(message.topic), "connection_lost")
            else:
                kept.append(message)
        self._waiting = kept
        self._note_idle()

    async def drained(self, timeout_s: float) -> bool:
        """Wait until nothing is in flight; False if that takes longer."""
        self._topics.hurry()
        return await set_within(self._idle, timeout_s)

    async def run(
        self, on_stored: Callable[[Sequence[Incoming]], None], read: Callable[[], None] = lambda: None
    ) -> None:
        """Store what arrives until cancelled; `on_stored` is called with what is stored, in the order of receipt, and
        `read` before each batch, to offer what the connection has left unread so far."""

        def rejected(batch: Batch) -> None:
            self._sorter.rejections_stored(batch)
            self._go_on(batch, on_stored)

        def not_rejected(batch: Batch) -> None:
            self._sorter.left()
            (self._topics.add if batch.come_once else self._leave)(batch)

        def written(batch: Batch) -> None:
            self._sorter.on_topics(batch)
            self._finish(batch, on_stored)

        def left(batch: Batch) -> None:
            self._sorter.left()
            self._leave(batch)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._trail.run(rejected, not_rejected), name="rejections")
            tasks.create_task(self._topics.run(written, left), name="topics")
            while True:
                await self._trail.room()
                await self._topics.room()
                read()
                await self._arrived.wait()
                await self._next_batch(on_stored)

    async def _next_batch(self, on_stored: Callable[[Sequence[Incoming]], None]) -> None:
        """Store what has arrived, and wait until the next batch may begin: behind one that had no room for all that
        waited it follows at once."""
        began_at = time.monotonic()
        self._under_way = self._take()
        is_full = bool(self._waiting)
        if not self._under_way:
            self._arrived.clear()
            self._note_idle()
            return
        if any(message.duplicate for message in self._under_way):
            await self._trail.emptied()  # so that it is known which rejections are stored
        batch = self._sorter.begin(self._under_way)
        while not await self._store(batch):
            self._leave_to_the_next_holder()
            batch = self._sorter.begin(self._under_way)
        self._under_way = ()
        self._sorter.stored(batch)
        if batch.messages:
            self._seconds.observe(max(0, now_ms() - batch.messages[0].received_at_ms) / 1000)
            for span in batch.spans:
                span.end()
            self._on_heard(batch.heard)
            if batch.trailing or self._trail.held:
                self._trail.add(batch)
            else:
                self._go_on(batch, on_stored)
        self._note_idle()
        await asyncio.sleep(0.0 if is_full else max(0.0, began_at + _spacing_s(len(batch.sensors)) - time.monotonic()))

    def _go_on(self, batch: Batch, on_stored: Callable[[Sequence[Incoming]], None]) -> None:
        """Have a batch written to TOPICS whose rejections are stored; at once finished where nothing of it is for that,
        and nothing before it waits."""
        if batch.topics or self._topics.held:
            self._topics.add(batch)
        else:
            self._finish(batch, on_stored)

    def hold(
        self,
        packs: Iterable[tuple[bytes, float]],
        rejections: Iterable[tuple[bytes, float]],
        of_factory: Iterable[tuple[str, float]],
        valid_until: Callable[[], float],
    ) -> None:
        """Begin as the holder of the lease, which is valid until `valid_until` (monotonic): publish packs only until
        then.

        packs, rejections: the last ones that were stored; of_factory: the deliveries of the last messages on FACTORY;
        each with its age in seconds. The broker may deliver some of them again.
        """
        self._publisher.valid_until = valid_until
        self._sorter.remember(packs, rejections, of_factory)

    def _take(self) -> list[Incoming]:
        """The next messages in order: what has arrived, up to the batch size and about 1 MiB."""
        waiting = self._waiting
        if len(waiting) <= self._batch_size and self.in_flight_bytes <= _BATCH_BYTES:
            taken = list(waiting)
            waiting.clear()
            return taken
        taken = []
        size = 0
        while waiting and len(taken) < self._batch_size and size < _BATCH_BYTES:
            message = waiting.popleft()
            size += len(message.payload)
            taken.append(message)
        return taken

    async def _store(self, batch: Batch) -> bool:
        """Sort the rest of a batch, and publish until all is stored but what trails to REJECTED and TOPICS, however
        long NATS is away. Readings need no order, because each has its time, so they do not wait until the others are
        sorted.

        False: packs whose messages the broker delivers again are left, and the lease is over.
        """
        readings, comes_again = batch.sensors.values(), batch.comes_again
        if not batch.others:
            return await self._publisher.store([self._packs(readings, batch)], comes_again=comes_again)
        if not readings or len(batch.others) < _MANY_OTHERS:
            self._sorter.sort_others(batch)
            return await self._publisher.store(self._parts(batch, readings), comes_again=comes_again)
        async with asyncio.TaskGroup() as tasks:
            packs, published = self._packs(readings, batch), len(readings)
            first = tasks.create_task(self._publisher.store([packs], comes_again=comes_again), name="readings")
            for _ in range(_TURNS_TO_WRITE):
                await asyncio.sleep(0)
            self._sorter.sort_others(batch)
            parts = self._parts(batch, islice(readings, published, None))
            others_stored = await self._publisher.store(parts, comes_again=comes_again)
        return first.result() and others_stored

    def _parts(self, batch: Batch, readings: Iterable[Outgoing]) -> list[Part]:
        """The parts of a batch, of its readings these. The factory's messages are in order on FACTORY."""
        rejected = self._trail.to_packs(list(batch.rejected.values()))
        return [
            self._packs(readings, batch),
            Part(rejected, is_packs=True),
            Part(list(batch.devices.values()), ordered=True),
            Part(list(batch.events.values()), ordered=True),
            Part(to_factory_packs(list(batch.factory.values()), self._bus.message_id), ordered=True, is_packs=True),
        ]

    def _packs(self, readings: Iterable[Outgoing], batch: Batch) -> Part:
        packs = to_packs(readings, self._bus.message_id)
        batch.packs += len(packs)
        for pack in packs:
            PACK_READINGS.observe(count(pack.body))
            PACK_BYTES.observe(len(pack.body))
        return Part(packs, is_packs=True)

    def _leave_to_the_next_holder(self) -> None:
        """Drop what is under way and was not acknowledged; QoS 0 messages come only once, so they stay."""
        self._sorter.left()
        kept: list[Incoming] = []
        for message in self._under_way:
            if message.qos:
                self.in_flight_bytes -= len(message.payload)
                self._finish_unpublished(_kind(message.topic), "lease_lost")
            else:
                kept.append(message)
        self._under_way = kept

    def _leave(self, batch: Batch) -> None:
        """Drop a batch that still trailed when the lease ended; its QoS 0 messages are stored."""
        for message, result in zip(batch.messages, batch.results, strict=True):
            kind = _kind(message.topic)
            self.in_flight_bytes -= len(message.payload)
            if message.qos:
                self._finish_unpublished(kind, "lease_lost")
            else:
                self._qos0 -= 1
                self.accounts.finished[kind, result] += 1
        self._note_idle()

    def _finish(self, batch: Batch, on_stored: Callable[[Sequence[Incoming]], None]) -> None:
        """Account for a batch that is stored as a whole, and have it acknowledged."""
        done = batch.messages
        self.in_flight_bytes -= sum(len(message.payload) for message in done)
        self._qos0 -= sum(message.qos == 0 for message in done)
        accounts = self.accounts
        accounts.finished.update(zip(_kinds(done), batch.results, strict=True))
        accounts.rejected.update(batch.codes)
        accounts.odd.update(batch.odd)
        accounts.ignored.update(batch.ignored)
        accounts.acknowledged(now_ms(), Tally([message.received_at_ms for message in done]))
        self._note_idle()
        on_stored(done)

    def _note_idle(self) -> None:
        if not self._waiting and not self._under_way and not self._trail.held and not self._topics.held:
            self._idle.set()

    def _note_dropped(self, payload: bytes) -> None:
        """Keep the broker's own count; a payload that is not a number is ignored."""
        if payload.isdigit():
            self.accounts.broker_dropped = int(payload)

    def _finish_unpublished(self, kind: str, reason: str) -> None:
        self.accounts.finished[kind, Result.IGNORED] += 1
        self.accounts.ignored[reason] += 1

    def _in_flight_by_kind(self) -> dict[str, int]:
        return dict(Tally(_kinds(list(self._messages()))))

    def _messages(self) -> Iterator[Incoming]:
        """All that is in flight, in the order of receipt."""
        return chain(self._topics.held.messages(), self._trail.held.messages(), self._under_way, self._waiting)


def _spacing_s(readings: int) -> float:
    """Least time in seconds between a batch with so many readings and the next one."""
    return min(_SPACING_S + readings * _SPACING_OF_A_READING_S, _LONGEST_SPACING_S)


def _kinds(messages: Sequence[Incoming]) -> Iterable[str]:
    """The kind of each message, as `_kind`."""
    topics = [message.topic for message in messages]
    return map(_cached_kind if max(map(len, topics), default=0) <= _LONGEST_CACHED else _kind, topics)


def _kind(topic: bytes) -> str:
    """The kind that a message is accounted under, by its topic; long topics are not kept in memory."""
    return _cached_kind(topic) if len(topic) <= _LONGEST_CACHED else _parsed_kind(topic)


def _parsed_kind(topic: bytes) -> str:
    try:
        return parse(decoded(topic)).kind.value
    except Rejected:
        return UNKNOWN_KIND if topic.startswith(b"kaiser/") else FACTORY_KIND


_LONGEST_CACHED = 128
_cached_kind = lru_cache(maxsize=16_384)(_parsed_kind)
