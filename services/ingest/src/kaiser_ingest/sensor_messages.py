"""Readings, alone and in batches, and answers to sensor commands: JSON of any generation to the one message; pure."""

import json
from collections.abc import Iterator
from typing import Any, get_args

from kaiser_common.errors import Code, Rejected
from kaiser_common.schemas import Clock, sensor
from kaiser_common.topics import Kind, Topic, gpio_allowed
from pydantic_core import to_json

from kaiser_ingest.fields import (
    Fields,
    boolean,
    identifier,
    integer,
    mismatch,
    optional_number,
    optional_text,
    out_of_range,
    present,
    required_ts,
    text,
)
from kaiser_ingest.identity import check_identity, identity, optional_choice, type_name

MAX_UNIT_CHARACTERS = 16
MAX_META_BYTES = 2 * 1024
_QUALITIES = frozenset(get_args(sensor.Quality))


def reading(topic: Topic, fields: Fields, received_at_ms: int) -> sensor.Reading:
    """sensor.data: one reading."""
    get = fields.get
    if get("esp_id") is None or get("gpio") is None:
        present(fields, "esp_id")
        present(fields, "gpio")
    if get("raw") is None and get("raw_value") is None:
        present(fields, "raw", "raw_value")
    check_identity(topic, fields)
    time = required_ts(fields, received_at_ms)
    raw_mode = boolean(present(fields, "raw_mode"), "raw_mode")
    return _reading(topic, fields, raw_mode, time, received_at_ms)


def readings(topic: Topic, fields: Fields, received_at_ms: int) -> Iterator[tuple[Any, sensor.Reading | Rejected]]:
    """sensor.batch: each item with its reading or its fault. Raises Rejected where the batch itself is bad."""
    present(fields, "esp_id")
    check_identity(topic, fields)
    time = required_ts(fields, received_at_ms)
    items = present(fields, "sensors")
    if type(items) is not list:
        raise mismatch("sensors", items, "an array")
    return _readings(topic, items, time, received_at_ms)


def sensor_response(topic: Topic, fields: Fields, received_at_ms: int) -> sensor.SensorResponse:
    """sensor.response."""
    return sensor.SensorResponse(
        **identity(topic, fields, required_ts(fields, received_at_ms), received_at_ms, gpio_required=True),
        request_id=identifier(present(fields, "request_id"), "request_id"),
        command=text(present(fields, "command"), "command"),
        success=boolean(present(fields, "success"), "success"),
        message=optional_text(fields, "message"),
    )


def _reading(
    topic: Topic, fields: Fields, raw_mode: bool, time: tuple[int, Clock], received_at_ms: int
) -> sensor.Reading:
    """A reading from the fields that readings alone and in a batch share."""
    return sensor.Reading.model_validate(
        {
            "kaiser_id": topic.kaiser_id,
            "esp_id": topic.esp_id,
            "gpio": topic.gpio,
            "ts": time[0],
            "clock": time[1],
            "received_at": received_at_ms,
            "sensor_type": type_name(fields, Code.INVALID_SENSOR_TYPE, "sensor_type"),
            "address": _address(fields),
            "raw": optional_number(fields, "raw"),
            "raw_value": optional_number(fields, "raw_value"),
            "raw_mode": raw_mode,
            "value": optional_number(fields, "value"),
            "unit": optional_text(fields, "unit", MAX_UNIT_CHARACTERS),
            "quality": optional_choice(fields, "quality", _QUALITIES, "unknown"),
            "sensor_name": optional_text(fields, "sensor_name"),
            "subzone_id": optional_text(fields, "subzone_id"),
            "i2c_address": _i2c_address(fields.get("i2c_address")),
            "onewire_address": optional_text(fields, "onewire_address"),
            "meta": _meta(fields.get("meta")),
        }
    )


def _readings(
    topic: Topic, items: list[Any], time: tuple[int, Clock], received_at_ms: int
) -> Iterator[tuple[Any, sensor.Reading | Rejected]]:
    seen: set[tuple[int, str, str]] = set()
    for item in items:
        try:
            found = _item(topic, item, time, received_at_ms)
            sensor_key = (found.gpio, found.sensor_type, found.address)
            if sensor_key in seen:
                raise Rejected(
                    Code.DUPLICATE_ENTRY, f"{found.sensor_type} at gpio {found.gpio} is in the batch twice", "sensors"
                )
        except Rejected as rejected:
            yield item, rejected
        else:
            seen.add(sensor_key)
            yield item, found


def _item(topic: Topic, item: Any, time: tuple[int, Clock], received_at_ms: int) -> sensor.Reading:
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
    return _reading(place, item, boolean(raw_mode, "raw_mode"), time, received_at_ms)


def _address(fields: Fields) -> str:
    """The address in the sensor's identity: of one-wire before I²C; "" where there is none, or none in a known form."""
    for name in ("onewire_address", "i2c_address"):
        value = fields.get(name)
        if value not in (None, "", 0) and type(value) is not bool:
            found = sensor.normal_address(str(value))
            if found:
                return found
    return ""


def _i2c_address(value: Any) -> int | None:
    """An I²C address as a number, or as a string such as 0x44."""
    if value is None:
        return None
    if type(value) is str:
        try:
            value = int(value, 0)
        except ValueError as error:
            raise mismatch("i2c_address", value, "a number") from error
    return integer(value, "i2c_address", 0, 0x7F)


def _meta(value: Any) -> dict[str, Any] | None:
    """What the sensor adds, at most 2 KiB of JSON."""
    if value is None:
        return None
    if type(value) is not dict:
        raise mismatch("meta", value, "an object")
    try:
        json.dumps(value, allow_nan=False)
    except ValueError as error:
        raise out_of_range("meta", value, "finite numbers") from error
    if len(to_json(value)) > MAX_META_BYTES:
        raise out_of_range("meta", value, f"at most {MAX_META_BYTES} bytes")
    return value
