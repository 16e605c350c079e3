"""Turns received messages into bus messages: subject, body and an id that makes a duplicate harmless; pure."""

import base64
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b

import msgspec
from kaiser_common.bus.connection import Outgoing
from kaiser_common.contract.errors import Code
from kaiser_common.contract.pack import bounded, count_header, encode, shard_of
from kaiser_common.contract.schemas.event import SystemEvent
from kaiser_common.contract.schemas.sensor import Reading
from kaiser_common.contract.subjects import (
    SEVERAL,
    device_subject,
    downlink_subject,
    event_subject,
    pack_subject,
    rejected_subject,
)
from kaiser_common.contract.system_events import SystemEventName
from kaiser_common.contract.topics import is_downlink
from pydantic_core import to_json

from kaiser_ingest.domain.stored import StoredReading
from kaiser_ingest.domain.validate import Accepted, Rejection

MAX_TOPIC_CHARACTERS = 1024
"""So much of a topic is kept with a rejection (a topic of ours has under 100)."""
MAX_KEPT_BYTES = 16 * 1024
"""So much of a payload is kept with a rejection: what is larger is rejected for its size, and cannot be replayed."""

MOST_REJECTED_BYTES = 24 * 1024
"""Bytes of a pack of rejections: REJECTED keeps a number of packs of each device and code."""
MANY_OF_ONE = 8
"""So many rejections of a device and code in a batch are packs, of that device if it may have its own (OwnPacks)."""
_FEW_OF_ALL = 10
"""So many others of a batch are published one by one; of more than that, packs of several devices are made."""


def to_outgoing(accepted: Accepted, delivery_id: str, shards: int = 1) -> Outgoing:
    """The message for the bus. The id is that of the MQTT delivery: three equal reports within a second are three.

    A reading is a pack of one, whose id is that of the reading (`reading_id`). One without the device's clock has the
    id of its delivery in its line, so that another process finds it there.
    """
    message = accepted.message
    if type(message) is Reading:
        if message.clock != "device":
            message = message.model_copy(update={"delivery": delivery_id})
        subject = pack_subject(message.kaiser_id, shard_of(message.esp_id, shards))
        return Outgoing(subject, to_json(message, exclude_none=True), reading_id(message))
    body = to_json(message, exclude_none=True)
    subject = (
        downlink_subject(accepted.kaiser_id, accepted.esp_id)
        if is_downlink(accepted.kind)
        else device_subject(accepted.kind.value, accepted.kaiser_id, accepted.esp_id, accepted.gpio)
    )
    return Outgoing(subject, body, delivery_id)


def reading_id(reading: Reading | StoredReading) -> str:
    """The identity of a reading, derived from its line alone. With the device's clock it is the same fact however often
    it is sent: the sensor, its time and its values. A different value for the same time is another reading, which the
    store rejects with 5208.
    """
    place = f"{reading.gpio}.{reading.sensor_type}" + (f".{reading.address}" if reading.address else "")
    if reading.clock != "device":
        return f"{reading.delivery}.{place}"
    return f"{reading.esp_id}.{place}.{reading.ts}.{figures(reading.raw, reading.raw_value, reading.value)}"


def figures(raw: float | None, raw_value: float | None, value: float | None) -> str:
    """The measured values, as a part of an identity; as JSON it takes a third of the time of Python's text."""
    return _encode((raw, raw_value, value)).decode()


def to_packs(readings: Iterable[Outgoing], new_id: Callable[[], str]) -> list[Outgoing]:
    """Packs of one together: as few as their subjects and the bounds of a pack allow, each with a new id.

    A pack has the trace of the first reading that has one.
    """
    by_subject: dict[str, list[Outgoing]] = {}
    for reading in readings:
        by_subject.setdefault(reading.subject, []).append(reading)
    packs: list[Outgoing] = []
    for subject, together in by_subject.items():
        trace = next((reading.traceparent for reading in together if reading.traceparent), "")
        for lines in bounded(reading.body for reading in together):
            packs.append(Outgoing(subject, encode(lines), new_id(), trace, count_header(lines)))
    return packs


