"""Alarms of devices in English sentences, as the console has them (`core/texts/en.js`; a test compares the two)."""

from types import MappingProxyType

from kaiser_alarm.domain.sentences import Words

WORDS = Words(
    sentences=MappingProxyType(
        {
            "actuator_alert": "{alert_type} at {target}",
            "alert_of_unknown_device": "{device} sent an alert and is not registered and approved: go and look, then "
            "approve it",
            "clock_ahead": "the clock of {device} is {off_s} ahead: the receive time is used instead",
            "clock_behind": "the clock of {device} is {off_s} behind: its readings look old",
            "command_failed": "{command} on gpio {gpio} of {device}: {state}",
            "config_failed": "the configuration of {device}: {status}",
            "device_error": "{device} reports error {error_code}",
            "device_offline": "{device} is offline",
            "limit_hi": "{sensor} of {device} is {value}, over hi {limit}",
            "limit_hi_hi": "{sensor} of {device} is {value}, over hi_hi {limit}",
            "limit_lo": "{sensor} of {device} is {value}, under lo {limit}",
            "limit_lo_lo": "{sensor} of {device} is {value}, under lo_lo {limit}",
            "sensor_fault": "{sensor} on gpio {gpio} of {device} is faulty or out of range",
            "sensor_silent": "{sensor} on gpio {gpio} of {device} is silent",
            "stop_in_force": "emergency stop in force: {target}",
            "stop_not_cleared": "emergency stop not cleared, it stays in force: {target}",
            "stop_refused": "{device} refused the emergency stop; OFF is sent to each of its actuators",
            "unreadable_alert": "{device} sent an alert that cannot be read",
        }
    ),
    severities=MappingProxyType({}),
    commands=MappingProxyType({}),
    states=MappingProxyType({"no_answer": "no answer", "timed_out": "timed out"}),
    pushes=MappingProxyType({}),
    alerts=MappingProxyType(
        {
            "config_invalid": "invalid configuration",
            "emergency_stop": "emergency stop",
            "hardware_error": "hardware error",
            "offline_rule_hold": "offline rule holds",
            "other": "other alert",
            "runtime_protection": "runtime protection",
            "safety_forced_off": "switched off for safety",
            "safety_violation": "safety violation",
            "verification_failed": "verification failed",
        }
    ),
    notes=MappingProxyType({}),
    units=MappingProxyType({}),
    decimal_mark=".",
    everything="everything",
    pin="gpio {gpio} of {device}",
)
"""A word that is missing here is as in the API. Only the kinds whose sentence names a device or sensor: the others are
as the alarm's message says."""
