"""The check at the only exit to devices: each message must match the subject on which it arrived; pure.

NATS grants rights by subject, so a subject must state the effect of its message. Allowed are:

- `mqtt.out.SITE.DEVICE.setup`: configuration, zones, system commands, acknowledgements.
- `mqtt.out.SITE.DEVICE.sensor`: sensor commands, processed values.
- `mqtt.out.SITE.DEVICE.stop`: an emergency stop.
- `mqtt.out.SITE.DEVICE.command.GPIO`: a command to that actuator.
- `mqtt.out.SITE.DEVICE.mock`: a message from a mock device.
- `mqtt.urgent.SITE.DEVICE`: an emergency stop or a clear; OFF for an actuator.
- `mqtt.out.broadcast.all.stop`, `mqtt.urgent.broadcast.all`: the emergency stop of everything.
- `mqtt.out.SITE.=.stop`, `mqtt.urgent.SITE.=`: a pack for several devices of the site. Each line is judged as a message
  of its own: emergency stops, on the urgent one OFF too, and never a clear.

Up to version 0.1 subjects had no kind: `mqtt.out.SITE.DEVICE.GPIO` for commands, `mqtt.out.SITE.DEVICE` for everything
else. Messages that still wait there are sent; nobody has the right to publish new ones there.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
from kaiser_common.contract.catalogue import DOWNLINK, DOWNLINKS
from kaiser_common.contract.errors import Code, Rejected
from kaiser_common.contract.schemas.event import OutboxMessage
from kaiser_common.contract.subjects import SEVERAL
from kaiser_common.contract.topics import (
    BROADCAST,
    MOCK_PREFIX,
    Kind,
    Topic,
    is_downlink,
    is_esp_id,
    is_kaiser_id,
    parse,
)

_EVERYBODY = "all"
_RECEIPT = "esp.actuator.sent"
_STOP, _MOCK_SAYS = "stop", "mock"
_KINDS = {lane: {row.kind for row in DOWNLINKS if row.lane == lane} for lane in ("setup", "sensor", _STOP, _MOCK_SAYS)}
"""The kinds of messages that each lane carries to devices."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """A message that may leave. payload: as it goes to the device, its fields without a value left out.

    stops, clears, commands: what it does to the device's actuators. `gpio` is the actuator's, None the whole device.
    """

    payload: str
    esp_id: str
    gpio: int | None = None
    stops: bool = False
    clears: bool = False
    commands: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that never leaves, and why."""

    code: Code
    detail: str


@dataclass(frozen=True, slots=True)
class _Lane:
    """A subject of the outbox taken apart."""

    urgent: bool
    kaiser_id: str
    esp_id: str
    kind: str | None = None
    gpio: str | None = None

    @property
    def is_pack(self) -> bool:
        """Whether its messages are packs for several devices."""
        return self.esp_id == SEVERAL and (self.urgent or self.kind == _STOP)


def judge(subject: str, message: OutboxMessage, generation: str | None = None) -> Allowed | Refused:
    """Whether a message on this subject, or a line of a pack, may leave. `generation` is the firmware's (A or B), None
    counts as A."""
    try:
        lane = _lane(subject)
        topic = _topic(message.topic)
        if is_downlink(topic.kind):
            return _to_device(lane, topic, message, generation)
        return _of_mock(lane, topic, message)
    except Rejected as rejected:
        return Refused(rejected.code, rejected.detail)


@lru_cache(maxsize=1024)
def _lane(subject: str) -> _Lane:
    match subject.split("."):
        case ["mqtt", "urgent", kaiser_id, esp_id]:
            lane = _Lane(True, kaiser_id, esp_id)
        case ["mqtt", "out", kaiser_id, esp_id]:
            lane = _Lane(False, kaiser_id, esp_id)
        case ["mqtt", "out", kaiser_id, esp_id, kind] if kind in _KINDS:
            lane = _Lane(False, kaiser_id, esp_id, kind)
        case ["mqtt", "out", kaiser_id, esp_id, gpio] | ["mqtt", "out", kaiser_id, esp_id, "command", gpio]:
            lane = _Lane(False, kaiser_id, esp_id, "command", gpio)
        case _:
            raise Rejected(Code.TOPIC_MISMATCH, f"subject {subject[:128]!r} is not a subject of OUTBOX")
    broadcast = (lane.kaiser_id, lane.esp_id) == (BROADCAST, _EVERYBODY)
    if not broadcast and not (is_kaiser_id(lane.kaiser_id) and (is_esp_id(lane.esp_id) or lane.is_pack)):
        raise Rejected(Code.TOPIC_MISMATCH, f"subject {subject[:128]!r} does not name a device")
    if lane.gpio is not None and broadcast:
        raise Rejected(Code.TOPIC_MISMATCH, f"subject {subject[:128]!r} is not a subject of OUTBOX")
    return lane


def _topic(topic: str) -> Topic:
    if len(topic) > 128:
        raise Rejected(Code.UNKNOWN_TOPIC, "the topic is too long")
    return parse(topic)