def to_rejected_packs(
    rejections: Sequence[Outgoing], new_id: Callable[[], str], has_own: Callable[[str], bool]
) -> list[Outgoing]:
    """Rejections as messages of REJECTED: a few as single messages, with the ids of their deliveries, and floods as
    packs.

    A pack has lines of one device and code, where `has_own` says so of their subject, or of several devices and one
    code. Packs come last, so that the next holder of the lease finds them at the end of the stream.
    """
    of_one: dict[str, list[Outgoing]] = {}
    for each in rejections:
        of_one.setdefault(each.subject, []).append(each)
    few = [each for together in of_one.values() if len(together) < MANY_OF_ONE for each in together]
    packed: dict[str, list[Outgoing]] = {}
    for subject, together in of_one.items():
        if len(together) >= MANY_OF_ONE:
            packed.setdefault(subject if has_own(subject) else _of_several(subject), []).extend(together)
    if len(few) > _FEW_OF_ALL:
        for each in few:
            packed.setdefault(_of_several(each.subject), []).append(each)
        few = []
    packs = [
        Outgoing(subject, encode(lines), new_id(), headers=count_header(lines))
        for subject, together in packed.items()
        for lines in bounded((each.body for each in together), most_bytes=MOST_REJECTED_BYTES)
    ]
    return few + packs


def _of_several(subject: str) -> str:
    """The subject of packs of several devices that have the code of this one."""
    return f"{subject.rpartition('.')[0]}.{SEVERAL}"


def unreadable_alert(rejection: Rejection, topic: str, received_at_ms: int, delivery_id: str) -> Outgoing:
    """The critical system_event beside the rejection of an alert: it may be an emergency, whatever else is wrong."""
    said = f"{rejection.esp_id} sent an alert that cannot be read: {rejection.detail}"
    return _alert_event("unreadable_alert", said, rejection, topic, received_at_ms, delivery_id)


def unknown_alert(rejection: Rejection, topic: str, received_at_ms: int, delivery_id: str) -> Outgoing:
    """The critical system_event beside the rejection of an alert of a device that is not registered and approved."""
    said = f"{rejection.esp_id} sent an alert and is not registered and approved: go and look, then approve it"
    return _alert_event("alert_of_unknown_device", said, rejection, topic, received_at_ms, delivery_id)


def _alert_event(
    name: SystemEventName, text: str, rejection: Rejection, topic: str, received_at_ms: int, delivery_id: str
) -> Outgoing:
    event = SystemEvent(
        event=name,
        severity="critical",
        message=text,
        esp_id=rejection.esp_id,
        code=rejection.code,
        details={
            "topic": topic[:MAX_TOPIC_CHARACTERS],
            "payload": rejection.payload[:512].decode(errors="replace"),
            "reason": rejection.detail,
        },
        ts=received_at_ms,
    )
    subject = event_subject("system_event", rejection.esp_id)
    return Outgoing(subject, event.model_dump_json().encode(), f"unreadable.{delivery_id}")


def to_rejected(rejection: Rejection, topic: str, received_at_ms: int, delivery_id: str) -> Outgoing:
    """The message for REJECTED."""
    line = _RejectedLine(
        topic[:MAX_TOPIC_CHARACTERS],
        base64.b64encode(rejection.payload[:MAX_KEPT_BYTES]).decode(),
        rejection.code,
        rejection.detail,
        received_at_ms,
        delivery_id,
        rejection.field,
        rejection.esp_id,
    )
    return Outgoing(rejected_subject(rejection.code, rejection.esp_id), _encode(line), delivery_id)


class _RejectedLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A `RejectedMessage` without fields that are None; a test compares it with the model, which is far slower."""

    topic: str
    payload_base64: str
    code: Code
    message: str
    received_at: int
    delivery: str
    field: str | None = None
    esp_id: str | None = None


_encode = msgspec.json.Encoder().encode


def content_id(topic: bytes, payload: bytes) -> str:
    """An id of a message's content."""
    key = _cached_key(topic) if len(topic) <= _LONGEST_CACHED else _key(topic)
    return blake2b(payload, key=key, digest_size=15).hexdigest()


def _key(topic: bytes) -> bytes:
    return blake2b(topic, digest_size=32).digest()


_LONGEST_CACHED = 128
_cached_key = lru_cache(maxsize=16_384)(_key)
