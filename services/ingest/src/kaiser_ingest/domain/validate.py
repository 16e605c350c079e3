"""Validation of what MQTT delivers: a topic and bytes in, outcomes out (docs/devices.md); pure."""

import json
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from kaiser_common.contract.catalogue import UPLINK
from kaiser_common.contract.errors import Code, Rejected
from kaiser_common.contract.schemas.device import Downlink
from kaiser_common.contract.schemas.text_checks import field_with_nul
from kaiser_common.contract.topics import BROADCAST, BUS_KINDS, MOCK_PREFIX, Kind, Topic, is_downlink, is_esp_id, parse
from pydantic import BaseModel
from pydantic_core import from_json, to_json

from kaiser_ingest.domain.device_messages import PARSERS
from kaiser_ingest.domain.fields import Odd
from kaiser_ingest.domain.sensor_messages import readings

MAX_PAYLOAD_BYTES = 16 * 1024


class Accepted(NamedTuple):
    """A message for the bus. kind is that of the bus: each reading of a batch is SENSOR_DATA.

    odd: the fields that were left out, cut or replaced; in a batch those of this reading.
    """

    kind: Kind
    kaiser_id: str
    esp_id: str
    gpio: int | None
    message: BaseModel
    odd: tuple[str, ...] = ()


class Rejection(msgspec.Struct, frozen=True):
    """A bad message with its reason. payload: what a replay would validate again; kind: None for no topic of ours."""

    code: Code
    detail: str
    field: str | None
    esp_id: str | None
    payload: bytes
    kind: Kind | None = None


class Ignored(msgspec.Struct, frozen=True):
    """A message that is neither wanted nor wrong."""

    reason: str


Outcome = Accepted | Rejection | Ignored

_LONGEST_CACHED = 128
_cached = lru_cache(maxsize=16_384)(parse)
"""Devices repeat their topics: 0.1 µs in place of 1.6 µs; at most 8 MB."""

_RETAINED = (Ignored("retained"),)
_NOT_FOR_A_MOCK = (Ignored("downlink"),)
_QUEUE_PRESSURE = (Ignored("queue_pressure"),)
_WILL_TAKEN_BACK = (Ignored("will taken back"),)
"""An empty payload is how MQTT takes a retained message back: no device said anything."""


def validate(topic: str, payload: bytes, received_at_ms: int, retained: bool = False) -> tuple[Outcome, ...]:
    """The outcomes of one MQTT message: one, or one per reading of a batch. Never raises, whatever the input."""
    esp_id: str | None = None
    kind: Kind | None = None
    odd: Odd = []
    try:
        place = _parse(topic)
        esp_id, kind = place.esp_id, place.kind
        if retained and place.kind is not Kind.WILL:
            return _RETAINED
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise Rejected(
                Code.PAYLOAD_TOO_LARGE, f"the payload has {len(payload)} bytes, at most {MAX_PAYLOAD_BYTES} are allowed"
            )
        if is_downlink(place.kind):
            return _downlink(place, topic, payload, received_at_ms)
        if not payload and place.kind is Kind.WILL:
            return _WILL_TAKEN_BACK
        fields = _json_object(payload)
        if place.kind is Kind.QUEUE_PRESSURE:
            return _QUEUE_PRESSURE
        if place.kind is Kind.SENSOR_BATCH:
            return tuple(_batch(place, fields, payload, received_at_ms))
        if place.kind is Kind.DISCOVERY:
            place = _discovered(place, fields)
            esp_id = place.esp_id
        message = _without_nul(place.kind, PARSERS[place.kind](place, fields, received_at_ms, odd), payload, odd)
        if retained:
            message = message.model_copy(update={"retained": True})
    except Rejected as rejected:
        if rejected.code is Code.INVALID_GPIO and esp_id is None:
            esp_id = topic.split("/")[3]
            kind = Kind.ACTUATOR_ALERT if topic.endswith("/alert") else None
        known = esp_id if esp_id is not None and is_esp_id(esp_id) else None
        return (Rejection(rejected.code, rejected.detail, rejected.field, known, payload, kind),)
    bus_kind = BUS_KINDS.get(place.kind, place.kind)
    return (Accepted(bus_kind, place.kaiser_id, place.esp_id, place.gpio, message, tuple(odd)),)


