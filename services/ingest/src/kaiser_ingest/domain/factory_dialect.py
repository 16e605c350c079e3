"""The factory's dialect in the pipeline: what each received message adds to FACTORY, TOPICS and REJECTED.

Nothing is kept across a restart: the broker's retained messages are accepted once more, and so restore the memory of
what was known.
"""

import base64
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from kaiser_common.bus.connection import Outgoing
from kaiser_common.contract.errors import Code, Rejected
from kaiser_common.contract.schemas.api.messages import RetainedTopic
from kaiser_common.contract.schemas.event import RejectedMessage
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_common.contract.schemas.sensor import Reading
from kaiser_common.contract.system_events import SystemEventName
from kaiser_factory_dialect import wire
from kaiser_factory_dialect.catalogue import LARGE_BYTES, SMALL_BYTES
from kaiser_factory_dialect.filters import covers, minimal_cover, subscriptions
from kaiser_factory_dialect.intake import MAX_TOPICS, Intake
from kaiser_factory_dialect.kept_messages import headers_of, quoted_topic
from kaiser_factory_dialect.messages import FactoryMessage, TxtSensor
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted, FactoryIgnored, Verdict
from kaiser_factory_dialect.subjects import factory_subject, token, topic_subject
from kaiser_factory_dialect.topics import LONGEST_TOPIC, parse
from kaiser_factory_dialect.txt_readings import readings_of
from pydantic_core import to_json

from kaiser_ingest import metrics
from kaiser_ingest.domain.factory_packs import OF_RETAINED
from kaiser_ingest.domain.incoming import Incoming
from kaiser_ingest.domain.masking import without_secrets
from kaiser_ingest.domain.outgoing import MAX_KEPT_BYTES, MAX_TOPIC_CHARACTERS, content_id
from kaiser_ingest.domain.retained import RetainedMessages
from kaiser_ingest.metrics import Result

KEPT_PACKET_BYTES = 1024 * 1024
"""So much of a packet is kept: enough for every message that is read, and to see that one is too large."""
OWN_MS = 60_000
_MOST_OWN = 10_000
_EPOCHS_KEPT = 4
_HOUR_MS = 3_600_000
_MOST_WARNINGS = 1000
_DEVICES = b"kaiser/"
_OF_DEVICES = _DEVICES.decode()
_MOST_TAKEN = 16_384
_ELSEWHERE: Final = "elsewhere"
"""Why a message of the factory is ignored that another ingest keeps."""

Warn = Callable[[SystemEventName, str, str], None]
"""Called with the name of a system event, its sentence and the topic."""


class Taken(NamedTuple):
    """The result of a message. readings: of a TXT, as device readings. reason: why it was ignored; code: why it was
    rejected."""

    result: Result
    message: Outgoing | None = None
    readings: tuple[Reading, ...] = ()
    as_it_came: Outgoing | None = None
    rejected: Outgoing | None = None
    reason: str | None = None
    code: Code | None = None