def _to_device(lane: _Lane, topic: Topic, message: OutboxMessage, generation: str | None) -> Allowed | Refused:
    place = (BROADCAST, _EVERYBODY) if topic.kind is Kind.BROADCAST_EMERGENCY else (topic.kaiser_id, topic.esp_id)
    if place != (lane.kaiser_id, topic.esp_id if lane.is_pack else lane.esp_id):
        return Refused(Code.TOPIC_MISMATCH, "topic and subject name different devices")
    if topic.kind is Kind.SERVER_STATUS:
        return Refused(Code.PERMISSION_DENIED, "only ingest publishes the server's status")
    if message.retain:
        return Refused(Code.PERMISSION_DENIED, "a message to a device must not be retained")
    if message.receipt is not None and not _is_receipt(message.receipt, topic):
        return Refused(Code.PERMISSION_DENIED, "the receipt's subject is not that of this command")
    body, payload = _object(message.payload)
    fault = _lane_fault(lane, topic, body)
    if fault is not None:
        return Refused(Code.PERMISSION_DENIED, fault)
    most = _most_bytes(topic.kind, generation)
    try:
        size = len(message.topic.encode()) + len(payload.encode())
    except UnicodeEncodeError:  # a lone surrogate, which JSON can escape and UTF-8 cannot write
        return Refused(Code.CONFIG_PAYLOAD_INVALID, "the payload contains a lone surrogate")
    if size > most:
        return Refused(
            Code.CONFIG_PAYLOAD_INVALID, f"topic and payload have {size} bytes, the device accepts at most {most}"
        )
    return _effect(topic, body, payload)


def _effect(topic: Topic, body: dict[str, Any], payload: str) -> Allowed:
    if topic.kind is Kind.BROADCAST_EMERGENCY:
        return Allowed(payload, BROADCAST, stops=True)
    if topic.kind is Kind.EMERGENCY:
        clears = body["command"] == "clear_emergency"
        return Allowed(payload, topic.esp_id, stops=not clears, clears=clears)
    if topic.kind is Kind.ACTUATOR_COMMAND:
        return Allowed(payload, topic.esp_id, topic.gpio, commands=body.get("command") != "OFF")
    return Allowed(payload, topic.esp_id)


def _lane_fault(lane: _Lane, topic: Topic, body: dict[str, Any]) -> str | None:
    """Why this kind of message may not come on this subject."""
    command = body.get("command")
    if topic.kind is Kind.ACTUATOR_COMMAND:
        if lane.urgent:
            return None if command == "OFF" else "only OFF overtakes the queue"
        return None if lane.gpio == str(topic.gpio) else "a command comes on the subject of its actuator"
    if lane.gpio is not None:
        return "the subject of an actuator carries its commands alone"
    if lane.kind is not None and topic.kind not in _KINDS[lane.kind]:
        return f"a subject of kind {lane.kind} does not carry this"
    if topic.kind is Kind.BROADCAST_EMERGENCY:
        return None if command == "emergency_stop" else "only an emergency stop goes to all devices"
    if topic.kind is Kind.EMERGENCY:
        if command == "emergency_stop" or (command == "clear_emergency" and lane.urgent and not lane.is_pack):
            return None
        return "a clear comes on the urgent subject of its device alone, and nothing else than a stop beside it"
    return "the urgent subject carries emergencies alone" if lane.urgent else None


def _of_mock(lane: _Lane, topic: Topic, message: OutboxMessage) -> Allowed | Refused:
    """A message of a mock device, published by the simulator. Its payload may be as invalid as a device's."""
    if not topic.esp_id.startswith(MOCK_PREFIX) or (topic.kaiser_id, topic.esp_id) != (lane.kaiser_id, lane.esp_id):
        return Refused(
            Code.PERMISSION_DENIED, "the simulator may publish only for mock devices, each on its own subject"
        )
    if lane.urgent or lane.kind not in (None, _MOCK_SAYS):
        return Refused(Code.PERMISSION_DENIED, "a mock device must use the subject with its own id")
    if message.retain and topic.kind is not Kind.WILL:
        return Refused(Code.PERMISSION_DENIED, "only the will of a mock device may be retained")
    if message.receipt is not None:
        return Refused(Code.PERMISSION_DENIED, "a mock device must not ask for a receipt")
    return Allowed(message.payload, topic.esp_id)


def _is_receipt(receipt: str, topic: Topic) -> bool:
    """True for `esp.actuator.sent.SITE.DEVICE.GPIO.ID` of the very actuator; an id has letters, digits, - and _."""
    prefix, _, command_id = receipt.rpartition(".")
    expected = f"{_RECEIPT}.{topic.kaiser_id}.{topic.esp_id}.{topic.gpio}"
    plain = command_id.replace("-", "").replace("_", "")
    return (
        topic.kind is Kind.ACTUATOR_COMMAND
        and prefix == expected
        and len(command_id) <= 128
        and plain.isascii()
        and plain.isalnum()
    )


def _object(payload: str) -> tuple[dict[str, Any], str]:
    """The payload as an object without nulls, which the firmware reads as the text "null", and as text for the device.
    Raises Rejected.

    A stop comes as the text that goes out: msgspec, which is faster, reads it and writes the same again. Any other
    text, also one with a name twice, is for the standard library.
    """
    if "null" not in payload:
        try:
            body = msgspec.json.decode(payload)
            if isinstance(body, dict) and msgspec.json.encode(body).decode() == payload:
                return body, payload
        except (msgspec.DecodeError, ValueError, RecursionError):
            pass  # the standard library says why
    try:
        body = _without_nulls(_decoded(payload))
        if not isinstance(body, dict):
            raise Rejected(Code.CONFIG_PAYLOAD_INVALID, "the payload is not a JSON object")
        return body, _encoded(body)
    except (ValueError, RecursionError) as error:
        raise Rejected(Code.CONFIG_PAYLOAD_INVALID, f"the payload is not JSON: {error}") from error


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        if None in value:
            raise Rejected(Code.CONFIG_PAYLOAD_INVALID, "a list in the payload holds null")
        return [_without_nulls(each) for each in value]
    return value


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not a number")


def _most_bytes(kind: Kind, generation: str | None) -> int:
    row = DOWNLINK[kind]
    return row.b_most_bytes or row.most_bytes if generation == "B" else row.most_bytes


_decoded = json.JSONDecoder(parse_constant=_no_number).decode
_encoded = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
"""Built once: each call of json.loads and json.dumps with these options builds its own."""
