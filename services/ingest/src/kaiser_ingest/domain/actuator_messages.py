"""Parses actuator status, responses and alerts, and answers to stops: JSON of any generation to one model; pure."""

import re
from types import MappingProxyType
from typing import Any, get_args

from kaiser_common.contract.bounds import (
    MAX_COMMAND,
    MAX_COUNT,
    MAX_MESSAGE,
    MAX_PWM,
    MAX_RUNTIME_MS,
    MAX_TYPE_NAME,
    MAX_WORD,
)
from kaiser_common.contract.errors import Code, Rejected
from kaiser_common.contract.schemas import actuator
from kaiser_common.contract.topics import Kind, Topic

from kaiser_ingest.domain.fields import (
    Fields,
    Odd,
    Time,
    boolean,
    cut,
    mismatch,
    number,
    optional_identifier,
    optional_integer,
    optional_message,
    optional_number,
    optional_text,
    optional_ts,
    out_of_range,
    present,
    text,
)
from kaiser_ingest.domain.identity import identity, optional_choice

_EMERGENCY_STATES = frozenset(get_args(actuator.EmergencyState))
_STATES = MappingProxyType({"on": True, "off": False})
_ALERT_TYPES = MappingProxyType(
    {name: name for name in get_args(actuator.AlertType)} | {"overrun": "runtime_protection", "fault": "hardware_error"}
)
_TYPE_NAME = re.compile(rf"[A-Za-z0-9_.-]{{1,{MAX_TYPE_NAME}}}\Z")
_ANSWERS: MappingProxyType[Kind, Any] = MappingProxyType(
    {
        Kind.EMERGENCY_RESPONSE: ("response", "status"),
        Kind.EMERGENCY_ERROR: ("error", "error"),
        Kind.EMERGENCY_ACK: ("ack", "outcome"),
        Kind.RECOVERY_CONFIRM: ("recovery", "state"),
    }
)
"""Of each topic of answers to a stop: what it is, and the field that it must have."""
_MILLIS_END = 2**32
"""The firmware's count of milliseconds since its start begins again at 0 here, after 49.7 days."""


def actuator_status(topic: Topic, fields: Fields, received_at_ms: int, odd: Odd) -> actuator.ActuatorStatus:
    """actuator.status: state as bool or on/off, value 0…1 or pwm 0…255. An emergency state that is none of the known
    ones counts as `active`, and a status without one stays without: neither ends a stop."""
    return actuator.ActuatorStatus(
        **identity(topic, fields, optional_ts(fields, received_at_ms, odd), received_at_ms, gpio_required=True),
        actuator_type=_actuator_type(fields, odd),
        state=_state(present(fields, "state")),
        value=_duty(fields),
        last_command=optional_text(fields, "last_command", odd),
        runtime_ms=optional_integer(fields, odd, "runtime_ms", low=0, high=MAX_RUNTIME_MS),
        error=optional_message(fields, "error", odd),
        emergency=optional_choice(fields, "emergency", _EMERGENCY_STATES, None, odd, otherwise="active"),
    )


def actuator_response(topic: Topic, fields: Fields, received_at_ms: int, odd: Odd) -> actuator.ActuatorResponse:
    """actuator.response: command in any case; a word that is no command of ours is kept."""
    return actuator.ActuatorResponse(
        **identity(topic, fields, optional_ts(fields, received_at_ms, odd), received_at_ms, gpio_required=True),
        command=text(present(fields, "command"), "command", MAX_COMMAND).upper()[:MAX_COMMAND],
        success=boolean(present(fields, "success"), "success"),
        value=optional_number(fields, "value", odd),
        duration=optional_number(fields, "duration", odd),
        message=optional_message(fields, "message", odd),
        correlation_id=optional_identifier(fields, "correlation_id", odd),
        issued_by=optional_text(fields, "issued_by", odd),
    )


def actuator_alert(topic: Topic, fields: Fields, received_at_ms: int, odd: Odd) -> actuator.ActuatorAlert:
    """actuator.alert: an unknown type is kept as `other`, its name in the message."""
    named = text(present(fields, "alert_type", "type"), "alert_type", MAX_COMMAND)
    alert_type = _ALERT_TYPES.get(named.lower(), "other")
    message = optional_message(fields, "message", odd)
    if alert_type == "other" and named != "other":
        message = cut(f"{named}: {message}" if message else named, MAX_MESSAGE)
    return actuator.ActuatorAlert(
        **identity(topic, fields, optional_ts(fields, received_at_ms, odd), received_at_ms),
        alert_type=alert_type,
        message=message,
    )


def emergency_answer(topic: Topic, fields: Fields, received_at_ms: int, odd: Odd) -> actuator.EmergencyAnswer:
    """actuator.emergency: the answer to a stop or to its end, on one of four topics."""
    answer, required = _ANSWERS[topic.kind]
    words = {name: optional_text(fields, name, odd) for name in ("status", "error", "outcome", "state", "command")}
    words[required] = text(present(fields, required), required, MAX_WORD)
    return actuator.EmergencyAnswer(
        **identity(topic, fields, _answered_at(topic, fields, received_at_ms, odd), received_at_ms),
        answer=answer,
        status=words["status"],
        error=words["error"],
        outcome=words["outcome"],
        state=words["state"],
        command=words["command"],
        message=optional_message(fields, "message", odd),
        correlation_id=optional_identifier(fields, "correlation_id", odd),
        gpio_count=optional_integer(fields, odd, "gpio_count", low=0, high=MAX_COUNT),
    )


def _answered_at(topic: Topic, fields: Fields, received_at_ms: int, odd: Odd) -> Time:
    """When an answer was given. That a stop is cleared is dated in ms since the device's start, which after 18 days
    would look like a date in s: the receive time stands in for it."""
    time = optional_ts(fields, received_at_ms, odd)
    given: Any = fields.get("timestamp")
    if topic.kind is not Kind.EMERGENCY_RESPONSE or fields.get("ts") is not None or type(given) not in (int, float):
        return time
    return Time(received_at_ms, "server", round(given)) if 0 <= given < _MILLIS_END else time


def _actuator_type(fields: Fields, odd: Odd) -> str:
    """Any plain name; another text is kept as `other`. Rejected 5204 where it is empty."""
    name = present(fields, "actuator_type", "type")
    if type(name) is not str:
        raise mismatch("actuator_type", name, "a string")
    if not name:
        raise Rejected(Code.INVALID_ACTUATOR_TYPE, "actuator_type is empty", "actuator_type")
    if _TYPE_NAME.match(name) is None:
        odd.append("actuator_type")
        return "other"
    return name


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
        name, high, value = "pwm", MAX_PWM, present(fields, "value", "pwm")
    if not 0 <= number(value, name) <= high:
        raise out_of_range(name, value, f"0…{high}")
    return float(value / high)
