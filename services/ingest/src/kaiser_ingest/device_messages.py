"""One function a kind: the JSON object of a device in any generation's form to the one normalised message; pure."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, get_args

from kaiser_common.errors import Code, Rejected
from kaiser_common.schemas import Clock, DeviceMessage, actuator, device, sensor
from kaiser_common.topics import Kind, Topic, gpio_allowed
from pydantic_core import to_json

from kaiser_ingest.fields import (
    Fields,
    boolean,
    choice,
    identifier,
    integer,
    mismatch,
    number,
    optional_identifier,
    optional_integer,
    optional_number,
    optional_text,
    optional_ts,
    out_of_range,
    present,
    required_ts,
    text,
)

MAX_UNIT_CHARACTERS = 16
MAX_META_BYTES = 2 * 1024

_TYPE_NAME = re.compile(r"[A-Za-z0-9_.:+-]{1,50}\Z")
_QUALITIES = frozenset(get_args(sensor.Quality))
_COMMANDS = frozenset(get_args(actuator.Command))
_EMERGENCY_STATES = frozenset(get_args(actuator.EmergencyState))
_CONFIG_STATUSES = frozenset(get_args(device.ConfigStatus))
_STATES = MappingProxyType({"on": True, "off": False})
_ALERT_TYPES = MappingProxyType(
    {name: name for name in get_args(actuator.AlertType)}
    | {"overrun": "runtime_protection", "verification_failed": "safety_violation", "fault": "hardware_error"}
)
_SEVERITIES = ("info", "warning", "error", "critical")
_FLAG_MARKS = ("degraded", "circuit_breaker")


def reading(topic: Topic, fields: Fields, received_at_ms: int) -> sensor.Reading:
    """sensor.data: one reading."""
    get = fields.get
    if get("esp_id") is None or get("gpio") is None:
        present(fields, "esp_id")
        present(fields, "gpio")
    if get("raw") is None and get("raw_value") is None:
        present(fields, "raw", "raw_value")
    _check_identity(topic, fields)
    time = required_ts(fields, received_at_ms)
    raw_mode = boolean(present(fields, "raw_mode"), "raw_mode")
    return _reading(topic, fields, raw_mode, time, received_at_ms)


def readings(topic: Topic, fields: Fields, received_at_ms: int) -> Iterator[tuple[Any, sensor.Reading | Rejected]]:
    """sensor.batch: each item with its reading or its fault. Raises Rejected where the batch itself is bad."""
    present(fields, "esp_id")
    _check_identity(topic, fields)
    time = required_ts(fields, received_at_ms)
    items = present(fields, "sensors")
    if type(items) is not list:
        raise mismatch("sensors", items, "an array")
    return _readings(topic, items, time, received_at_ms)


def sensor_response(topic: Topic, fields: Fields, received_at_ms: int) -> sensor.SensorResponse:
    """sensor.response."""
    return sensor.SensorResponse(
        **_identity(topic, fields, required_ts(fields, received_at_ms), received_at_ms, gpio_required=True),
        request_id=identifier(present(fields, "request_id"), "request_id"),
        command=text(present(fields, "command"), "command"),
        success=boolean(present(fields, "success"), "success"),
        message=optional_text(fields, "message"),
    )


def actuator_status(topic: Topic, fields: Fields, received_at_ms: int) -> actuator.ActuatorStatus:
    """actuator.status: state as bool or on/off, value 0…1 or pwm 0…255."""
    return actuator.ActuatorStatus(
        **_identity(topic, fields, required_ts(fields, received_at_ms), received_at_ms, gpio_required=True),
        actuator_type=_type_name(fields, Code.INVALID_ACTUATOR_TYPE, "actuator_type", "type"),
        state=_state(present(fields, "state")),
        value=_duty(fields),
        last_command=optional_text(fields, "last_command"),
        runtime_ms=optional_integer(fields, "runtime_ms"),
        error=optional_text(fields, "error"),
        emergency=_optional_choice(fields, "emergency", _EMERGENCY_STATES, "normal"),
    )


def actuator_response(topic: Topic, fields: Fields, received_at_ms: int) -> actuator.ActuatorResponse:
    """actuator.response: command in any case."""
    command = present(fields, "command")
    return actuator.ActuatorResponse(
        **_identity(topic, fields, optional_ts(fields, received_at_ms), received_at_ms, gpio_required=True),
        command=choice(command.upper() if type(command) is str else command, "command", _COMMANDS),
        success=boolean(present(fields, "success"), "success"),
        value=optional_number(fields, "value"),
        duration=optional_number(fields, "duration"),
        message=optional_text(fields, "message"),
        correlation_id=optional_identifier(fields, "correlation_id"),
    )


def actuator_alert(topic: Topic, fields: Fields, received_at_ms: int) -> actuator.ActuatorAlert:
    """actuator.alert: an unknown type is kept as `other`, its name in the message."""
    named = text(present(fields, "alert_type", "type"), "alert_type")
    alert_type = _ALERT_TYPES.get(named.lower(), "other")
    message = optional_text(fields, "message")
    if alert_type == "other" and named != "other":
        message = f"{named}: {message}" if message else named
    return actuator.ActuatorAlert(
        **_identity(topic, fields, optional_ts(fields, received_at_ms), received_at_ms, gpio_required=True),
        alert_type=alert_type,
        message=message,
    )


def heartbeat(topic: Topic, fields: Fields, received_at_ms: int) -> device.Heartbeat:
    """system.heartbeat, on either topic."""
    return device.Heartbeat(
        **_identity(topic, fields, required_ts(fields, received_at_ms), received_at_ms),
        uptime=integer(present(fields, "uptime"), "uptime", low=0),
        heap_free=integer(present(fields, "heap_free", "free_heap"), "heap_free", low=0),
        wifi_rssi=integer(present(fields, "wifi_rssi"), "wifi_rssi"),
        sensor_count=optional_integer(fields, "sensor_count", "active_sensors"),
        actuator_count=optional_integer(fields, "actuator_count", "active_actuators"),
        zone_id=optional_text(fields, "zone_id"),
        firmware_version=optional_text(fields, "firmware_version"),
        flags=_flags(fields),
    )


def will(topic: Topic, fields: Fields, received_at_ms: int) -> device.Will:
    """system.will."""
    return device.Will(
        **_identity(topic, fields, optional_ts(fields, received_at_ms), received_at_ms),
        status=text(present(fields, "status"), "status"),
        reason=optional_text(fields, "reason"),
    )


def device_error(topic: Topic, fields: Fields, received_at_ms: int) -> device.DeviceError:
    """system.error: severity as a name, or as 0 info … 3 critical."""
    return device.DeviceError(
        **_identity(topic, fields, optional_ts(fields, received_at_ms), received_at_ms),
        error_code=integer(present(fields, "error_code"), "error_code"),
        severity=_severity(present(fields, "severity")),
        message=text(present(fields, "message"), "message"),
        category=optional_text(fields, "category"),
    )


def diagnostics(topic: Topic, fields: Fields, received_at_ms: int) -> device.Diagnostics:
    """system.diagnostics."""
    return device.Diagnostics(
        **_identity(topic, fields, required_ts(fields, received_at_ms), received_at_ms),
        heap_free=integer(present(fields, "heap_free"), "heap_free", low=0),
        uptime_seconds=integer(present(fields, "uptime_seconds"), "uptime_seconds", low=0),
        wifi_rssi=integer(present(fields, "wifi_rssi"), "wifi_rssi"),
    )


def system_response(topic: Topic, fields: Fields, received_at_ms: int) -> device.SystemResponse:
    """system.response."""
    return device.SystemResponse(
        **_identity(topic, fields, optional_ts(fields, received_at_ms), received_at_ms),
        command=text(present(fields, "command"), "command"),
        success=boolean(present(fields, "success"), "success"),
        message=optional_text(fields, "message"),
        correlation_id=optional_identifier(fields, "correlation_id"),
    )


def config_response(topic: Topic, fields: Fields, received_at_ms: int) -> device.ConfigResponse:
    """config.response: the refused items in failures, or the older single failed_item."""
    failures = _failures(fields)
    failed_count = optional_integer(fields, "failed_count")
    return device.ConfigResponse(
        **_identity(topic, fields, optional_ts(fields, received_at_ms), received_at_ms),
        status=choice(present(fields, "status"), "status", _CONFIG_STATUSES),
        type=text(present(fields, "type"), "type"),
        count=integer(present(fields, "count"), "count", low=0),
        message=text(present(fields, "message"), "message"),
        failed_count=len(failures) if failed_count is None else failed_count,
        failures=failures,
        config_id=optional_identifier(fields, "config_id"),
        correlation_id=optional_identifier(fields, "correlation_id"),
    )


def zone_ack(topic: Topic, fields: Fields, received_at_ms: int) -> device.ZoneAck:
    """zone.ack."""
    return device.ZoneAck(
        **_identity(topic, fields, optional_ts(fields, received_at_ms), received_at_ms),
        status=text(present(fields, "status"), "status"),
        zone_id=text(present(fields, "zone_id"), "zone_id"),
        master_zone_id=optional_text(fields, "master_zone_id"),
        message=optional_text(fields, "message"),
        correlation_id=optional_identifier(fields, "correlation_id"),
    )


def discovery(topic: Topic, fields: Fields, received_at_ms: int) -> device.Discovery:
    """system.discovery (deprecated)."""
    return device.Discovery(
        **_identity(topic, fields, optional_ts(fields, received_at_ms), received_at_ms),
        hardware_type=optional_text(fields, "hardware_type"),
        firmware_version=optional_text(fields, "firmware_version"),
        mac_address=optional_text(fields, "mac_address"),
        ip_address=optional_text(fields, "ip_address"),
    )


PARSERS: Mapping[Kind, Callable[[Topic, Fields, int], DeviceMessage]] = MappingProxyType(
    {
        Kind.SENSOR_DATA: reading,
        Kind.SENSOR_RESPONSE: sensor_response,
        Kind.ACTUATOR_STATUS: actuator_status,
        Kind.ACTUATOR_RESPONSE: actuator_response,
        Kind.ACTUATOR_ALERT: actuator_alert,
        Kind.HEARTBEAT: heartbeat,
        Kind.WILL: will,
        Kind.SYSTEM_ERROR: device_error,
        Kind.DIAGNOSTICS: diagnostics,
        Kind.SYSTEM_RESPONSE: system_response,
        Kind.CONFIG_RESPONSE: config_response,
        Kind.ZONE_ACK: zone_ack,
        Kind.DISCOVERY: discovery,
    }
)
"""By kind; a batch is the one kind that gives several messages (`readings`)."""


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
            "sensor_type": _type_name(fields, Code.INVALID_SENSOR_TYPE, "sensor_type"),
            "raw": optional_number(fields, "raw"),
            "raw_value": optional_number(fields, "raw_value"),
            "raw_mode": raw_mode,
            "value": optional_number(fields, "value"),
            "unit": optional_text(fields, "unit", MAX_UNIT_CHARACTERS),
            "quality": _optional_choice(fields, "quality", _QUALITIES, "unknown"),
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
    seen: set[tuple[int, str]] = set()
    for item in items:
        try:
            found = _item(topic, item, time, received_at_ms)
            if (found.gpio, found.sensor_type) in seen:
                raise Rejected(
                    Code.DUPLICATE_ENTRY, f"{found.sensor_type} at gpio {found.gpio} is in the batch twice", "sensors"
                )
        except Rejected as rejected:
            yield item, rejected
        else:
            seen.add((found.gpio, found.sensor_type))
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


def _identity(
    topic: Topic, fields: Fields, time: tuple[int, Clock], received_at_ms: int, gpio_required: bool = False
) -> dict[str, Any]:
    """The fields that every message has, checked against the topic."""
    if gpio_required:
        present(fields, "gpio")
    _check_identity(topic, fields)
    identity = {
        "kaiser_id": topic.kaiser_id,
        "esp_id": topic.esp_id,
        "ts": time[0],
        "clock": time[1],
        "received_at": received_at_ms,
    }
    return identity if topic.gpio is None else {**identity, "gpio": topic.gpio}


def _check_identity(topic: Topic, fields: Fields) -> None:
    """Rejected 5211 where esp_id or gpio, if the payload has them, are not the topic's."""
    esp_id = fields.get("esp_id")
    if esp_id is not None and esp_id != topic.esp_id:
        raise (
            Rejected(Code.TOPIC_MISMATCH, f"esp_id is not the topic's {topic.esp_id}", "esp_id")
            if type(esp_id) is str
            else mismatch("esp_id", esp_id, "a string")
        )
    gpio = fields.get("gpio")
    if gpio is not None and topic.gpio is not None and (gpio != topic.gpio or type(gpio) is bool):
        number(gpio, "gpio")
        raise Rejected(Code.TOPIC_MISMATCH, f"gpio is not the topic's {topic.gpio}", "gpio")


