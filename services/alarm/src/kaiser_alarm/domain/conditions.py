"""The built-in conditions: which events begin and end each; pure. docs/alarms.md has the same list for operators.

An event that ends a condition clears its alarm. Where no event reports the end, the condition is momentary: its
acknowledgement closes the alarm. A critical system_event that this module does not know is a momentary condition of its
own name, so a new one is not lost.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kaiser_common.contract.alarm_kinds import ALARM_FACTS, AlarmKind, facts_among
from kaiser_common.contract.bounds import WHOLE_DEVICE_GPIO
from kaiser_common.contract.schemas.event import (
    ActuatorAlertEvent,
    ActuatorResponseEvent,
    AlarmSeverity,
    ConfigResponseEvent,
    Fact,
    LogicExecutionEvent,
    SystemEvent,
)
from kaiser_common.contract.standing import (
    CERTIFICATE_ENDING,
    DISK_FILLING,
    OVER,
    REJECTIONS_MANY,
    STORE_PAUSED,
    STREAM_FILLING,
    over_of,
)
from kaiser_common.contract.system_events import SYSTEM_EVENTS
from kaiser_common.contract.topics import MOCK_PREFIX, SIMULATED_PREFIX, TXT

from kaiser_alarm.domain.life import Clear, Finding, Key, Raise

_SEVERITY: Mapping[str, AlarmSeverity] = MappingProxyType(
    {"critical": "critical", "error": "warning", "warning": "warning", "info": "info"}
)
COMMAND_FAILED: AlarmKind = "command_failed"


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


def _notification(event: SystemEvent) -> str:
    """The rule, and which of its notifications it is if it has several."""
    further = str(event.details.get("further", ""))[:16]
    return f"{_rule(event)}/{further}" if further else _rule(event)


def _rule_alarm(event: SystemEvent) -> str:
    return str(event.details.get("name", ""))[:64]


def _part(event: SystemEvent) -> str:
    """The part of Kaiser, or the stream, that an event is about."""
    return str(event.details.get("source", ""))[:64]


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
        "ingest_stalled": _Begins(STORE_PAUSED, "critical", _part),
        STORE_PAUSED: _Begins(STORE_PAUSED, "critical", _part),
        STREAM_FILLING: _Begins(STREAM_FILLING, "critical", _part),
        DISK_FILLING: _Begins(DISK_FILLING, "critical", _part),
        CERTIFICATE_ENDING: _Begins(CERTIFICATE_ENDING, "warning", _part),
        REJECTIONS_MANY: _Begins(REJECTIONS_MANY, "warning", _part),
        "mqtt_breaker_open": _Begins("broker_unreachable", "critical", _part),
        "mqtt_session_lost": _Begins("broker_session_lost", "warning", momentary=True),
        "mqtt_session_taken_over": _Begins("broker_session_taken_over", "critical", momentary=True),
        "mqtt_profile_switch_failed": _Begins("broker_switch_failed", "warning", momentary=True),
        "mqtt_message_undeliverable": _Begins("message_undeliverable", "warning", momentary=True),
        "rule_notification": _Begins("rule_notification", None, _notification, momentary=True),
        "rule_alarm_raised": _Begins("rule_alarm", None, _rule_alarm),
        "rule_loop_suspected": _Begins("rule_loop", "warning", _rule, momentary=True),
    }
)
"""By the name of the system_event."""

_NAMES: Mapping[str, tuple[str, ...]] = SYSTEM_EVENTS  # type: ignore[assignment]  # any text may be asked for

ENDS: Mapping[str, tuple[str, Callable[[SystemEvent], str]]] = MappingProxyType(
    {
        "device_online": ("device_offline", lambda event: event.esp_id or ""),
        "emergency_cleared": ("stop_in_force", _target),
        "rule_alarm_cleared": ("rule_alarm", _rule_alarm),
        "rule_withdrawn": ("rule_failed", _rule),
        "sensor_unwatched": ("sensor_silent", lambda event: str(event.details.get("source", ""))[:200]),
        "ingest_goes_on": (STORE_PAUSED, _part),
        "mqtt_breaker_closed": ("broker_unreachable", _part),
    }
)
"""By the name of the system_event: the kind that it ends, and of which source."""

OF_PARTS = frozenset(
    {STORE_PAUSED, STREAM_FILLING, DISK_FILLING, CERTIFICATE_ENDING, REJECTIONS_MANY, "broker_unreachable"}
)
"""Conditions of Kaiser's own parts, which publish their state again every five minutes."""
_FAILED_PUSH = frozenset({"failed", "timeout", "partial"})
_SILENCES = frozenset({"device_offline", "sensor_silent"})
_OF_ENVIRONMENTS = (SIMULATED_PREFIX, f"{MOCK_PREFIX}{TXT}")
_NEVER = frozenset({"emergency_stop"})
"""Alert types that another condition covers: a device that obeys a stop sends an alert for each of its actuators."""


