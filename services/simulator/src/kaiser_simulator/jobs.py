"""What a mock will do by itself, and when; pure."""

from typing import Literal, NamedTuple

from kaiser_simulator.actuators import protected_at
from kaiser_simulator.device import (
    BOOT_STEP_MS,
    BOOTING,
    Device,
    actuators,
    interval_ms,
    next_due,
    sensor_key,
)


class Job(NamedTuple):
    """One thing that a mock does in its time; `of` names the sensor or the gpio."""

    kind: Literal["reading", "heartbeat", "boot", "link", "off", "protect", "say"]
    esp_id: str
    of: str | int = ""


def jobs(device: Device, now_ms: int) -> dict[Job, int]:
    """Everything that is due some time, with the time (ms); what is overdue is due at once, a missed reading never."""
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


def next_heartbeat(device: Device, now_ms: int) -> int:
    """When the next heartbeat is due after now."""
    interval = interval_ms(device.setup.heartbeat_interval_s)
    return device.life.booted_at + (max(0, now_ms - device.life.booted_at) // interval + 1) * interval
