"""Parses devices' messages about themselves: heartbeats, wills, sessions, intents, scan results, errors; pure."""

from typing import Any, get_args

from kaiser_common.contract.bounds import (
    MAX_COUNT,
    MAX_DETAILS_BYTES,
    MAX_EPOCH,
    MAX_ERROR_CODE,
    MAX_GPIO,
    MAX_HEAP_BYTES,
    MAX_LIST,
    MAX_MESSAGE,
    MAX_RSSI_DBM,
    MAX_UPTIME_S,
    MAX_WORD,
    MIN_ERROR_CODE,
    MIN_RSSI_DBM,
)
from kaiser_common.contract.schemas import device
from kaiser_common.contract.topics import Kind, Topic
from pydantic_core import to_json

from kaiser_ingest.domain.fields import (
    Fields,
    Odd,
    cut,
    identifier,
    integer,
    keepable,
    mismatch,
    optional_identifier,
    optional_integer,
    optional_message,
    optional_text,
    optional_ts,
    present,
    text,
)
from kaiser_ingest.domain.identity import identity

SEVERITIES = tuple(get_args(device.Severity))
_UINT32 = 2**32
_FLAG_MARKS = ("degraded", "circuit_breaker")
_KNOWN_FIGURES = frozenset(
    {
        *device.Heartbeat.model_fields,
        "free_heap",
        "active_sensors",
        "active_actuators",
        "timestamp",
        "master_zone_id",
        "seq",
    }
)
"""Fields of a heartbeat that the model has by name; they are not kept in `details` as well."""


def heartbeat(topic: Topic, fields: Fields, received_at_ms: int, odd: Odd) -> device.Heartbeat:
    """system.heartbeat, on any of its topics: every figure is optional."""
    return device.Heartbeat(
        **identity(topic, fields, optional_ts(fields, received_at_ms, odd), received_at_ms),
        uptime=optional_integer(fields, odd, "uptime", low=0, high=MAX_UPTIME_S),
        heap_free=optional_integer(fields, odd, "heap_free", "free_heap", low=0, high=MAX_HEAP_BYTES),
        wifi_rssi=_rssi(fields, odd),
        sensor_count=optional_integer(fields, odd, "sensor_count", "active_sensors", low=0, high=MAX_COUNT),
        actuator_count=optional_integer(fields, odd, "actuator_count", "active_actuators", low=0, high=MAX_COUNT),
        zone_id=null_text(optional_text(fields, "zone_id", odd)),
        firmware_version=optional_text(fields, "firmware_version", odd),
        active_handover_epoch=optional_integer(fields, odd, "active_handover_epoch", low=0, high=MAX_EPOCH),
        boot_sequence_id=optional_text(fields, "boot_sequence_id", odd),
        reset_reason=optional_text(fields, "reset_reason", odd),
        wifi_ip=optional_text(fields, "wifi_ip", odd),
        flags=_flags(fields),
        details=details(fields, _KNOWN_FIGURES, odd),
        metrics=topic.kind is Kind.HEARTBEAT_METRICS,
    )


def will(topic: Topic, fields: Fields, received_at_ms: int, odd: Odd) -> device.Will:
    """system.will."""
    return device.Will(
        **identity(topic, fields, optional_ts(fields, received_at_ms, odd), received_at_ms),
        status=text(present(fields, "status"), "status", MAX_WORD),
        reason=optional_text(fields, "reason", odd),
    )


def session(topic: Topic, fields: Fields, received_at_ms: int, odd: Odd) -> device.Session:
    """system.session: handover_epoch is required; one that cannot be is taken as 0."""
    present(fields, "handover_epoch")
    return device.Session(
        **identity(topic, fields, _session_ts(fields, received_at_ms, odd), received_at_ms),
        handover_epoch=optional_integer(fields, odd, "handover_epoch", low=0, high=MAX_EPOCH) or 0,
        reason=optional_text(fields, "reason", odd),
        boot_sequence_id=optional_text(fields, "boot_sequence_id", odd),
    )


def intent(topic: Topic, fields: Fields, received_at_ms: int, odd: Odd) -> device.Intent:
    """system.intent: an outcome, or a state of the life cycle."""
    return device.Intent(
        **identity(topic, fields, optional_ts(fields, received_at_ms, odd), received_at_ms),
        outcome=text(present(fields, "outcome", "state", "event"), "outcome", MAX_WORD),
        correlation_id=identifier(present(fields, "correlation_id"), "correlation_id"),
        intent_id=optional_identifier(fields, "intent_id", odd),
        flow=optional_text(fields, "flow", odd),
        code=optional_text(fields, "code", odd),
        reason=optional_message(fields, "reason", odd),
        lifecycle=topic.kind is Kind.LIFECYCLE,
    )