def of_system_event(event: SystemEvent) -> Iterator[Finding]:
    """The findings of a system_event."""
    if (ends := ENDS.get(event.event)) is not None:
        kind, source = ends
        yield Clear(Key(kind, source(event)), event.ts)
        return
    if event.event == OVER:
        yield from (Clear(Key(*key), event.ts) for key in over_of(event) if key.kind in OF_PARTS)
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
        facts=facts_among(event.details, _NAMES.get(event.event, ())),
    )


def of_response(event: ActuatorResponseEvent) -> Iterator[Finding]:
    """A command of ours that failed; the next one of the same actuator that succeeds ends it."""
    if event.command_id is None:
        return
    if event.success:
        yield Clear(Key(COMMAND_FAILED, f"{event.esp_id}/{event.gpio}"), event.ts)
        return
    yield command_failed(event.esp_id, event.gpio, event.command, event.state, event.message, event.ts)


def command_failed(esp_id: str, gpio: int, command: str, state: str | None, reason: str | None, at: int) -> Raise:
    """A command of an actuator did not succeed; state: how it ended."""
    text = f"{command} on gpio {gpio} of {esp_id} failed" + (f": {reason}" if reason else "")
    facts = _facts(COMMAND_FAILED, command=command, state=state, reason=reason)
    return Raise(Key(COMMAND_FAILED, f"{esp_id}/{gpio}"), "warning", text, at, esp_id=esp_id, gpio=gpio, facts=facts)


def of_alert(event: ActuatorAlertEvent) -> Iterator[Finding]:
    """An alert about an actuator: of a device, or of Kaiser itself, which has no topic. A replayed one says nothing
    about now; its rejection raised an alarm."""
    if event.alert_type in _NEVER or event.replayed:
        return
    whole, said = event.gpio == WHOLE_DEVICE_GPIO, "reason" if event.topic is None else "note"
    where = event.esp_id if whole else f"gpio {event.gpio} of {event.esp_id}"
    yield Raise(
        Key("actuator_alert", f"{event.esp_id}/{event.gpio}/{event.alert_type}"),
        event.severity,
        f"{event.alert_type} at {where}" + (f": {event.message}" if event.message else ""),
        event.ts,
        esp_id=event.esp_id,
        gpio=None if whole else event.gpio,
        momentary=True,
        facts=_facts("actuator_alert", alert_type=event.alert_type, **{said: event.message}),
    )


def of_config(event: ConfigResponseEvent) -> Iterator[Finding]:
    """A configuration that a device did not take; the next one that it takes ends it."""
    key = Key("config_failed", event.esp_id)
    if event.status == "applied":
        yield Clear(key, event.ts)
    elif event.status in _FAILED_PUSH:
        text = f"the configuration of {event.esp_id}: {event.status}"
        text = f"{text}: {event.message}" if event.message else text
        facts = _facts("config_failed", status=event.status, reason=event.message)
        yield Raise(key, "warning", text, event.ts, esp_id=event.esp_id, facts=facts)


def of_execution(event: LogicExecutionEvent) -> Iterator[Finding]:
    """A rule whose actions failed; its next execution that succeeds ends it."""
    key = Key("rule_failed", event.rule_id)
    if event.success:
        yield Clear(key, event.ts)
    elif event.outcome == "failed":
        text = f"rule {event.rule_name!r} failed" + (f": {event.reason}" if event.reason else "")
        facts = _facts("rule_failed", rule_name=event.rule_name, reason=event.reason)
        yield Raise(key, "warning", text, event.ts, esp_id=event.esp_id, facts=facts)


def is_of_left_environment(finding: Raise) -> bool:
    """Whether it is the silence of a TXT, or device, of a replay or a mock factory, which ends with its environment."""
    return finding.key.kind in _SILENCES and (finding.esp_id or "").startswith(_OF_ENVIRONMENTS)


def is_momentary(kind: str) -> bool:
    """Whether nothing reports the end of a kind of condition."""
    return kind not in _WITH_END


_WITH_END = frozenset(
    {
        "sensor_silent",
        "sensor_fault",
        COMMAND_FAILED,
        "config_failed",
        "rule_failed",
        "no_channel",
        "delivery_failed",
        "limit_hi_hi",
        "limit_hi",
        "limit_lo",
        "limit_lo_lo",
        *OF_PARTS,
        *(kind for kind, _ in ENDS.values()),
    }
)


def _facts(kind: AlarmKind, **facts: object) -> dict[str, Fact]:
    return facts_among(facts, ALARM_FACTS[kind])


def _as_kind(name: str) -> str:
    return "".join(each if each.isascii() and (each.isalnum() or each == "_") else "_" for each in name.lower())[:64]
