"""The kinds of alarms, each with the facts that its sentence may use; pure.

A frontend composes the sentence in its own language from the kind, the fields of the alarm and these facts, and falls
back to `message`. reason: why, in Kaiser's own words, which are English. note: in the words of a person or a device.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from kaiser_common.contract.schemas.event import Fact
from kaiser_common.contract.system_events import SYSTEM_EVENTS

AlarmKind = Literal[
    "actuator_alert",
    "alert_of_unknown_device",
    "broker_session_lost",
    "broker_session_taken_over",
    "broker_switch_failed",
    "broker_unreachable",
    "certificate_ending",
    "clock_ahead",
    "clock_behind",
    "command_failed",
    "config_failed",
    "delivery_failed",
    "device_error",
    "device_offline",
    "disk_filling",
    "factory_lane_breach",
    "limit_hi",
    "limit_hi_hi",
    "limit_lo",
    "limit_lo_lo",
    "message_undeliverable",
    "no_channel",
    "rejections_many",
    "rule_alarm",
    "rule_failed",
    "rule_loop",
    "rule_notification",
    "sensor_fault",
    "sensor_silent",
    "stop_in_force",
    "stop_not_cleared",
    "stop_refused",
    "store_paused",
    "stream_filling",
    "unreadable_alert",
]

_LIMIT = ("value", "limit", "unit")

ALARM_FACTS: Mapping[AlarmKind, tuple[str, ...]] = MappingProxyType(
    {
        "actuator_alert": ("alert_type", "note", "reason"),
        "alert_of_unknown_device": SYSTEM_EVENTS["alert_of_unknown_device"],
        "broker_session_lost": SYSTEM_EVENTS["mqtt_session_lost"],
        "broker_session_taken_over": SYSTEM_EVENTS["mqtt_session_taken_over"],
        "broker_switch_failed": SYSTEM_EVENTS["mqtt_profile_switch_failed"],
        "broker_unreachable": SYSTEM_EVENTS["mqtt_breaker_open"],
        "certificate_ending": SYSTEM_EVENTS["certificate_ending"],
        "clock_ahead": SYSTEM_EVENTS["clock_ahead"],
        "clock_behind": SYSTEM_EVENTS["clock_behind"],
        "command_failed": ("command", "state", "reason"),
        "config_failed": ("status", "reason"),
        "delivery_failed": ("reason",),
        "device_error": SYSTEM_EVENTS["device_error"],
        "device_offline": SYSTEM_EVENTS["device_offline"],
        "disk_filling": SYSTEM_EVENTS["disk_filling"],
        "factory_lane_breach": SYSTEM_EVENTS["factory_lane_breach"],
        "limit_hi": _LIMIT,
        "limit_hi_hi": _LIMIT,
        "limit_lo": _LIMIT,
        "limit_lo_lo": _LIMIT,
        "message_undeliverable": SYSTEM_EVENTS["mqtt_message_undeliverable"],
        "no_channel": (),
        "rejections_many": SYSTEM_EVENTS["rejections_many"],
        "rule_alarm": SYSTEM_EVENTS["rule_alarm_raised"],
        "rule_failed": ("rule_name", "reason"),
        "rule_loop": SYSTEM_EVENTS["rule_loop_suspected"],
        "rule_notification": SYSTEM_EVENTS["rule_notification"],
        "sensor_fault": (),
        "sensor_silent": (),
        "stop_in_force": SYSTEM_EVENTS["emergency_stop"],
        "stop_not_cleared": SYSTEM_EVENTS["emergency_not_cleared"],
        "stop_refused": SYSTEM_EVENTS["emergency_refused"],
        "store_paused": SYSTEM_EVENTS["store_paused"],
        "stream_filling": SYSTEM_EVENTS["stream_filling"],
        "unreadable_alert": SYSTEM_EVENTS["unreadable_alert"],
    }
)
"""By kind. An alarm that was raised by an older service has no facts."""

_LONGEST = 200


def facts_among(details: Mapping[str, object], names: tuple[str, ...]) -> dict[str, Fact]:
    """The details that may be facts of an alarm: numbers, and texts cut to the length that the table takes."""
    found = {name: details.get(name) for name in names}
    return {name: _as_fact(value) for name, value in found.items() if isinstance(value, str | int | float)}


def _as_fact(value: Fact) -> Fact:
    return value.replace("\0", "")[:_LONGEST] if isinstance(value, str) else value