def _type_name(fields: Fields, code: Code, *names: str) -> str:
    """The type of a sensor or actuator. Rejected with the given code where it is empty or no plain name."""
    name = text(present(fields, *names), names[0])
    if _TYPE_NAME.match(name) is None:
        raise Rejected(code, f"{names[0]} is {name[:40]!r}", names[0])
    return name


def _optional_choice(fields: Fields, name: str, choices: frozenset[str], default: str) -> Any:
    value = fields.get(name)
    return default if value is None else choice(value, name, choices)


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


def _state(value: Any) -> bool:
    """true, false, on or off."""
    state = _STATES.get(value.lower()) if type(value) is str else value
    if state is not True and state is not False:
        raise mismatch("state", value, "a bool, on or off")
    return state


def _duty(fields: Fields) -> float:
    """value 0…1, or pwm 0…255 as value."""
    value = fields.get("value")
    if value is not None:
        name, high = "value", 1
    else:
        name, high, value = "pwm", 255, present(fields, "value", "pwm")
    if not 0 <= number(value, name) <= high:
        raise out_of_range(name, value, f"0…{high}")
    return float(value / high)


def _severity(value: Any) -> Any:
    """A severity by name or by number; above 3 it is critical."""
    if type(value) is str:
        return choice({"warn": "warning"}.get(value.lower(), value.lower()), "severity", frozenset(_SEVERITIES))
    return _SEVERITIES[min(integer(value, "severity", low=0), len(_SEVERITIES) - 1)]


def _flags(fields: Fields) -> dict[str, bool | int | str]:
    """The degraded and circuit-breaker flags of a heartbeat, whatever a firmware generation calls them."""
    return {
        name: value
        for name, value in fields.items()
        if any(mark in name for mark in _FLAG_MARKS)
        and (type(value) in (bool, str) or (type(value) is int and -(2**63) <= value < 2**63))
    }


def _failures(fields: Fields) -> list[device.ConfigFailure]:
    """The items of a configuration that the device refused."""
    items = fields.get("failures")
    if items is None:
        older = fields.get("failed_item")
        items = [] if older is None else [older]
    if type(items) is not list:
        raise mismatch("failures", items, "an array")
    return [_failure(item) for item in items]


def _failure(item: Any) -> device.ConfigFailure:
    if type(item) is not dict:
        raise mismatch("failures", item, "an object")
    return device.ConfigFailure(
        type=optional_text(item, "type"),
        gpio=optional_integer(item, "gpio"),
        error_code=optional_integer(item, "error_code"),
        error=optional_text(item, "error"),
        detail=optional_text(item, "detail"),
    )
