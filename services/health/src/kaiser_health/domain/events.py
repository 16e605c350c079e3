"""Events of the health service, built from what happened; pure."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

from kaiser_common.bus.connection import Outgoing
from kaiser_common.bus.events import system_event, to_event
from kaiser_common.contract.schemas.device import NOT_CARRIED_OUT, Heartbeat, Intent, ScanResult
from kaiser_common.contract.schemas.event import (
    ConfigResponseEvent,
    EspHealthEvent,
    ZoneAssignmentEvent,
)
from kaiser_common.contract.system_events import SystemEventName
from kaiser_common.contract.times import ms_of
from kaiser_common.contract.topics import Kind, build

from kaiser_health.domain.downlink import SET_TOKEN
from kaiser_health.domain.presence import Transition
from kaiser_health.domain.pushes import Push

_ZONE_STATUS: Mapping[str, Literal["pending", "assigned", "failed", "timeout"]] = {
    "pending": "pending",
    "applied": "assigned",
    "partial": "assigned",
    "failed": "failed",
    "timeout": "timeout",
}


def transition_event(transition: Transition, now: datetime) -> Outgoing:
    """system_event of a device that came online or went offline."""
    name: SystemEventName = "device_online" if transition.online else "device_offline"
    reasons = {"heard": "was heard again", "will": "lost its connection", "silence": "was silent for its timeout"}
    return system_event(
        name,
        f"{transition.esp_id} {reasons[transition.reason]}",
        ms_of(now),
        esp_id=transition.esp_id,
        severity="info" if transition.online else "warning",
        details={"reason": transition.reason, "last_seen": _ms(transition.last_seen_at)},
        event_id=f"{name}-{transition.esp_id}-{transition.reason}-{_ms(transition.last_seen_at)}",
    )


def health_event(
    kaiser_id: str,
    esp_id: str,
    online: bool,
    now: datetime,
    *,
    heartbeat: Heartbeat | None = None,
    last_seen_at: datetime | None = None,
    generation: Literal["A", "B"] | None = None,
) -> Outgoing:
    """esp_health of a device, with its figures where a heartbeat is at hand."""
    event = EspHealthEvent(
        kaiser_id=kaiser_id,
        esp_id=esp_id,
        status="online" if online else "offline",
        last_seen=_ms(last_seen_at) if last_seen_at else None,
        uptime=heartbeat.uptime if heartbeat else None,
        heap_free=heartbeat.heap_free if heartbeat else None,
        wifi_rssi=heartbeat.wifi_rssi if heartbeat else None,
        sensor_count=heartbeat.sensor_count if heartbeat else None,
        actuator_count=heartbeat.actuator_count if heartbeat else None,
        firmware_version=heartbeat.firmware_version if heartbeat else None,
        generation=generation,
        ts=_ms(now),
        topic=build(Kind.HEARTBEAT, kaiser_id, esp_id) if heartbeat else None,
    )
    # The time of the fact and not of now: published again after a failed commit, it has the same id.
    fact = f"beat-{heartbeat.received_at}" if heartbeat else f"seen-{event.last_seen}"
    return to_event("esp_health", esp_id, event, f"health-{esp_id}-{fact}-{online}")


def push_event(push: Push, now: datetime, answer: Mapping[str, Any] = MappingProxyType({})) -> Outgoing:
    """The event with the state of a push. answer: the device's further answer to a command."""
    event_id = f"push-{push.push_id}-{push.state}"
    if push.kind == "config":
        return to_event("config_response", push.esp_id, _config_response(push, now), event_id)
    if push.kind == "zone":
        return to_event("zone_assignment", push.esp_id, _zone_assignment(push, now), event_id)
    return _command_event(push, now, answer, event_id)


def _config_response(push: Push, now: datetime) -> ConfigResponseEvent:
    return ConfigResponseEvent(
        kaiser_id=push.kaiser_id,
        esp_id=push.esp_id,
        config_id=push.push_id,
        status=push.state,
        message=push.message,
        failures=list(push.failures),
        ts=_ms(now),
    )


def _zone_assignment(push: Push, now: datetime) -> ZoneAssignmentEvent:
    zone_id = push.payload.get("zone_id") or None
    status = _ZONE_STATUS[push.state]
    return ZoneAssignmentEvent(
        kaiser_id=push.kaiser_id,
        esp_id=push.esp_id,
        zone_id=zone_id,
        master_zone_id=push.payload.get("master_zone_id"),
        status="removed" if status == "assigned" and zone_id is None else status,
        message=push.message,
        ts=_ms(now),
    )


def _command_event(push: Push, now: datetime, answer: Mapping[str, Any], event_id: str) -> Outgoing:
    """system_event of a command or a change of a subzone."""
    name: SystemEventName
    command: str | None
    if push.kind == "subzone":
        name, command = "subzone", f"{push.payload['action']} {push.payload['subzone_id']}"
    else:
        name, command = "system_command", push.payload.get("command")
    return system_event(
        name,
        f"{command} of {push.esp_id}: {push.state}",
        ms_of(now),
        esp_id=push.esp_id,
        severity="info" if push.state in ("pending", "applied") else "warning",
        details={
            "command": command,
            "state": push.state,
            "push_id": push.push_id,
            "message": push.message,
            **({"answer": dict(answer)} if answer and command != SET_TOKEN else {}),
        },
        event_id=event_id,
    )


def reboot_event(esp_id: str, heartbeat: Heartbeat, now: datetime) -> Outgoing:
    """system_event of a device that has restarted: what it was doing, it does not do any more."""
    return system_event(
        "device_rebooted",
        f"{esp_id} has restarted" + (f" ({heartbeat.reset_reason})" if heartbeat.reset_reason else ""),
        ms_of(now),
        esp_id=esp_id,
        severity="warning",
        details={"uptime": heartbeat.uptime, "reset_reason": heartbeat.reset_reason, "note": heartbeat.reset_reason},
        event_id=f"device_rebooted-{esp_id}-{heartbeat.received_at}",
    )


def scan_event(scan: ScanResult, push_id: str | None, now: datetime) -> Outgoing:
    """system_event of the one-wire devices that a device has found: their ROM codes, and the gpio where it is known.

    push_id: of the command that asked for the scan.
    """
    return system_event(
        "onewire_scan",
        f"{scan.esp_id} found {len(scan.devices)} one-wire devices",
        ms_of(now),
        esp_id=scan.esp_id,
        details={
            "gpio": scan.gpio,
            "devices": scan.devices,
            "correlation_id": scan.correlation_id,
            "push_id": push_id,
        },
        event_id=f"onewire_scan-{scan.esp_id}-{scan.received_at}",
    )


def intent_event(intent: Intent, now: datetime) -> Outgoing:
    """system_event of what a device made of something that no push of ours is open for."""
    failed = intent.outcome in NOT_CARRIED_OUT
    reason = f": {intent.reason}" if intent.reason else ""
    return system_event(
        "device_lifecycle" if intent.lifecycle else "intent_outcome",
        f"{intent.esp_id} {intent.flow or 'intent'} {intent.outcome}{reason}",
        ms_of(now),
        esp_id=intent.esp_id,
        severity="warning" if failed else "info",
        details={
            "correlation_id": intent.correlation_id,
            "code": intent.code,
            "outcome": intent.outcome,
            "note": intent.reason,
        },
        event_id=f"intent-{intent.esp_id}-{intent.correlation_id}-{intent.outcome}-{intent.received_at}",
    )


def _ms(at: datetime | None) -> int:
    return ms_of(at) if at else 0
