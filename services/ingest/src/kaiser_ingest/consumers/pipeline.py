"""From received bytes to what is stored: validate what has arrived, publish it, then have it acknowledged.

One batch is under way at a time, so order is kept and what is in flight is bounded by the window. A process that is
killed has acknowledged nothing that is not stored: the broker delivers the rest again, and the ids make it harmless.
"""

import asyncio
import math
import time
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import structlog
from kaiser_common.bus.connection import Bus, BusUnavailable, Outgoing
from kaiser_common.bus.metrics import STAGE_SECONDS
from kaiser_common.contract.errors import Code, Rejected
from kaiser_common.contract.pack import count, shard_of
from kaiser_common.contract.schemas import DeviceMessage
from kaiser_common.contract.schemas.sensor import Reading
from kaiser_common.contract.subjects import pack_subject
from kaiser_common.contract.topics import Kind, is_downlink, is_esp_id, parse
from kaiser_common.runtime.tracing import Tracer, traceparent_of

from kaiser_ingest.domain.admission import Registered, admit
from kaiser_ingest.domain.clocks import ClockWatch, ServerTimes, WrongClock
from kaiser_ingest.domain.factory_dialect import FactoryDialect, Taken
from kaiser_ingest.domain.identities import DeliveryIds, RecentIds
from kaiser_ingest.domain.incoming import Incoming
from kaiser_ingest.domain.outgoing import (
    reading_id,
    to_outgoing,
    to_packs,
    to_rejected,
    to_rejected_packs,
    unknown_alert,
    unreadable_alert,
)
from kaiser_ingest.domain.rejection_log import RejectionLog
from kaiser_ingest.domain.stored import rejected_deliveries, stored_readings
from kaiser_ingest.domain.unknown_alerts import UnknownAlerts
from kaiser_ingest.domain.usual import UsualReading, usual_reading
from kaiser_ingest.domain.validate import Accepted, Ignored, Outcome, Rejection, validate
from kaiser_ingest.metrics import PACK_BYTES, PACK_READINGS, Accounts, Result

if TYPE_CHECKING:
    from opentelemetry.trace import Span

log = structlog.get_logger()

UNKNOWN_KIND = "unknown"
FACTORY_KIND = "factory"
"""All messages that are no devices' are accounted together; the factory's own metric has their kinds."""
_UNKNOWN = ""
"""The site of a device that is not registered: none has this name."""
DROPPED_TOPIC = "$SYS/broker/publish/messages/dropped"
"""Where Mosquitto tells how many messages it has dropped since it started; no message of a device."""
_DROPPED_TOPIC = DROPPED_TOPIC.encode()
_BATCH_BYTES = 1024 * 1024
_RETRY_S = 0.5
_PUBLISH_S = 10.0
"""How long a part of a batch is repeated before the batch is looked at again."""
_SPACING_S = 0.005
"""Least time between two batches: each pack costs NATS a sync and 0.3 to 1 ms, however small it is. The first message
after a quiet moment waits for nothing."""
_FULL = 500
"""A batch of so many messages is followed by the next without waiting."""