def word_of(outcomes: tuple[Outcome, ...]) -> str:
    """The verdict on a message in a word: the code of the first rejection, else its kind, else why it was ignored."""
    for outcome in outcomes:
        if isinstance(outcome, Rejection):
            return str(int(outcome.code))
    match outcomes:
        case (Accepted(kind=kind), *_):
            return kind.value
        case (Ignored(reason=reason), *_):
            return reason
    return "empty"


def _parse(topic: str) -> Topic:
    """The topic taken apart; long ones, which a device may make up without end, are not kept in memory."""
    return _cached(topic) if len(topic) <= _LONGEST_CACHED else parse(topic)


def _json_object(payload: bytes) -> dict[str, Any]:
    """The object in a payload. Rejected 5209 if it is not JSON (NaN, double keys, bad UTF-8 too), 5206 if no object.

    A payload with exactly as many colons as the object has keys has no double key and no nested object: only
    others are looked at again, key by key.
    """
    try:
        parsed = from_json(payload, allow_inf_nan=False)
        if type(parsed) is not dict:
            raise Rejected(Code.FIELD_TYPE_MISMATCH, "the payload is not a JSON object")
        if payload.count(b":") != len(parsed):
            json.loads(payload, object_pairs_hook=_without_double_keys)
    except ValueError as error:
        raise Rejected(Code.JSON_PARSE_ERROR, str(error)) from error
    return parsed


def _without_double_keys(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("an object has a duplicate key")


def _batch(place: Topic, fields: dict[str, Any], payload: bytes, received_at_ms: int) -> list[Outcome]:
    """An outcome for each reading of a batch; a bad one is rejected as a batch of its own."""
    outcomes: list[Outcome] = []
    odd: Odd = []
    for item, found in readings(place, fields, received_at_ms, odd):
        if isinstance(found, Rejected):
            alone = to_json({**_without_readings(fields), "sensors": [item]}, inf_nan_mode="constants")
            outcomes.append(Rejection(found.code, found.detail, found.field, place.esp_id, alone, place.kind))
        else:
            reading = _without_nul(place.kind, found, payload, odd)
            named = tuple(odd)
            odd.clear()
            outcomes.append(Accepted(Kind.SENSOR_DATA, place.kaiser_id, place.esp_id, found.gpio, reading, named))
    return outcomes


def _without_readings(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a batch that apply to all its readings."""
    return {name: fields[name] for name in ("ts", "timestamp", "esp_id") if name in fields}


def _downlink(place: Topic, topic: str, payload: bytes, received_at_ms: int) -> tuple[Outcome, ...]:
    """Take messages that Kaiser itself sent to mock devices and to all; ignore the others."""
    if not (place.esp_id.startswith(MOCK_PREFIX) or place.esp_id == BROADCAST):
        return _NOT_FOR_A_MOCK
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise Rejected(Code.JSON_PARSE_ERROR, str(error)) from error
    message = Downlink(
        kaiser_id=place.kaiser_id, esp_id=place.esp_id, topic=topic, payload=text, received_at=received_at_ms
    )
    return (Accepted(place.kind, place.kaiser_id, place.esp_id, place.gpio, message),)


def _discovered(place: Topic, fields: dict[str, Any]) -> Topic:
    """The topic with the device that the payload names."""
    esp_id = fields.get("esp_id")
    if esp_id is None:
        raise Rejected(Code.MISSING_REQUIRED_FIELD, "esp_id is missing", "esp_id")
    if type(esp_id) is not str or not is_esp_id(esp_id):
        raise Rejected(Code.INVALID_ESP_ID, f"esp_id {str(esp_id)[:40]!r} is invalid", "esp_id")
    return Topic(place.kind, place.kaiser_id, esp_id, None)


def _without_nul(kind: Kind, message: BaseModel, payload: bytes, odd: Odd) -> BaseModel:
    """The message without the optional fields that hold U+0000 in a text. Rejected 5207 where a required one does."""
    while (name := field_with_nul(message, payload)) is not None:
        info = type(message).model_fields[name]
        if info.is_required() or name in UPLINK[kind].required:
            raise Rejected(Code.VALUE_OUT_OF_RANGE, f"{name} contains the character U+0000", name)
        odd.append(name)
        message = message.model_copy(update={name: info.get_default(call_default_factory=True)})
    return message
