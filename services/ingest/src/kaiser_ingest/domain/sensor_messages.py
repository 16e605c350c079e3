"""Parses readings, single and in batches, and answers to sensor commands: JSON of any generation to one model; pure."""

from collections.abc import Iterator
from typing import Any, get_args

from kaiser_common.contract.bounds import (
    MAX_BATCH_ITEMS,
    MAX_I2C_ADDRESS,
    MAX_META_BYTES,
    MAX_NAME,
    MAX_NUMBER,
    MAX_SEQUENCE,
    MAX_UNIT,
    MAX_WORD,
)
from kaiser_common.contract.errors import Code, Rejected
from kaiser_common.contract.schemas import sensor
from kaiser_common.contract.schemas.sensor import normal_address
from kaiser_common.contract.topics import Kind, Topic, gpio_allowed
from pydantic_core import to_json

from kaiser_ingest.domain.fields import (
    Fields,
    Odd,
    Time,
    boolean,
    identifier,
    integer,
    keepable,
    measured_number,
    mismatch,
    optional_integer,
    optional_message,
    optional_text,
    optional_ts,
    out_of_range,
    present,
    required_ts,
    text,
)
from kaiser_ingest.domain.identity import check_identity, identity, sensor_type

_QUALITIES = frozenset(get_args(sensor.Quality))
_UINT32, _INT32 = 2**32, 2**31


def reading(topic: Topic, fields: Fields, received_at_ms: int, odd: Odd) -> sensor.Reading:
    """sensor.data: one reading."""
    get = fields.get
    if get("gpio") is None:
        present(fields, "gpio")
    if get("raw") is None and get("raw_value") is None:
        present(fields, "raw", "raw_value")
    check_identity(topic, fields)
    time = required_ts(fields, received_at_ms)
    raw_mode = boolean(present(fields, "raw_mode"), "raw_mode")
    return _reading(topic, fields, raw_mode, time, received_at_ms, odd)


def readings(
    topic: Topic, fields: Fields, received_at_ms: int, odd: Odd
) -> Iterator[tuple[Any, sensor.Reading | Rejected]]:
    """sensor.batch: each item with its reading or its fault. Raises Rejected where the batch itself is bad.

    Of a batch with the device's clock all readings have one time: an equal one is a repetition, which `reading_id`
    recognises, and one with other values under the same key is rejected (5208). Without it each gets a time of its own.
    """
    present(fields, "esp_id")
    check_identity(topic, fields)
    time = required_ts(fields, received_at_ms)
    items = present(fields, "sensors")
    if type(items) is not list:
        raise mismatch("sensors", items, "an array")
    if not 1 <= len(items) <= MAX_BATCH_ITEMS:
        raise out_of_range("sensors", items, f"1…{MAX_BATCH_ITEMS} readings")
    return _readings(topic, items, time, received_at_ms, odd)


def sensor_response(topic: Topic, fields: Fields, received_at_ms: int, odd: Odd) -> sensor.SensorResponse:
    """sensor.response."""
    return sensor.SensorResponse(
        **identity(topic, fields, optional_ts(fields, received_at_ms, odd), received_at_ms, gpio_required=True),
        request_id=identifier(present(fields, "request_id"), "request_id"),
        command=text(present(fields, "command"), "command", MAX_WORD),
        success=boolean(present(fields, "success"), "success"),
        message=optional_message(fields, "message", odd) or optional_message(fields, "reason_code", odd),
    )