@dataclass(slots=True)
class _Batch:
    """The results of a batch of messages."""

    sensors: dict[str, Outgoing] = field(default_factory=dict)
    devices: dict[str, Outgoing] = field(default_factory=dict)
    factory: dict[str, Outgoing] = field(default_factory=dict)
    topics: dict[str, Outgoing] = field(default_factory=dict)
    rejected: dict[str, Outgoing] = field(default_factory=dict)
    events: dict[str, Outgoing] = field(default_factory=dict)
    unknown_alerts: dict[str, int] = field(default_factory=dict)
    """Devices that are not let in whose alerts become events, each with the receive time (ms)."""
    results: list[Result] = field(default_factory=list)
    codes: list[Code] = field(default_factory=list)
    odd: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    heard: dict[tuple[str, str], int] = field(default_factory=dict)
    spans: list["Span"] = field(default_factory=list)
    comes_again: bool = False
    """Some of its messages are QoS 1, so the broker delivers them again unless they are acknowledged."""


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
    ) -> None:
        self._bus = bus
        self._factory = factory
        self._registered = registered
        self._retention_ms = retention_ms
        self._batch_size = batch_size
        self._qos0_limit = qos0_limit
        self._shards = shards
        self._on_heard = on_heard
        self._on_wrong_clock = on_wrong_clock
        self._tracer = tracer
        self._waiting: deque[Incoming] = deque()
        self._under_way: list[Incoming] = []
        self._qos0 = 0
        self.in_flight_bytes = 0
        """Bytes of the payloads received and not yet stored."""
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._delivery_ids = DeliveryIds(bus.message_id)
        self._stored_ids = RecentIds()
        self._rejected_ids = RecentIds()
        self._server_times = ServerTimes()
        self._valid_until: Callable[[], float] = lambda: math.inf
        self._clock_watch = ClockWatch()
        self._unknown_alerts = UnknownAlerts()
        self._log = RejectionLog()
        self._seconds = STAGE_SECONDS.labels("mqtt_to_bus")
        self.accounts = Accounts(self._in_flight_by_kind, self.oldest_age_s)

    @property
    def in_flight(self) -> int:
        """QoS 1 messages received and not yet stored."""
        return len(self._waiting) + len(self._under_way) - self._qos0

    def oldest_age_s(self) -> float:
        """Age of the oldest message that is not stored yet; 0 if there is none."""
        oldest = self._under_way or self._waiting
        return max(0.0, time.time() - oldest[0].received_at_ms / 1000) if oldest else 0.0

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
        if not kept and not self._under_way:
            self._idle.set()

    async def drained(self, timeout_s: float) -> bool:
        """Wait until nothing is in flight; False if that takes longer."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def run(self, on_stored: Callable[[Sequence[Incoming]], None]) -> None:
        """Store what arrives until cancelled; `on_stored` is called with what is stored, in the order of receipt."""
        while True:
            await self._arrived.wait()
            began_at = time.monotonic()
            self._under_way = self._take()
            if not self._under_way:
                self._arrived.clear()
                self._idle.set()
                continue
            batch = self._prepare(self._under_way)
            while not await self._store(batch):
                self._leave_to_the_next_holder()
                batch = self._prepare(self._under_way)
            if self._under_way:
                on_stored(self._finish(batch))
            elif not self._waiting:
                self._idle.set()
            if len(batch.results) < _FULL:
                await asyncio.sleep(max(0.0, began_at + _SPACING_S - time.monotonic()))

    def hold(self, packs: Iterable[bytes], rejections: Iterable[bytes], valid_until: Callable[[], float]) -> None:
        """Begin as the holder of the lease, which is valid until then (monotonic): publish packs only so long.

        packs, rejections: the last ones that were stored. The broker may deliver some of their messages again.
        """
        self._valid_until = valid_until
        self._rejected_ids.add(rejected_deliveries(rejections))
        for reading in stored_readings(packs):
            self._stored_ids.add([reading_id(reading)])
            if reading.clock != "device":
                self._server_times.note(reading)

    def _take(self) -> list[Incoming]:
        """The next messages in order: what has arrived, up to the batch size and about 1 MiB."""
        taken: list[Incoming] = []
        size = 0
        waiting = self._waiting
        while waiting and len(taken) < self._batch_size and size < _BATCH_BYTES:
            message = waiting.popleft()
            size += len(message.payload)
            taken.append(message)
        return taken

    def _prepare(self, messages: Sequence[Incoming]) -> _Batch:
        batch = _Batch(comes_again=any(message.qos for message in messages))
        for message in messages:
            if self._factory is not None and self._factory.takes(message.topic):
                taken = self._factory.take(message, _decoded(message.topic), self._id(message, 0))
                self._sort_factory(taken, message, batch)
                continue
            oldest_ms = message.received_at_ms - self._retention_ms
            if not message.retained:
                usual = usual_reading(message.topic, message.payload, message.received_at_ms)
                if usual is not None and self._admits(usual, oldest_ms):
                    self._take_usual(usual, message, batch)
                    continue
            topic = _decoded(message.topic)
            outcomes = validate(topic, message.payload, message.received_at_ms, message.retained)
            outcomes = admit(outcomes, self._registered, oldest_ms, message.payload)
            self._sort(outcomes, message, topic, batch)
        return batch

    def _admits(self, usual: UsualReading, oldest_ms: int) -> bool:
        """Whether `admit` would let it pass; if not, that gives the verdict."""
        site = self._registered.get(usual.esp_id, _UNKNOWN)
        return (site is None or site == usual.kaiser_id) and usual.ts >= oldest_ms

    def _take_usual(self, usual: UsualReading, message: Incoming, batch: _Batch) -> None:
        outgoing = Outgoing(
            pack_subject(usual.kaiser_id, shard_of(usual.esp_id, self._shards)), usual.line, usual.identity
        )
        if self._tracer is not None:
            outgoing = self._traced(self._tracer, outgoing, message, batch)
        if usual.identity not in self._stored_ids:
            batch.sensors.setdefault(usual.identity, outgoing)
        batch.heard[usual.kaiser_id, usual.esp_id] = message.received_at_ms
        batch.results.append(Result.PUBLISHED)

    def _sort(self, outcomes: Sequence[Outcome], message: Incoming, topic: str, batch: _Batch) -> None:
        """Put the outcomes of one message where they belong."""
        result = Result.IGNORED
        for index, outcome in enumerate(outcomes):
            if type(outcome) is Accepted:
                result = Result.PUBLISHED
                self._take_accepted(outcome, message, index, batch)
            elif type(outcome) is Rejection:
                if result is Result.IGNORED:
                    result = Result.REJECTED
                self._take_rejection(outcome, topic, message, index, batch)
            elif type(outcome) is Ignored:
                batch.ignored.append(outcome.reason)
        if not outcomes:
            batch.ignored.append("empty")
        batch.results.append(result)

    def _sort_factory(self, taken: Taken, message: Incoming, batch: _Batch) -> None:
        """Add a message of the factory to the batch, as accepted, rejected or ignored.

        Its readings follow the rule of every device: those of one that is not registered and approved are left out.
        """
        for outgoing, part in (
            (taken.message, batch.factory),
            (taken.as_it_came, batch.topics),
            (taken.rejected, batch.rejected),
        ):
            ids = self._rejected_ids if part is batch.rejected else self._stored_ids
            if outgoing is not None and outgoing.msg_id not in ids:
                part.setdefault(outgoing.msg_id, outgoing)
        for reading in taken.readings:
            if reading.esp_id in self._registered:
                unique = self._server_times.of(reading)
                accepted = Accepted(Kind.SENSOR_DATA, unique.kaiser_id, unique.esp_id, unique.gpio, unique)
                outgoing = to_outgoing(accepted, self._id(message, 0), self._shards)
                if outgoing.msg_id not in self._stored_ids:
                    batch.sensors.setdefault(outgoing.msg_id, outgoing)
                batch.heard[reading.kaiser_id, reading.esp_id] = message.received_at_ms
        if taken.code is not None:
            batch.codes.append(taken.code)
        if taken.reason is not None:
            batch.ignored.append(taken.reason)
        batch.results.append(taken.result)

    def _take_accepted(self, accepted: Accepted, message: Incoming, index: int, batch: _Batch) -> None:
        """Put a good message on its way, unless it was stored just now, and note what is odd about it."""
        content = accepted.message
        kind = accepted.kind
        if type(content) is Reading:
            if content.clock == "device":
                outgoing, part = to_outgoing(accepted, "", self._shards), batch.sensors
            else:
                unique = accepted._replace(message=self._server_times.of(content))
                outgoing, part = to_outgoing(unique, self._id(message, index), self._shards), batch.sensors
        else:
            outgoing, part = to_outgoing(accepted, self._id(message, index)), batch.devices
        if self._tracer is not None:
            outgoing = self._traced(self._tracer, outgoing, message, batch)
        if outgoing.msg_id not in self._stored_ids:
            part.setdefault(outgoing.msg_id, outgoing)
        if accepted.odd:
            batch.odd.extend((kind.value, name) for name in accepted.odd)
        if not is_downlink(kind):
            if kind is not Kind.WILL:
                batch.heard[accepted.kaiser_id, accepted.esp_id] = message.received_at_ms
            if isinstance(content, DeviceMessage) and (wrong := self._clock_watch.note(content)) is not None:
                self._on_wrong_clock(wrong)

    def _take_rejection(self, rejection: Rejection, topic: str, message: Incoming, index: int, batch: _Batch) -> None:
        """Keep a bad message with its reason; that an alert was among them is an event."""
        identity = self._id(message, index)
        outgoing = to_rejected(rejection, topic, message.received_at_ms, identity)
        if outgoing.msg_id not in self._rejected_ids:
            batch.rejected[outgoing.msg_id] = outgoing
        batch.codes.append(rejection.code)
        if rejection.kind is Kind.ACTUATOR_ALERT and rejection.esp_id is not None and is_esp_id(rejection.esp_id):
            known, received_at = rejection.esp_id in self._registered, message.received_at_ms
            if known or self._unknown_alerts.allows(rejection.esp_id, received_at, batch.unknown_alerts):
                if not known:
                    batch.unknown_alerts[rejection.esp_id] = received_at
                event_of = unreadable_alert if known else unknown_alert
                event = event_of(rejection, topic, received_at, identity)
                batch.events[event.msg_id] = event
        self._log.add(rejection, topic, time.monotonic())

    def _traced(self, tracer: Tracer, outgoing: Outgoing, message: Incoming, batch: _Batch) -> Outgoing:
        """The same message, of some with a trace that begins at its receipt."""
        if not tracer.samples():
            return outgoing
        span = tracer.begin("ingest", message.received_at_ms * 1_000_000, message.topic.decode(errors="replace"))
        batch.spans.append(span)
        return outgoing._replace(traceparent=traceparent_of(span))

    def _id(self, message: Incoming, index: int) -> str:
        identity = self._delivery_ids.of(message)
        return identity if index == 0 else f"{identity}.{index}"

    async def _store(self, batch: _Batch) -> bool:
        """Publish until all is stored, however long NATS is away; in order but for readings: each has its time.

        False: packs whose messages the broker delivers again are left, and the lease is over. A process that was
        stopped for a while must not publish them behind the next holder, because JetStream does not know a line of a
        pack by its id.
        """
        packs = to_packs(batch.sensors.values(), self._bus.message_id)
        rejected = to_rejected_packs(list(batch.rejected.values()), self._bus.message_id)
        others = [list(part.values()) for part in (batch.devices, batch.factory, batch.topics, batch.events)]
        parts = [(part, False) for part in (packs, rejected) if part] + [(part, True) for part in others if part]
        while parts:
            within_s = _PUBLISH_S
            if batch.comes_again and not parts[0][1]:
                within_s = min(within_s, self._valid_until() - time.monotonic())
                if within_s <= 0:
                    return False
            answers = await asyncio.gather(
                *(self._bus.publish_batch(part, ordered=ordered, deadline_s=within_s) for part, ordered in parts),
                return_exceptions=True,
            )
            failed: list[tuple[list[Outgoing], bool]] = []
            for (part, ordered), answer in zip(parts, answers, strict=True):
                if isinstance(answer, BusUnavailable):
                    log.warning("not_stored_yet", messages=len(part), reason=str(answer))
                    failed.append((part, ordered))
                elif answer is not None:
                    raise answer
            parts = failed
            if parts:
                await asyncio.sleep(_RETRY_S)
        for pack in packs:
            PACK_READINGS.observe(count(pack.body))
            PACK_BYTES.observe(len(pack.body))
        return True

    def _leave_to_the_next_holder(self) -> None:
        """Drop what is under way and was not acknowledged; QoS 0 messages come only once, so they stay."""
        kept: list[Incoming] = []
        for message in self._under_way:
            if message.qos:
                self.in_flight_bytes -= len(message.payload)
                self._finish_unpublished(_kind(message.topic), "lease_lost")
            else:
                kept.append(message)
        self._under_way = kept

    def _finish(self, batch: _Batch) -> list[Incoming]:
        """Account for the batch that is stored; returns its messages."""
        done, self._under_way = self._under_way, []
        self._stored_ids.add(batch.sensors)
        self._stored_ids.add(batch.devices)
        self._stored_ids.add(batch.topics)
        self._rejected_ids.add(batch.rejected)
        self._unknown_alerts.published(batch.unknown_alerts)
        self.in_flight_bytes -= sum(len(message.payload) for message in done)
        now_ms = time.time_ns() // 1_000_000
        self._qos0 -= sum(message.qos == 0 for message in done)
        accounts = self.accounts
        accounts.finished.update(
            Tally((_kind(message.topic), result) for message, result in zip(done, batch.results, strict=True))
        )
        accounts.rejected.update(batch.codes)
        accounts.odd.update(batch.odd)
        accounts.ignored.update(batch.ignored)
        accounts.acknowledged([(now_ms - message.received_at_ms) / 1000 for message in done])
        self._seconds.observe(max(0, now_ms - done[0].received_at_ms) / 1000)
        for span in batch.spans:
            span.end()
        self._on_heard(batch.heard)
        if not self._waiting:
            self._idle.set()
        return done

    def _note_dropped(self, payload: bytes) -> None:
        """Keep the broker's own count; what is no number is left alone."""
        if payload.isdigit():
            self.accounts.broker_dropped = int(payload)

    def _finish_unpublished(self, kind: str, reason: str) -> None:
        self.accounts.finished[kind, Result.IGNORED] += 1
        self.accounts.ignored[reason] += 1

    def _in_flight_by_kind(self) -> dict[str, int]:
        return dict(Tally(_kind(message.topic) for message in (*self._under_way, *self._waiting)))


def _kind(topic: bytes) -> str:
    """The kind that a message is accounted under, by its topic; long topics are not kept in memory."""
    return _cached_kind(topic) if len(topic) <= _LONGEST_CACHED else _parsed_kind(topic)


def _parsed_kind(topic: bytes) -> str:
    try:
        return parse(_decoded(topic)).kind.value
    except Rejected:
        return UNKNOWN_KIND if topic.startswith(b"kaiser/") else FACTORY_KIND


_LONGEST_CACHED = 128
_cached_kind = lru_cache(maxsize=16_384)(_parsed_kind)


def _decoded(topic: bytes) -> str:
    """A topic as text; a topic that is not UTF-8 becomes an unknown one."""
    return topic.decode(errors="backslashreplace")
