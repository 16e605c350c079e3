"""Turns received messages into bus messages: each is validated and admitted, then accepted, rejected or ignored.

Nothing waits here. The memory of what was stored lately is lost with the process; `remember` restores it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kaiser_common.bus.connection import Outgoing
from kaiser_common.contract.errors import Code
from kaiser_common.contract.pack import shard_of
from kaiser_common.contract.schemas import DeviceMessage
from kaiser_common.contract.schemas.sensor import Reading
from kaiser_common.contract.subjects import pack_subject
from kaiser_common.contract.topics import Kind, is_downlink, is_esp_id
from kaiser_common.runtime.tracing import Tracer, traceparent_of

from kaiser_ingest.domain.admission import Registered, admit
from kaiser_ingest.domain.clocks import ClockWatch, ServerTimes, WrongClock
from kaiser_ingest.domain.factory_dialect import FactoryDialect, Taken
from kaiser_ingest.domain.identities import DeliveryIds, RecentIds
from kaiser_ingest.domain.incoming import Incoming
from kaiser_ingest.domain.outgoing import reading_id, to_outgoing, to_rejected, unknown_alert, unreadable_alert
from kaiser_ingest.domain.rejection_log import RejectionLog
from kaiser_ingest.domain.stored import rejected_deliveries, stored_readings
from kaiser_ingest.domain.taps import Fate, Taps
from kaiser_ingest.domain.unknown_alerts import UnknownAlerts
from kaiser_ingest.domain.usual import usual_reading
from kaiser_ingest.domain.validate import Accepted, Ignored, Outcome, Rejection, validate, word_of
from kaiser_ingest.domain.verdicts import verdict_of
from kaiser_ingest.metrics import Result

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_USUAL = Fate("accepted", Kind.SENSOR_DATA.value)
_UNKNOWN = ""
"""The site of a device that is not registered: none has this name."""


@dataclass(slots=True)
class Batch:
    """A batch of messages, and what is made of them."""

    messages: Sequence[Incoming] = ()
    others: list[int] = field(default_factory=list)
    """The places of the messages that `Sorter.begin` did not sort."""
    in_order: bool = False
    """It sorted none, because somebody looks at the messages in their order."""
    sensors: dict[str, Outgoing] = field(default_factory=dict)
    devices: dict[str, Outgoing] = field(default_factory=dict)
    factory: dict[str, Outgoing] = field(default_factory=dict)
    topics: dict[str, Outgoing] = field(default_factory=dict)
    rejected: dict[str, Outgoing] = field(default_factory=dict)
    """Rejections that are stored with the batch: of the factory, and of QoS 0 messages, which come only once."""
    trailing: dict[str, Outgoing] = field(default_factory=dict)
    """Rejections that may be stored behind it: of QoS 1 messages, which come again until they are acknowledged."""
    events: dict[str, Outgoing] = field(default_factory=dict)
    unknown_alerts: dict[str, int] = field(default_factory=dict)
    """Devices that are not let in whose alerts become events, each with the receive time (ms)."""
    results: list[Result] = field(default_factory=list)
    """How each message ended, in their order."""
    codes: list[Code] = field(default_factory=list)
    odd: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    heard: dict[tuple[str, str], int] = field(default_factory=dict)
    spans: list["Span"] = field(default_factory=list)
    come_once: set[str] = field(default_factory=set)
    """Ids of messages for TOPICS that came at QoS 0, so the broker does not deliver them again."""
    packs: int = 0
    """Packs of readings into which it was put."""
    comes_again: bool = False
    """Some of its messages are QoS 1, so the broker delivers them again unless they are acknowledged."""


class Sorter:
    """Sorts received messages into batches, and knows what was stored lately: a repeated one is not stored again."""

    def __init__(
        self,
        registered: Registered,
        new_id: Callable[[], str],
        *,
        retention_ms: int,
        shards: int,
        on_wrong_clock: Callable[[WrongClock], None],
        tracer: Tracer | None,
        factory: FactoryDialect | None,
        taps: Taps,
        monotonic: Callable[[], float],
    ) -> None:
        self._monotonic = monotonic
        self._now_s = monotonic()
        self._taps = taps
        self._factory = factory
        self._observer = factory if factory is not None and factory.observes_devices else None
        self._registered = registered
        self._retention_ms = retention_ms
        self._shards = shards
        self._on_wrong_clock = on_wrong_clock
        self._tracer = tracer
        self._delivery_ids = DeliveryIds(new_id)
        self._stored_ids = RecentIds()
        self._rejected_ids = RecentIds()
        self._factory_ids = RecentIds()
        self._topics_ids = RecentIds()
        """Apart: a message is on TOPICS after it is on DEVICES or FACTORY, and has the same id there."""
        self._server_times = ServerTimes()
        self._clock_watch = ClockWatch()
        self._unknown_alerts = UnknownAlerts()
        self._log = RejectionLog()

    def remember(
        self,
        packs: Iterable[tuple[bytes, float]],
        rejections: Iterable[tuple[bytes, float]],
        of_factory: Iterable[tuple[str, float]],
    ) -> None:
        """Know the last packs and rejections that were stored, and the last deliveries on FACTORY, each with its age in
        seconds: the broker may deliver some of these messages again, and others with their packet ids."""
        now_s = self._monotonic()
        for rejection, age_s in rejections:
            self._rejected_ids.add(rejected_deliveries([rejection]), now_s - age_s)
        for delivery, age_s in of_factory:
            self._factory_ids.add([delivery], now_s - age_s)
        for pack, age_s in packs:
            for reading in stored_readings([pack]):
                self._stored_ids.add([reading_id(reading)], now_s - age_s)
                if reading.clock != "device":
                    self._server_times.note(reading)

    def stored(self, batch: Batch) -> None:
        """Know that a batch is stored, but for the rejections that trail, and its messages for TOPICS."""
        now_s = self._monotonic()
        self._stored_ids.add(batch.sensors, now_s)
        self._stored_ids.add(batch.devices, now_s)
        self._factory_ids.add(batch.factory, now_s)
        self._rejected_ids.add(batch.rejected, now_s)
        self._unknown_alerts.published(batch.unknown_alerts)

    def rejections_stored(self, batch: Batch) -> None:
        """Know that the rejections that trailed a batch are stored."""
        self._rejected_ids.add(batch.trailing, self._monotonic())

    def on_topics(self, batch: Batch) -> None:
        """Know that TOPICS has the messages of a batch."""
        self._topics_ids.add(batch.topics, self._monotonic())

    def left(self) -> None:
        """Forget what was not stored: its messages are new again when the broker delivers them."""
        if self._factory is not None:
            self._factory.read_again()

    def begin(self, messages: Sequence[Incoming]) -> Batch:
        """A batch of these messages in which the readings in the usual form are sorted. The others are left to
        `sort_others`: to judge a bad message takes several times as long.

        Where devices' messages are kept as they came or shown, all are left.
        """
        self._now_s = self._monotonic()
        batch = Batch(messages, comes_again=any(message.qos for message in messages))
        batch.in_order = self._observer is not None or self._taps.armed
        batch.results = [Result.PUBLISHED] * len(messages)
        takes = self._takes_usual
        batch.others = [place for place, message in enumerate(messages) if batch.in_order or not takes(message, batch)]
        return batch

    def sort_others(self, batch: Batch) -> None:
        """Accept, reject or ignore the messages that `begin` left, in their order."""
        for place in batch.others:
            batch.results[place] = self._sort(batch.messages[place], batch)

    def _sort(self, message: Incoming, batch: Batch) -> Result:
        """Accept, reject or ignore a message."""
        if self._factory is not None and self._factory.takes(message.topic):
            taken = self._factory.take(message, decoded(message.topic), self._id(message, 0))
            return self._sort_factory(taken, message, batch)
        if batch.in_order and self._takes_usual(message, batch):
            if self._taps.armed:
                self._show(message, decoded(message.topic), _USUAL)
            if self._observer is not None:
                self._observe(self._observer, message, Kind.SENSOR_DATA.value, batch)
            return Result.PUBLISHED
        topic = decoded(message.topic)
        outcomes = validate(topic, message.payload, message.received_at_ms, message.retained)
        oldest_ms = message.received_at_ms - self._retention_ms
        outcomes = admit(outcomes, self._registered, oldest_ms, message.payload)
        result = self._sort_outcomes(outcomes, message, topic, batch)
        if self._taps.armed:
            self._show(message, topic, verdict_of(outcomes))
        if self._observer is not None:
            self._observe(self._observer, message, word_of(outcomes), batch)
        return result

    def _observe(self, observer: FactoryDialect, message: Incoming, word: str, batch: Batch) -> None:
        """Keep a message of a device as it came, in addition to the message made from it."""
        kept = observer.keep(message, decoded(message.topic), word, self._id(message, 0))
        if kept is not None and not self._has(self._topics_ids, kept, message):
            batch.topics.setdefault(kept.msg_id, kept)
            if not message.qos:
                batch.come_once.add(kept.msg_id)

    def _show(self, message: Incoming, topic: str, verdict: Fate) -> None:
        """Keep a message for somebody who looks at its device."""
        at_ms, qos, retained = message.received_at_ms, message.qos, message.retained
        self._taps.came(topic, message.payload, at_ms, verdict, qos=qos, retained=retained)

    def _takes_usual(self, message: Incoming, batch: Batch) -> bool:
        """Put a reading in the usual form on its way; False: it is something else, or `admit` would not let it pass."""
        if message.retained:
            return False
        usual = usual_reading(message.topic, message.payload, message.received_at_ms)
        if usual is None:
            return False
        site = self._registered.get(usual.esp_id, _UNKNOWN)
        if (site is not None and site != usual.kaiser_id) or usual.ts < message.received_at_ms - self._retention_ms:
            return False
        outgoing = Outgoing(
            pack_subject(usual.kaiser_id, shard_of(usual.esp_id, self._shards)), usual.line, usual.identity
        )
        if self._tracer is not None:
            outgoing = self._traced(self._tracer, outgoing, message, batch)
        if usual.identity not in self._stored_ids:
            batch.sensors.setdefault(usual.identity, outgoing)
        batch.heard[usual.kaiser_id, usual.esp_id] = message.received_at_ms
        return True

    def _sort_outcomes(self, outcomes: Sequence[Outcome], message: Incoming, topic: str, batch: Batch) -> Result:
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
        return result

    def _sort_factory(self, taken: Taken, message: Incoming, batch: Batch) -> Result:
        """Add a message of the factory to the batch, as accepted, rejected or ignored.

        Its readings follow the rule of every device: those of one that is not registered and approved are left out.
        """
        for outgoing, part, ids in (
            (taken.message, batch.factory, self._factory_ids),
            (taken.as_it_came, batch.topics, self._topics_ids),
            (taken.rejected, batch.rejected, self._rejected_ids),
        ):
            if outgoing is not None and not self._has(ids, outgoing, message):
                part.setdefault(outgoing.msg_id, outgoing)
        if taken.as_it_came is not None and not message.qos:
            batch.come_once.add(taken.as_it_came.msg_id)
        for reading in taken.readings:
            if reading.esp_id in self._registered:
                unique = self._server_times.of(reading)
                accepted = Accepted(Kind.SENSOR_DATA, unique.kaiser_id, unique.esp_id, unique.gpio, unique)
                outgoing = to_outgoing(accepted, self._id(message, 0), self._shards)
                if not self._has(self._stored_ids, outgoing, message, unique):
                    batch.sensors.setdefault(outgoing.msg_id, outgoing)
                batch.heard[reading.kaiser_id, reading.esp_id] = message.received_at_ms
        if taken.code is not None:
            batch.codes.append(taken.code)
        if taken.reason is not None:
            batch.ignored.append(taken.reason)
        return taken.result

    def _take_accepted(self, accepted: Accepted, message: Incoming, index: int, batch: Batch) -> None:
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
        if not self._has(self._stored_ids, outgoing, message, content):
            part.setdefault(outgoing.msg_id, outgoing)
        if accepted.odd:
            batch.odd.extend((kind.value, name) for name in accepted.odd)
        if not is_downlink(kind):
            if kind is not Kind.WILL:
                batch.heard[accepted.kaiser_id, accepted.esp_id] = message.received_at_ms
            if isinstance(content, DeviceMessage) and (wrong := self._clock_watch.note(content)) is not None:
                self._on_wrong_clock(wrong)

    def _take_rejection(self, rejection: Rejection, topic: str, message: Incoming, index: int, batch: Batch) -> None:
        """Keep a bad message with its reason; that an alert was among them is an event."""
        identity = self._id(message, index)
        outgoing = to_rejected(rejection, topic, message.received_at_ms, identity)
        if not self._has(self._rejected_ids, outgoing, message):
            (batch.trailing if message.qos else batch.rejected)[outgoing.msg_id] = outgoing
        batch.codes.append(rejection.code)
        if rejection.kind is Kind.ACTUATOR_ALERT and rejection.esp_id is not None and is_esp_id(rejection.esp_id):
            known, received_at = rejection.esp_id in self._registered, message.received_at_ms
            if known or self._unknown_alerts.allows(rejection.esp_id, received_at, batch.unknown_alerts):
                if not known:
                    batch.unknown_alerts[rejection.esp_id] = received_at
                event_of = unreadable_alert if known else unknown_alert
                event = event_of(rejection, topic, received_at, identity)
                batch.events[event.msg_id] = event
        self._log.add(rejection, topic, self._now_s)

    def _traced(self, tracer: Tracer, outgoing: Outgoing, message: Incoming, batch: Batch) -> Outgoing:
        """The same message, of some with a trace that begins at its receipt."""
        if not tracer.samples():
            return outgoing
        span = tracer.begin("ingest", message.received_at_ms * 1_000_000, message.topic.decode(errors="replace"))
        batch.spans.append(span)
        return outgoing._replace(traceparent=traceparent_of(span))

    def _has(self, ids: RecentIds, outgoing: Outgoing, message: Incoming, content: object = None) -> bool:
        """Whether this is stored. A reading with the device's clock is the same fact however late it is repeated."""
        if type(content) is Reading and content.clock == "device":
            return outgoing.msg_id in ids
        return ids.has_delivery(outgoing.msg_id, self._now_s, duplicate=message.duplicate)

    def _id(self, message: Incoming, index: int) -> str:
        identity = self._delivery_ids.of(message, self._now_s)
        return identity if index == 0 else f"{identity}.{index}"


def decoded(topic: bytes) -> str:
    """A topic as text; a topic that is not UTF-8 becomes an unknown one."""
    return topic.decode(errors="backslashreplace")
