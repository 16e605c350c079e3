"""The factory's dialect in the pipeline: a received message to what FACTORY, TOPICS and REJECTED get of it.

Nothing is kept over a restart: what the broker retains is accepted once more and fills in what is known already.
"""

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import quote

from kaiser_common.bus.connection import Outgoing
from kaiser_common.contract.errors import Code, Rejected
from kaiser_common.contract.schemas.event import RejectedMessage
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_common.contract.schemas.sensor import Reading
from kaiser_factory_dialect import wire
from kaiser_factory_dialect.catalogue import LARGE_BYTES, SMALL_BYTES
from kaiser_factory_dialect.filters import covers, minimal_cover, subscriptions
from kaiser_factory_dialect.intake import Intake
from kaiser_factory_dialect.messages import FactoryMessage, TxtSensor
from kaiser_factory_dialect.reading import Accepted, Arrival, Ignored, Verdict
from kaiser_factory_dialect.subjects import factory_subject, token, topic_subject
from kaiser_factory_dialect.topics import LONGEST_TOPIC, parse
from kaiser_factory_dialect.txt_readings import readings_of
from pydantic_core import to_json

from kaiser_ingest import metrics
from kaiser_ingest.domain.incoming import Incoming
from kaiser_ingest.domain.outgoing import MAX_KEPT_BYTES, MAX_TOPIC_CHARACTERS, content_id
from kaiser_ingest.metrics import Result

KEPT_PACKET_BYTES = 1024 * 1024
"""So much of a packet is kept: enough for every message that is read, and to see that one is too large."""
OWN_MS = 60_000
_MOST_OWN = 10_000
_EPOCHS_KEPT = 4
_HOUR_MS = 3_600_000
_MOST_WARNINGS = 1000
_DEVICES = b"kaiser/"
_PLAIN = "/:@!$&'()*,;=+ #<>[]{}|^`\"\\?"
"""What stands in the header of a topic as it is, beside letters and digits; other bytes are %XX."""

Warn = Callable[[str, str, str], None]
"""Called with the name of a system event, its sentence and the topic."""


@dataclass(frozen=True, slots=True)
class Taken:
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
    ) -> None:
        """site: the kaiser_id under which TXTs are devices."""
        self._site = site
        self._interfaces = interfaces
        self._device_filters = tuple(device_filters)
        self._observes_devices = any(
            covers(each, "kaiser/x") or each.startswith(("kaiser/", "+/")) or each == "#" for each in observe
        )
        self.filters = subscriptions(interfaces, observe)
        self._warn = warn
        self._warned: dict[tuple[str, str], int] = {}
        self._connections: dict[int, tuple[FactoryEnvironment, Intake]] = {}
        self._sent: dict[int, int] = {}

    def wanted(self) -> frozenset[str]:
        """The filters to subscribe: the smallest set that covers the devices' and the factory's (MQTT 5 delivers a copy
        for each filter that matches)."""
        return frozenset(minimal_cover((*self._device_filters, *self.filters)))

    def enter(self, environment: FactoryEnvironment, generation: int) -> None:
        """Messages of this connection belong to this environment; another epoch begins with an empty memory."""
        newest = next(reversed(self._connections.values()), None)
        known = newest is not None and (newest[0].env, newest[0].epoch) == (environment.env, environment.epoch)
        intake = newest[1] if newest is not None and known else Intake(self._interfaces)
        self._connections[generation] = (environment, intake)
        while len(self._connections) > _EPOCHS_KEPT:
            del self._connections[next(iter(self._connections))]

    def takes(self, topic: bytes) -> bool:
        """Whether a message is the factory's: every topic but those of devices that are served here."""
        if not topic.startswith(_DEVICES):
            return True
        if not self._observes_devices:
            return not self._device_filters
        text = topic.decode(errors="backslashreplace")
        return not any(covers(each, text) for each in self._device_filters)

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
        verdict = intake.take(arrival)
        identity = delivery_id
        if message.retained:
            identity = f"ret.{environment.epoch}.{content_id(message.topic, message.payload)}"
        kept = None if _is_not_kept(topic, verdict) else _as_it_came(arrival, verdict, identity)
        match verdict:
            case Accepted(read, oddities, unknown):
                for odd in oddities:
                    metrics.FACTORY_ODDITIES.labels(odd).inc()
                if unknown:
                    metrics.FACTORY_UNKNOWN_FIELDS.labels(read.kind.value).inc(len(unknown))
                subject = factory_subject(environment.env, read.kind, read.serial)
                metrics.FACTORY_MESSAGES.labels(read.kind.value, Result.PUBLISHED.value).inc()
                outgoing = Outgoing(subject, wire.encode(read), identity)
                return Taken(Result.PUBLISHED, outgoing, self._readings(read, environment), kept)
            case Ignored(reason):
                self._warn_of(reason, topic, message.received_at_ms)
                metrics.FACTORY_MESSAGES.labels(_kind_of(topic, self._interfaces), Result.IGNORED.value).inc()
                return Taken(Result.IGNORED, as_it_came=kept, reason=reason)
            case Rejected() as rejected:
                metrics.FACTORY_MESSAGES.labels(_kind_of(topic, self._interfaces), Result.REJECTED.value).inc()
                outgoing = _to_rejected(rejected, arrival, self._interfaces, identity)
                return Taken(Result.REJECTED, as_it_came=kept, rejected=outgoing, code=rejected.code)

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
    return len(topic) > LONGEST_TOPIC or (isinstance(verdict, Ignored) and verdict.reason == "too_many")


def _as_it_came(arrival: Arrival, verdict: Verdict, identity: str) -> Outgoing:
    """The message for TOPICS; of one that is too large to be read the first 64 KiB."""
    match verdict:
        case Accepted(message):
            word = message.kind.value
        case Ignored(reason):
            word = reason
        case Rejected() as rejected:
            word = str(int(rejected.code))
    headers = [
        ("Mqtt-Topic", quote(arrival.topic, safe=_PLAIN, errors="replace")),
        ("Mqtt-Qos", str(arrival.qos)),
        ("Mqtt-Retain", str(int(arrival.retained))),
        ("Kaiser-Received-At", str(arrival.received_at * 1_000_000)),
        ("Kaiser-Verdict", word),
        ("Kaiser-Epoch", str(arrival.epoch)),
        ("Kaiser-Own", str(int(arrival.own))),
    ]
    payload = arrival.payload
    if len(payload) > LARGE_BYTES:
        headers.append(("Kaiser-Length", str(len(payload))))
        payload = payload[:SMALL_BYTES]
    return Outgoing(topic_subject(arrival.env, arrival.topic), payload, identity, headers=tuple(headers))


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