def scan_result(topic: Topic, fields: Fields, received_at_ms: int, odd: Odd) -> device.ScanResult:
    """system.scan: the ROM codes that the device found; over 64 are cut off."""
    found = present(fields, "devices")
    if type(found) is not list:
        raise mismatch("devices", found, "an array")
    codes = [code for item in found if (code := _rom_code(item)) is not None]
    if len(codes) != len(found) or len(codes) > MAX_LIST:
        odd.append("devices")
    return device.ScanResult(
        **identity(topic, fields, optional_ts(fields, received_at_ms, odd), received_at_ms),
        gpio=optional_integer(fields, odd, "pin", "gpio", low=0, high=MAX_GPIO),
        devices=codes[:MAX_LIST],
        correlation_id=optional_identifier(fields, "correlation_id", odd),
    )


def device_error(topic: Topic, fields: Fields, received_at_ms: int, odd: Odd) -> device.DeviceError:
    """system.error: severity as a name, or as 0 info … 3 critical; a negative code printed unsigned is mended."""
    return device.DeviceError(
        **identity(topic, fields, optional_ts(fields, received_at_ms, odd), received_at_ms),
        error_code=_error_code(present(fields, "error_code"), odd),
        severity=_severity(present(fields, "severity"), odd),
        message=text(present(fields, "message"), "message", MAX_MESSAGE),
        category=optional_text(fields, "category", odd),
    )


def null_text(value: str | None) -> str | None:
    """A text, where "null" stands for none: generation A writes a missing value so."""
    return "" if value == "null" else value


def details(fields: Fields, known: frozenset[str], odd: Odd) -> dict[str, Any]:
    """The other fields of a message, up to 4 KiB of JSON; beyond that the rest is left out."""
    others = [(name, value) for name, value in fields.items() if name not in known]
    kept = {cut(name, MAX_WORD): value for name, value in others if keepable(value)}
    if len(kept) != len(others):
        odd.append("details")
    if not kept or len(to_json(kept)) <= MAX_DETAILS_BYTES:
        return kept
    odd.append("details")
    size = 2
    fitting: dict[str, Any] = {}
    for name, value in kept.items():
        size += len(to_json(name)) + len(to_json(value)) + 2
        if size > MAX_DETAILS_BYTES:
            break
        fitting[name] = value
    return fitting


def _rssi(fields: Fields, odd: Odd) -> int | None:
    """In dBm; 0 and what is above it is no signal strength, but 0 is what firmware sends while it has none."""
    return optional_integer(fields, odd, "wifi_rssi", low=MIN_RSSI_DBM, high=MAX_RSSI_DBM)


def _session_ts(fields: Fields, received_at_ms: int, odd: Odd) -> Any:
    return optional_ts({"ts": fields.get("ts", fields.get("ts_ms"))}, received_at_ms, odd)


def _rom_code(item: Any) -> str | None:
    code = item.get("rom_code") if isinstance(item, dict) else item
    return code[:MAX_WORD] if type(code) is str and code else None


def _error_code(value: Any, odd: Odd) -> int:
    """A whole number; 2³¹ … 2³² − 1 is a negative one that was printed without its sign."""
    code = integer(value, "error_code", low=MIN_ERROR_CODE, high=_UINT32 - 1)
    if code > MAX_ERROR_CODE:
        odd.append("error_code")
        return code - _UINT32
    return code


def _severity(value: Any, odd: Odd) -> Any:
    """The severity of a name or number: above 3 critical; anything unknown is an error."""
    if type(value) is str:
        word = {"warn": "warning"}.get(value.lower(), value.lower())
        if word in SEVERITIES:
            return word
        odd.append("severity")
        return "error"
    number = integer(value, "severity")
    if not 0 <= number < len(SEVERITIES):
        odd.append("severity")
    return SEVERITIES[min(number, len(SEVERITIES) - 1)] if number >= 0 else "error"


def _flags(fields: Fields) -> dict[str, bool | int | str]:
    """The degraded and circuit-breaker flags of a heartbeat, whatever a firmware generation calls them."""
    return {
        name: cut(value, MAX_WORD) if type(value) is str else value
        for name, value in fields.items()
        if any(mark in name for mark in _FLAG_MARKS)
        and len(name) <= MAX_WORD
        and (type(value) in (bool, str) or (type(value) is int and keepable(value)))
    }
