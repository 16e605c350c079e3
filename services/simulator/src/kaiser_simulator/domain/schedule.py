"""The schedule of a mock's own actions; pure."""

from typing import Literal, NamedTuple

from kaiser_simulator.domain.actuators import protected_at
from kaiser_simulator.domain.device import (
    BOOT_STEP_MS,
    BOOTING,
    MockDevice,
    actuators,
    interval_ms,
    is_connected,
    next_due,
    sensor_key,
)

STATUS_EVERY_MS = 30_000
"""Between two reports of the actuators' states. Source: docs/devices.md."""
_UNACKNOWLEDGED_MS = 120_000
"""Firmware b goes to its safe state after this time without an acknowledgement. Source: docs/devices.md."""


class Job(NamedTuple):
    """One thing that a mock does in its time; `of` names the sensor or the gpio."""

    kind: Literal["reading", "heartbeat", "boot", "link", "off", "protect", "say", "status", "isolation"]
    esp_id: str
    of: str | int = ""


def jobs(device: MockDevice, now_ms: int) -> dict[Job, int]:
    """All scheduled actions with their time (ms); an overdue action is due immediately, a missed reading never."""
    life, esp_id = device.life, device.esp_id
    if not life.running or not life.registered:
        return {}
    found: dict[Job, int] = {}
    for sensor in device.setup.sensors:
        sensor_life = device.sensor_life(sensor)
        if sensor_life.active:
            key = sensor_key(sensor.gpio, sensor.sensor_type)
            found[Job("reading", esp_id, key)] = next_due(sensor_life, sensor.interval_s, now_ms)
    found[Job("heartbeat", esp_id)] = next_heartbeat(device, now_ms)
    if device.setup.actuators:
        found[Job("status", esp_id)] = next_statuses(device, now_ms)
    isolation_at = isolated_at(device)
    if isolation_at is not None:
        found[Job("isolation", esp_id)] = isolation_at
    if life.state in BOOTING:
        found[Job("boot", esp_id)] = life.state_at + BOOT_STEP_MS
    if life.faults.flapping_s:
        found[Job("link", esp_id)] = life.link_at + interval_ms(life.faults.flapping_s)
    for actuator, actuator_life in actuators(device):
        if actuator_life.off_at is not None:
            found[Job("off", esp_id, actuator.gpio)] = actuator_life.off_at
        protected = protected_at(actuator, actuator_life)
        if protected is not None:
            found[Job("protect", esp_id, actuator.gpio)] = protected
    return found


def next_heartbeat(device: MockDevice, now_ms: int) -> int:
    """When the next heartbeat is due after now."""
    return _next(device, interval_ms(device.setup.heartbeat_interval_s), now_ms)


def next_statuses(device: MockDevice, now_ms: int) -> int:
    """When the actuators' states are due after now."""
    return _next(device, STATUS_EVERY_MS, now_ms)


def isolated_at(device: MockDevice) -> int | None:
    """When firmware b goes to its safe state for want of acknowledgements; None where it does not, or did already.
    Heartbeats rarer than the firmware's are given twice their interval."""
    life = device.life
    if device.setup.firmware == "a" or life.isolated or not is_connected(device):
        return None
    return life.acked_at + max(_UNACKNOWLEDGED_MS, 2 * interval_ms(device.setup.heartbeat_interval_s))


def _next(device: MockDevice, interval: int, now_ms: int) -> int:
    """The next multiple of an interval since the boot."""
    return device.life.booted_at + (max(0, now_ms - device.life.booted_at) // interval + 1) * interval