def _reading(topic: Topic, fields: Fields, raw_mode: bool, time: Time, received_at_ms: int, odd: Odd) -> sensor.Reading:
    """A reading from the fields that readings alone and in a batch share."""
    kind = sensor_type(fields)
    raw, raw_value = measured_number(fields, "raw"), measured_number(fields, "raw_value")
    value = measured_number(fields, "value")
    quality, word = _quality(fields.get("quality"), odd)
    if type(raw) is int and _INT32 <= raw < _UINT32 and sensor.type_of(kind) == "ds18b20":
        odd.append("raw")
        raw -= _UINT32
    if not (_is_measurable(raw) and _is_measurable(raw_value) and _is_measurable(value)):
        odd.append("value")
        raw = raw if _is_measurable(raw) else None
        raw_value = raw_value if _is_measurable(raw_value) else None
        value = None
        quality = "error"
    i2c_address = fields.get("i2c_address")
    if i2c_address is not None:
        i2c_address = _i2c_address(i2c_address, odd)
    onewire_address = optional_text(fields, "onewire_address", odd)
    return sensor.Reading.model_validate(
        {
            "kaiser_id": topic.kaiser_id,
            "esp_id": topic.esp_id,
            "gpio": topic.gpio,
            "ts": time.ts,
            "clock": time.clock,
            "device_ts": time.device_ts,
            "received_at": received_at_ms,
            "sensor_type": kind,
            "address": _address(onewire_address, i2c_address, odd),
            "raw": raw,
            "raw_value": raw_value,
            "raw_mode": raw_mode,
            "value": value,
            "unit": optional_text(fields, "unit", odd, MAX_UNIT),
            "quality": quality,
            "sensor_name": optional_text(fields, "sensor_name", odd, MAX_NAME),
            "zone_id": optional_text(fields, "zone_id", odd, MAX_NAME),
            "subzone_id": optional_text(fields, "subzone_id", odd, MAX_NAME),
            "i2c_address": i2c_address,
            "onewire_address": onewire_address,
            "meta": _meta(fields.get("meta"), word, odd),
            "seq": optional_integer(fields, odd, "seq", low=0, high=MAX_SEQUENCE),
        }
    )


def _readings(
    topic: Topic, items: list[Any], time: Time, received_at_ms: int, odd: Odd
) -> Iterator[tuple[Any, sensor.Reading | Rejected]]:
    seen: dict[tuple[int, str, str], tuple[float | None, ...]] = {}
    for item in items:
        try:
            found = _item(topic, item, time, received_at_ms, odd)
        except Rejected as rejected:
            yield item, rejected
            continue
        key = (found.gpio, sensor.type_of(found.sensor_type), found.address)
        figures = (found.raw, found.raw_value, found.value)
        if time.clock == "device" and seen.setdefault(key, figures) != figures:
            text = f"{found.sensor_type} at gpio {found.gpio} is in the batch twice with different values"
            yield item, Rejected(Code.DUPLICATE_ENTRY, text, "sensors")
        else:
            yield item, found


def _item(topic: Topic, item: Any, time: Time, received_at_ms: int, odd: Odd) -> sensor.Reading:
    """A reading of a batch: value is what the device computed, raw what it measured; without value it is raw_mode."""
    if type(item) is not dict:
        raise mismatch("sensors", item, "an object")
    gpio = integer(present(item, "gpio"), "gpio")
    if not gpio_allowed(Kind.SENSOR_DATA, gpio):
        raise Rejected(Code.INVALID_GPIO, f"gpio is {gpio}", "gpio")
    present(item, "sensor_type")
    present(item, "value", "raw", "raw_value")
    raw_mode = item.get("raw_mode")
    if raw_mode is None:
        raw_mode = item.get("value") is None
    place = Topic(Kind.SENSOR_DATA, topic.kaiser_id, topic.esp_id, gpio)
    return _reading(place, item, boolean(raw_mode, "raw_mode"), time, received_at_ms, odd)


def _quality(value: Any, odd: Odd) -> tuple[str, str | None]:
    """The quality, and the device's own term for it if Kaiser does not have that term."""
    if value is None:
        return "unknown", None
    word = value.lower() if type(value) is str else ""
    if word in _QUALITIES:
        return word, None
    odd.append("quality")
    return "unknown", str(value)[:MAX_WORD]


def _is_measurable(figure: int | float | None) -> bool:
    return figure is None or -MAX_NUMBER <= figure <= MAX_NUMBER


def _address(onewire: str | None, i2c: int | None, odd: Odd) -> str:
    """The sensor's address in its one form; "" where it has none."""
    if onewire:
        found = normal_address(onewire)
        if found is not None:
            return found
        odd.append("onewire_address")
    return str(i2c) if i2c else ""


def _i2c_address(value: Any, odd: Odd) -> int | None:
    """An I²C address as a number, or as a string such as 0x44."""
    if type(value) is str:
        try:
            value = int(value, 0)
        except ValueError:
            value = -1
    if value is None or (type(value) is int and 0 <= value <= MAX_I2C_ADDRESS):
        return value
    odd.append("i2c_address")
    return None


def _meta(value: Any, quality_word: str | None, odd: Odd) -> dict[str, Any] | None:
    """The sensor's metadata, at most 2 KiB of JSON, with the device's own term for the quality."""
    kept = value if type(value) is dict else None
    if value is not None and (kept is None or not keepable(kept) or len(to_json(kept)) > MAX_META_BYTES):
        odd.append("meta")
        kept = None
    return kept if quality_word is None else {**(kept or {}), "quality": quality_word}