class FactoryDialect:
    """Reads the factory's messages, each in the environment of the connection that delivered it."""

    def __init__(
        self,
        interfaces: tuple[str, ...],
        observe: tuple[str, ...],
        device_filters: Iterable[str],
        warn: Warn,
        site: str = "god",
        *,
        reads: bool = True,
        keeps_factory: bool = True,
    ) -> None:
        """site: the kaiser_id under which TXTs are devices. reads: whether this ingest speaks the factory's dialect; if
        not, only what is observed is kept on TOPICS, and none of it is read. keeps_factory: false where another ingest
        keeps the factory's topics, so that they are not there twice."""
        self._site = site
        self.reads = reads
        self._interfaces = interfaces
        self._device_filters = tuple(device_filters)
        self._taken: dict[bytes, bool] = {}
        self._left_out = () if keeps_factory else subscriptions(interfaces)
        self._observes_devices = any(
            covers(each, "kaiser/x") or each.startswith(("kaiser/", "+/")) or each == "#" for each in observe
        )
        self._observe = tuple(observe)
        self._observed: dict[tuple[str, str], tuple[str, str]] = {}
        self.filters = subscriptions(interfaces, observe) if reads else minimal_cover(observe)
        self._warn = warn
        self._warned: dict[tuple[str, str], int] = {}
        self._connections: dict[int, tuple[FactoryEnvironment, Intake]] = {}
        self._times_forgotten = 0
        self._sent: dict[int, int] = {}
        self._retained = RetainedMessages(interfaces)
        self._messages = lru_cache(maxsize=256)(metrics.FACTORY_MESSAGES.labels)
        self._oddities = lru_cache(maxsize=256)(metrics.FACTORY_ODDITIES.labels)
        self._unknown_fields = lru_cache(maxsize=256)(metrics.FACTORY_UNKNOWN_FIELDS.labels)

    def wanted(self, device_filters: Iterable[str]) -> frozenset[str]:
        """The filters to subscribe: the smallest set that covers the devices' and the factory's (MQTT 5 delivers a copy
        for each filter that matches)."""
        return frozenset(minimal_cover((*device_filters, *self.filters)))

    def enter(self, environment: FactoryEnvironment, generation: int, device_filters: Iterable[str]) -> None:
        """Messages of this connection belong to this environment; another epoch begins with an empty memory.

        device_filters: of the devices that are served at its broker."""
        self._device_filters = tuple(device_filters)
        self._taken.clear()
        newest = next(reversed(self._connections.values()), None)
        known = newest is not None and (newest[0].env, newest[0].epoch) == (environment.env, environment.epoch)
        intake = newest[1] if newest is not None and known else Intake(self._interfaces)
        self._connections[generation] = (environment, intake)
        if not known:
            self._observed.clear()
        self._retained = RetainedMessages(self._interfaces)  # the broker sends all of them again
        while len(self._connections) > _EPOCHS_KEPT:
            del self._connections[next(iter(self._connections))]

    def forget(self) -> None:
        """Know no earlier message: what the broker retains is new once more, also where it was stored a moment ago."""
        self._times_forgotten += 1
        self.read_again()

    def read_again(self) -> None:
        """Know no earlier message, because some that were read were not stored: what the broker retains is read once
        more, under the same ids."""
        for _, intake in self._connections.values():
            intake.forget()

    def takes(self, topic: bytes) -> bool:
        """Whether a message is the factory's: every topic but those of devices that are served here."""
        if not topic.startswith(_DEVICES):
            return True
        if not self._observes_devices:
            return not self._device_filters
        known = self._taken.get(topic)
        return self._looks(topic) if known is None else known

    def _looks(self, topic: bytes) -> bool:
        """Whether a message of devices is taken; remembered, because devices repeat their topics."""
        text = topic.decode(errors="backslashreplace")
        found = not any(covers(each, text) for each in self._device_filters)
        if len(topic) <= LONGEST_TOPIC:
            if len(self._taken) >= _MOST_TAKEN:
                self._taken.clear()
            self._taken[topic] = found
        return found

    @property
    def observes_devices(self) -> bool:
        """Whether messages of devices that are served here may be kept on TOPICS too."""
        return self._observes_devices

    def keep(self, message: Incoming, topic: str, word: str, delivery_id: str) -> Outgoing | None:
        """A message of a device for TOPICS, where KAISER_OBSERVE names its topic. word: the verdict on it.

        None: it is not wanted, or it is of a topic more than MAX_TOPICS.
        """
        environment, _ = self._of(message)
        forms = self._observed.get((environment.env, topic))
        if forms is None:
            if len(topic) > LONGEST_TOPIC or not any(covers(each, topic) for each in self._observe):
                return None
            forms = self._observe_topic(environment.env, topic, message.received_at_ms)
            if forms is None:
                return None
        arrival = Arrival(
            topic,
            message.payload,
            message.received_at_ms,
            message.qos,
            message.retained,
            environment.env,
            environment.epoch,
        )
        if message.retained:
            self._retained.note(arrival)
        return _outgoing(arrival, word, delivery_id, forms)

    def retained(self) -> Iterable[RetainedTopic]:
        """The retained topics of the broker, commands first."""
        return self._retained.items()

    def note_sent(self, topic: str, payload: bytes, now_ms: int) -> None:
        """Kaiser sends this: the same message within 60 s is its own."""
        self._sent.pop(key := hash((topic, payload)), None)
        self._sent[key] = now_ms
        while len(self._sent) > _MOST_OWN:
            del self._sent[next(iter(self._sent))]

    def take(self, message: Incoming, topic: str, delivery_id: str) -> Taken:
        """The result of a message. Never raises, whatever the topic and the payload are."""
        environment, intake = self._of(message)
        own = message.received_at_ms - self._sent.get(hash((topic, message.payload)), -OWN_MS - 1) <= OWN_MS
        arrival = Arrival(
            topic,
            message.payload,
            message.received_at_ms,
            message.qos,
            message.retained,
            environment.env,
            environment.epoch,
            own,
        )
        verdict = intake.take(arrival) if self.reads else self._unread(arrival)
        if not _is_not_kept(topic, verdict):
            self._retained.note(arrival)
        identity = delivery_id
        if message.retained:
            again = f".{self._times_forgotten}" * bool(self._times_forgotten)
            identity = f"{OF_RETAINED}{environment.epoch}.{content_id(message.topic, message.payload)}{again}"
        kept = None if _is_not_kept(topic, verdict) else _as_it_came(arrival, verdict, identity)
        match verdict:
            case FactoryAccepted(read, oddities, unknown):
                for odd in oddities:
                    self._oddities(odd).inc()
                if unknown:
                    self._unknown_fields(read.kind.value).inc(len(unknown))
                subject = factory_subject(environment.env, read.kind, read.serial)
                self._messages(read.kind.value, Result.PUBLISHED.value).inc()
                outgoing = Outgoing(subject, wire.encode(read, oddities, unknown), identity)
                return Taken(Result.PUBLISHED, outgoing, self._readings(read, environment), kept)
            case FactoryIgnored(reason):
                self._warn_of(reason, topic, message.received_at_ms)
                self._messages(_kind_of(topic, self._interfaces), Result.IGNORED.value).inc()
                return Taken(Result.IGNORED, as_it_came=kept, reason=reason)
            case Rejected() as rejected:
                self._messages(_kind_of(topic, self._interfaces), Result.REJECTED.value).inc()
                outgoing = _to_rejected(rejected, arrival, self._interfaces, identity)
                return Taken(Result.REJECTED, as_it_came=kept, rejected=outgoing, code=rejected.code)

    def _unread(self, arrival: Arrival) -> FactoryIgnored:
        """The verdict on a message of no device where the factory does not speak."""
        if any(covers(each, arrival.topic) for each in self._left_out):
            return FactoryIgnored(_ELSEWHERE)
        known = (arrival.env, arrival.topic) in self._observed
        if known or self._observe_topic(arrival.env, arrival.topic, arrival.received_at) is not None:
            return FactoryIgnored("observed")
        return FactoryIgnored("too_many")

    def _observe_topic(self, env: str, topic: str, now_ms: int) -> tuple[str, str] | None:
        """The subject and the header of an observed topic, from now on known; None: it is one more than MAX_TOPICS,
        which a system event says."""
        if len(self._observed) >= MAX_TOPICS:
            self._warn_of("too_many", topic, now_ms)
            return None
        forms = topic_subject(env, topic), quoted_topic(topic)
        self._observed[env, topic] = forms
        return forms

    def _readings(self, message: FactoryMessage, environment: FactoryEnvironment) -> tuple[Reading, ...]:
        """Climate and brightness of a TXT as readings of its device, at the time of their receipt."""
        if not isinstance(message, TxtSensor):
            return ()
        return tuple(
            Reading(
                kaiser_id=self._site,
                esp_id=one.device,
                ts=one.ts,
                clock="server",
                device_ts=message.device_ts,
                received_at=message.ts,
                gpio=one.gpio,
                sensor_type=one.sensor_type,
                raw_mode=False,
                value=one.value,
                unit=one.unit,
            )
            for one in readings_of(message, environment.kind)
        )

    def _of(self, message: Incoming) -> tuple[FactoryEnvironment, Intake]:
        found = self._connections.get(message.generation)
        return next(reversed(self._connections.values())) if found is None else found

    def _warn_of(self, reason: str, topic: str, now_ms: int) -> None:
        """A system event, at most one an hour: of a retained command for each topic, of too many for all."""
        if reason not in {"retained_command", "too_many"}:
            return
        key = (reason, topic if reason == "retained_command" else "")
        if now_ms - self._warned.get(key, -_HOUR_MS) < _HOUR_MS:
            return
        self._warned.pop(key, None)
        self._warned[key] = now_ms
        while len(self._warned) > _MOST_WARNINGS:
            del self._warned[next(iter(self._warned))]
        if reason == "retained_command":
            text = f"a command is retained on {topic[:128]}: it fires again whenever its receiver connects"
            self._warn("factory_retained_command", text, topic)
        else:
            self._warn("factory_too_many", f"more topics or serials than are kept: {topic[:128]} is not read", topic)


