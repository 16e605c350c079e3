"""The fast path for readings in the usual form: one call turns such a payload into its line for the bus; pure.

Both firmware generations and most other devices write readings in this form, and the fast path takes a fifth of the
time. It never rejects: a payload that differs in any way goes to `validate`, which would produce the same line for a
usual one.
"""

import re
from functools import lru_cache
from typing import Annotated

import msgspec
from kaiser_common.contract.bounds import MAX_NAME, MAX_NUMBER, MAX_SENSOR_TYPE, MAX_SEQUENCE, MAX_UNIT
from kaiser_common.contract.errors import Rejected
from kaiser_common.contract.schemas import Clock
from kaiser_common.contract.schemas.sensor import Quality
from kaiser_common.contract.topics import Kind, Topic, parse

from kaiser_ingest.domain.fields import BELIEVED_FROM_MS, MAX_AHEAD_MS, MILLISECONDS_FROM
from kaiser_ingest.domain.outgoing import figures
from kaiser_ingest.domain.validate import MAX_PAYLOAD_BYTES

_TYPE_NAME = re.compile(rf"[A-Za-z0-9_.+-]{{1,{MAX_SENSOR_TYPE}}}\Z")
_SIGNED_BELOW = 2**31
"""From here on a raw value may stand for a negative one."""
_LONGEST_TOPIC = 128

_Unit = Annotated[str, msgspec.Meta(max_length=MAX_UNIT)]
_Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME)]
_SequenceNumber = Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQUENCE)]


class _Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of the usual form. time_valid is of no use, but generation B sends it."""

    ts: int
    esp_id: str
    gpio: int
    sensor_type: str
    raw_mode: bool
    raw: int | float | None = None
    raw_value: float | None = None
    value: float | None = None
    unit: _Unit | None = None
    quality: Quality | None = None
    zone_id: _Name | None = None
    subzone_id: _Name | None = None
    seq: _SequenceNumber | None = None
    time_valid: bool | None = None


_KEYS = 14


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """A `schemas.sensor.Reading` as it is written, without fields that are None."""

    kaiser_id: str
    esp_id: str
    ts: int
    clock: Clock
    received_at: int
    replayed: bool
    gpio: int
    sensor_type: str
    address: str
    raw_mode: bool
    quality: Quality
    raw: int | float | None = None
    raw_value: float | None = None
    value: float | None = None
    unit: str | None = None
    zone_id: str | None = None
    subzone_id: str | None = None
    seq: int | None = None


class UsualReading(msgspec.Struct, frozen=True):
    """A good reading with the device's clock. `identity` is what `outgoing.reading_id` gives for it."""

    kaiser_id: str
    esp_id: str
    ts: int
    identity: str
    line: bytes


_decode = msgspec.json.Decoder(_Payload).decode
_encode = msgspec.json.Encoder().encode


def usual_reading(topic: bytes, payload: bytes, received_at_ms: int) -> UsualReading | None:
    """The reading, or None: then `validate` decides what the message is.

    A payload without a backslash and with as many colons as keys that are not null has no escape, no nested object, no
    null and no key twice.
    """
    place = _place(topic) if len(topic) <= _LONGEST_TOPIC else None
    if place is None or b"\\" in payload or len(payload) > MAX_PAYLOAD_BYTES:
        return None
    try:
        found = _decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    raw, raw_value, value, quality = found.raw, found.raw_value, found.value, found.quality
    unit, zone_id, subzone_id = found.unit, found.zone_id, found.subzone_id
    absent = (raw, raw_value, value, quality, unit, zone_id, subzone_id, found.seq, found.time_valid).count(None)
    ts = found.ts if found.ts >= MILLISECONDS_FROM else found.ts * 1000
    kind, gpio, esp_id = found.sensor_type, found.gpio, found.esp_id
    if (
        payload.count(b":") != _KEYS - absent
        or not BELIEVED_FROM_MS <= ts <= received_at_ms + MAX_AHEAD_MS
        or esp_id != place.esp_id
        or gpio != place.gpio
        or (raw is None and raw_value is None)
        or (raw is not None and not -MAX_NUMBER <= raw < _SIGNED_BELOW)
        or (raw_value is not None and not -MAX_NUMBER <= raw_value <= MAX_NUMBER)
        or (value is not None and not -MAX_NUMBER <= value <= MAX_NUMBER)
        or not _is_type_name(kind)
    ):
        return None
    line = _Line(
        place.kaiser_id,
        esp_id,
        ts,
        "device",
        received_at_ms,
        False,
        gpio,
        kind,
        "",
        found.raw_mode,
        quality or "unknown",
        raw,
        raw_value,
        value,
        unit,
        zone_id,
        subzone_id,
        found.seq,
    )
    identity = f"{esp_id}.{gpio}.{kind}.{ts}.{figures(raw, raw_value, value)}"
    return UsualReading(place.kaiser_id, esp_id, ts, identity, _encode(line))


@lru_cache(maxsize=1_024)
def _is_type_name(text: str) -> bool:
    """At most some KiB a text: a payload is no longer."""
    return _TYPE_NAME.match(text) is not None


@lru_cache(maxsize=16_384)
def _place(topic: bytes) -> Topic | None:
    """The topic of a reading taken apart; None for every other."""
    try:
        place = parse(topic.decode())
    except (Rejected, UnicodeDecodeError):
        return None
    return place if place.kind is Kind.SENSOR_DATA else None
