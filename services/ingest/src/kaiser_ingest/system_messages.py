"""Messages about a device as a whole: JSON of any generation to the one message; pure."""

from typing import Any, get_args

from kaiser_common.schemas import device
from kaiser_common.topics import Topic

from kaiser_ingest.fields import (
    Fields,
    boolean,
    choice,
    integer,
    mismatch,
    optional_identifier,
    optional_integer,
    optional_text,
    optional_ts,
    present,
    required_ts,
    text,
)
from kaiser_ingest.identity import identity

_CONFIG_STATUSES = frozenset(get_args(device.ConfigStatus))
_SEVERITIES = ("info", "warning", "error", "critical")
_FLAG_MARKS = ("degraded", "circuit_breaker")


def heartbeat(topic: Topic, fields: Fields, received_at_ms: int) -> device.Heartbeat:
    """system.heartbeat, on either topic."""
    return device.Heartbeat(
        **identity(topic, fields, required_ts(fields, received_at_ms), received_at_ms),
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
        **identity(topic, fields, optional_ts(fields, received_at_ms), received_at_ms),
        status=text(present(fields, "status"), "status"),
        reason=optional_text(fields, "reason"),
    )


def device_error(topic: Topic, fields: Fields, received_at_ms: int) -> device.DeviceError:
    """system.error: severity as a name, or as 0 info … 3 critical."""
    return device.DeviceError(
        **identity(topic, fields, optional_ts(fields, received_at_ms), received_at_ms),
        error_code=integer(present(fields, "error_code"), "error_code"),
        severity=_severity(present(fields, "severity")),
        message=text(present(fields, "message"), "message"),
        category=optional_text(fields, "category"),
    )


def diagnostics(topic: Topic, fields: Fields, received_at_ms: int) -> device.Diagnostics:
    """system.diagnostics."""
    return device.Diagnostics(
        **identity(topic, fields, required_ts(fields, received_at_ms), received_at_ms),
        heap_free=integer(present(fields, "heap_free"), "heap_free", low=0),
        uptime_seconds=integer(present(fields, "uptime_seconds"), "uptime_seconds", low=0),
        wifi_rssi=integer(present(fields, "wifi_rssi"), "wifi_rssi"),
    )


def system_response(topic: Topic, fields: Fields, received_at_ms: int) -> device.SystemResponse:
    """system.response."""
    return device.SystemResponse(
        **identity(topic, fields, optional_ts(fields, received_at_ms), received_at_ms),
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
        **identity(topic, fields, optional_ts(fields, received_at_ms), received_at_ms),
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
        **identity(topic, fields, optional_ts(fields, received_at_ms), received_at_ms),
        status=text(present(fields, "status"), "status"),
        zone_id=text(present(fields, "zone_id"), "zone_id"),
        master_zone_id=optional_text(fields, "master_zone_id"),
        message=optional_text(fields, "message"),
        correlation_id=optional_identifier(fields, "correlation_id"),
    )


def discovery(topic: Topic, fields: Fields, received_at_ms: int) -> device.Discovery:
    """system.discovery (deprecated)."""
    return device.Discovery(
        **identity(topic, fields, optional_ts(fields, received_at_ms), received_at_ms),
        hardware_type=optional_text(fields, "hardware_type"),
        firmware_version=optional_text(fields, "firmware_version"),
        mac_address=optional_text(fields, "mac_address"),
        ip_address=optional_text(fields, "ip_address"),
    )


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
