"""Built-in conditions: what events say about them, pure. docs/alarms.md has the same list for operators.

An event that ends a condition clears its alarm. Where no event reports the end, the condition is momentary: its
acknowledgement closes the alarm. A critical system_event that this module does not know is a momentary condition of its
own name, so a new one is not lost.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kaiser_common.contract.schemas.event import (
    ActuatorAlertEvent,
    ActuatorResponseEvent,
    AlarmSeverity,
    ConfigResponseEvent,
    EspHealthEvent,
    LogicExecutionEvent,
    SystemEvent,
)

from kaiser_alarm.domain.life import Clear, Finding, Key, Raise

_SEVERITY: Mapping[str, AlarmSeverity] = MappingProxyType(
    {"critical": "critical", "error": "warning", "warning": "warning", "info": "info"}
)
_WHOLE_DEVICE = 255


@dataclass(frozen=True, slots=True)
class _Begins:
    """A system_event that begins a condition. severity: None means that of the event."""

    kind: str
    severity: AlarmSeverity | None = None
    source: Callable[[SystemEvent], str] = lambda event: event.esp_id or ""
    momentary: bool = False


def _target(event: SystemEvent) -> str:
    """The target of a stop: everything, a device, or a pin."""
    if event.esp_id is None:
        return "all"
    gpio = event.details.get("gpio")
    return event.esp_id if gpio is None else f"{event.esp_id}/{gpio}"


def _device_error(event: SystemEvent) -> str:
    return f"{event.esp_id or ''}/{event.details.get('error_code', event.code)}"


def _rule(event: SystemEvent) -> str:
    return str(event.details.get("rule_id", ""))[:64]


BEGINS: Mapping[str, _Begins] = MappingProxyType(
    {
        "device_offline": _Begins("device_offline", "warning"),
        "emergency_stop": _Begins("stop_in_force", "critical", _target),
        "emergency_refused": _Begins("stop_refused", "critical", momentary=True),
        "emergency_not_cleared": _Begins("stop_not_cleared", "critical", momentary=True),
        "clock_ahead": _Begins("clock_ahead", "warning", momentary=True),
        "clock_behind": _Begins("clock_behind", "warning", momentary=True),
        "unreadable_alert": _Begins("unreadable_alert", "critical", momentary=True),
        "device_error": _Begins("device_error", None, _device_error, momentary=True),
        "ingest_stalled": _Begins("store_paused", "critical"),
        "mqtt_breaker_open": _Begins("broker_unreachable", "critical"),
        "mqtt_session_lost": _Begins("broker_session_lost", "warning", momentary=True),
        "mqtt_session_taken_over": _Begins("broker_session_taken_over", "critical", momentary=True),
        "mqtt_profile_switch_failed": _Begins("broker_switch_failed", "warning", momentary=True),
        "mqtt_message_undeliverable": _Begins("message_undeliverable", "warning", momentary=True),
        "rule_notification": _Begins("rule_notification", None, _rule, momentary=True),
        "rule_loop_suspected": _Begins("rule_loop", "warning", _rule, momentary=True),
    }
)
"""By the name of the system_event."""

ENDS: Mapping[str, tuple[str, Callable[[SystemEvent], str]]] = MappingProxyType(
    {
        "device_online": ("device_offline", lambda event: event.esp_id or ""),
        "emergency_cleared": ("stop_in_force", _target),
        "ingest_goes_on": ("store_paused", lambda event: ""),
        "mqtt_breaker_closed": ("broker_unreachable", lambda event: ""),
    }
)
"""By the name of the system_event: the kind that it ends, and of which source."""

_FAILED_PUSH = frozenset({"failed", "timeout", "partial"})
_NEVER = frozenset({"emergency_stop"})
"""Alert types that another condition covers: a device that obeys a stop says so for each of its actuators."""


def of_system_event(event: SystemEvent) -> Iterator[Finding]:
    """The findings of a system_event."""
    if (ends := ENDS.get(event.event)) is not None:
        kind, source = ends
        yield Clear(Key(kind, source(event)), event.ts)
        return
    begins = BEGINS.get(event.event)
    if begins is None:
        if event.severity != "critical":
            return
        begins = _Begins(_as_kind(event.event), "critical", momentary=True)
    if begins.momentary and begins.severity is None and event.severity == "info":
        return
    yield Raise(
        Key(begins.kind, begins.source(event)),
        begins.severity or _SEVERITY[event.severity],
        event.message,
        event.ts,
        esp_id=event.esp_id,
        momentary=begins.momentary,
    )


def of_health(event: EspHealthEvent) -> Iterator[Finding]:
    """A device that sends messages is not offline."""
    if event.status == "online":
        yield Clear(Key("device_offline", event.esp_id), event.ts)


def of_response(event: ActuatorResponseEvent) -> Iterator[Finding]:
    """A command of ours that failed; the next one of the same actuator that succeeds ends it."""
    if event.command_id is None:
        return
    key = Key("command_failed", f"{event.esp_id}/{event.gpio}")
    if event.success:
        yield Clear(key, event.ts)
        return
    text = f"{event.command} on gpio {event.gpio} of {event.esp_id} failed"
    text = f"{text}: {event.message}" if event.message else text
    yield Raise(key, "warning", text, event.ts, esp_id=event.esp_id, gpio=event.gpio)


def of_alert(event: ActuatorAlertEvent) -> Iterator[Finding]:
    """An alert of a device about an actuator."""
    if event.alert_type in _NEVER:
        return
    whole = event.gpio == _WHOLE_DEVICE
    where = event.esp_id if whole else f"gpio {event.gpio} of {event.esp_id}"
    yield Raise(
        Key("actuator_alert", f"{event.esp_id}/{event.gpio}/{event.alert_type}"),
        event.severity,
        f"{event.alert_type} at {where}" + (f": {event.message}" if event.message else ""),
        event.ts,
        esp_id=event.esp_id,
        gpio=None if whole else event.gpio,
        momentary=True,
    )


def of_config(event: ConfigResponseEvent) -> Iterator[Finding]:
    """A configuration that a device did not take; the next one that it takes ends it."""
    key = Key("config_failed", event.esp_id)
    if event.status == "applied":
        yield Clear(key, event.ts)
    elif event.status in _FAILED_PUSH:
        text = f"the configuration of {event.esp_id}: {event.status}"
        text = f"{text}: {event.message}" if event.message else text
        yield Raise(key, "warning", text, event.ts, esp_id=event.esp_id)


def of_execution(event: LogicExecutionEvent) -> Iterator[Finding]:
    """A rule whose actions failed; its next execution that succeeds ends it."""
    key = Key("rule_failed", event.rule_id)
    if event.success:
        yield Clear(key, event.ts)
    elif event.outcome == "failed":
        text = f"rule {event.rule_name!r} failed" + (f": {event.reason}" if event.reason else "")
        yield Raise(key, "warning", text, event.ts, esp_id=event.esp_id)


def is_momentary(kind: str) -> bool:
    """Whether nothing reports the end of a kind of condition."""
    return kind not in _WITH_END


_WITH_END = frozenset(
    {
        "sensor_silent",
        "sensor_fault",
        "command_failed",
        "config_failed",
        "rule_failed",
        "no_channel",
        "delivery_failed",
        "limit_hi_hi",
        "limit_hi",
        "limit_lo",
        "limit_lo_lo",
        *(kind for kind, _ in ENDS.values()),
    }
)


def _as_kind(name: str) -> str:
    return "".join(each if each.isascii() and (each.isalnum() or each == "_") else "_" for each in name.lower())[:64]
