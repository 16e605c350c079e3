"""Status, responses and alerts of actuators: JSON of any generation to the one message; pure."""

from types import MappingProxyType
from typing import Any, get_args

from kaiser_common.errors import Code
from kaiser_common.schemas import actuator
from kaiser_common.topics import Topic

from kaiser_ingest.fields import (
    Fields,
    boolean,
    choice,
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
from kaiser_ingest.identity import identity, optional_choice, type_name

_COMMANDS = frozenset(get_args(actuator.Command))
_EMERGENCY_STATES = frozenset(get_args(actuator.EmergencyState))
_STATES = MappingProxyType({"on": True, "off": False})
_ALERT_TYPES = MappingProxyType(
    {name: name for name in get_args(actuator.AlertType)}
    | {"overrun": "runtime_protection", "verification_failed": "safety_violation", "fault": "hardware_error"}
)


def actuator_status(topic: Topic, fields: Fields, received_at_ms: int) -> actuator.ActuatorStatus:
    """actuator.status: state as bool or on/off, value 0…1 or pwm 0…255."""
    return actuator.ActuatorStatus(
        **identity(topic, fields, required_ts(fields, received_at_ms), received_at_ms, gpio_required=True),
        actuator_type=type_name(fields, Code.INVALID_ACTUATOR_TYPE, "actuator_type", "type"),
        state=_state(present(fields, "state")),
        value=_duty(fields),
        last_command=optional_text(fields, "last_command"),
        runtime_ms=optional_integer(fields, "runtime_ms"),
        error=optional_text(fields, "error"),
        emergency=optional_choice(fields, "emergency", _EMERGENCY_STATES, "normal"),
    )


def actuator_response(topic: Topic, fields: Fields, received_at_ms: int) -> actuator.ActuatorResponse:
    """actuator.response: command in any case."""
    command = present(fields, "command")
    return actuator.ActuatorResponse(
        **identity(topic, fields, optional_ts(fields, received_at_ms), received_at_ms, gpio_required=True),
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
        **identity(topic, fields, optional_ts(fields, received_at_ms), received_at_ms, gpio_required=True),
        alert_type=alert_type,
        message=message,
    )


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