def _is_not_kept(topic: str, verdict: Verdict) -> bool:
    """Whether TOPICS does not get a message: a subject for each of any number of topics would fill NATS's memory."""
    left_out = isinstance(verdict, FactoryIgnored) and verdict.reason in {"too_many", _ELSEWHERE}
    return len(topic) > LONGEST_TOPIC or left_out


def _as_it_came(arrival: Arrival, verdict: Verdict, identity: str) -> Outgoing:
    """The message for TOPICS; of one that is too large to be read the first 64 KiB."""
    match verdict:
        case FactoryAccepted(message):
            word = message.kind.value
        case FactoryIgnored(reason):
            word = reason
        case Rejected() as rejected:
            word = str(int(rejected.code))
    return _outgoing(arrival, word, identity)


def _outgoing(arrival: Arrival, word: str, identity: str, forms: tuple[str, str] | None = None) -> Outgoing:
    """A message for TOPICS with the word for its verdict: a kind, a reason or a code. forms: the subject and the header
    of its topic, where they are known. Secrets of devices are masked: every viewer may read TOPICS."""
    subject, quoted = forms or (topic_subject(arrival.env, arrival.topic), quoted_topic(arrival.topic))
    payload, whole_bytes = arrival.payload, None
    if arrival.topic.startswith(_OF_DEVICES):
        payload = without_secrets(payload)
    if len(payload) > LARGE_BYTES:
        payload, whole_bytes = payload[:SMALL_BYTES], len(payload)
    return Outgoing(subject, payload, identity, headers=headers_of(arrival, quoted, word, whole_bytes))


def _to_rejected(rejected: Rejected, arrival: Arrival, interfaces: tuple[str, ...], identity: str) -> Outgoing:
    topic = parse(arrival.topic, interfaces)
    serial = topic.serial[:64] if topic is not None and topic.serial else None
    body = RejectedMessage(
        topic=arrival.topic[:MAX_TOPIC_CHARACTERS],
        payload_base64=base64.b64encode(arrival.payload[:MAX_KEPT_BYTES]).decode(),
        code=rejected.code,
        message=rejected.detail,
        field=rejected.field,
        serial=serial,
        received_at=arrival.received_at,
        delivery=identity,
    )
    subject = f"rejected.{int(rejected.code)}.{token(serial) if serial else '_'}"
    return Outgoing(subject, to_json(body, exclude_none=True), identity)


def _kind_of(topic: str, interfaces: tuple[str, ...]) -> str:
    found = parse(topic, interfaces)
    return "uncatalogued" if found is None else found.kind.value
