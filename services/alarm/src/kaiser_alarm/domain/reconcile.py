"""The conditions that hold now, taken from the state that their owners report instead of from events; pure.

Where events were not kept long enough, a condition may have begun or ended unseen. Devices, sensors, stops and commands
have owners that know the current state, so conditions that hold are raised and the others are cleared. Conditions whose
state no owner keeps (such as an alert) stay as the last event left them.

The conditions of a device that was removed from the registry end with it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from kaiser_common.contract.alarm_kinds import ALARM_FACTS, AlarmKind, facts_among
from kaiser_common.contract.schemas.api.actuators import Emergency, FailedCommands
from kaiser_common.contract.schemas.api.alarms import Alarm
from kaiser_common.contract.schemas.api.devices import Device
from kaiser_common.contract.schemas.api.sensors import ReadingItem
from kaiser_common.contract.schemas.device import DeviceRecord

from kaiser_alarm.domain.conditions import COMMAND_FAILED, command_failed
from kaiser_alarm.domain.life import Clear, Finding, Key, Raise, is_active
from kaiser_alarm.domain.limits import Sensor
from kaiser_alarm.domain.readings import Watch

_OF_SENSORS = ("sensor_silent", "sensor_fault", "limit_hi_hi", "limit_hi", "limit_lo", "limit_lo_lo")
STOP: AlarmKind = "stop_in_force"
OFFLINE: AlarmKind = "device_offline"
_OF_DEVICES = frozenset({*_OF_SENSORS, OFFLINE, COMMAND_FAILED, "config_failed"})


def of_devices(devices: Iterable[Device], alarms: Mapping[Key, Alarm], at: int) -> Iterator[Finding]:
    """All devices of the registry. One that has never sent anything, or is not approved, is new and not offline."""
    offline: set[str] = set()
    for device in devices:
        if device.online or device.last_seen is None or device.state != "approved":
            continue
        offline.add(device.esp_id)
        key = Key(OFFLINE, device.esp_id)
        yield Raise(key, "warning", f"{device.esp_id} is offline", at, esp_id=device.esp_id)
    yield from _over(alarms, (OFFLINE,), offline, at)


def of_stops(stops: Iterable[Emergency], alarms: Mapping[Key, Alarm], at: int) -> Iterator[Finding]:
    """All emergency stops in force."""
    held: set[str] = set()
    for stop in stops:
        target = _target(stop)
        held.add(target)
        text = f"{stop.raised_by} stopped {'everything' if target == 'all' else target}: {stop.reason}"
        said = {"gpio": stop.gpio, "raised_by": stop.raised_by, "note": stop.reason}
        facts = facts_among(said, ALARM_FACTS[STOP])
        yield Raise(Key(STOP, target), "critical", text, at, esp_id=stop.esp_id, gpio=stop.gpio, facts=facts)
    yield from _over(alarms, (STOP,), held, at)


def of_sensors(
    readings: Iterable[ReadingItem], watch: Watch, alarms: Mapping[Key, Alarm], at: int
) -> Iterator[Finding]:
    """The newest reading of every sensor."""
    there: set[str] = set()
    for reading in readings:
        sensor = Sensor(reading.esp_id, reading.gpio, reading.sensor_type, reading.address)
        there.add(sensor.source)
        yield from watch.newest(sensor, reading, at)
    yield from _over(alarms, _OF_SENSORS, there, at)


def of_commands(failed: FailedCommands, alarms: Mapping[Key, Alarm], at: int) -> Iterator[Finding]:
    """The actuators whose last command did not succeed. Where not all fit into the answer, none is cleared."""
    holding: set[str] = set()
    for one in failed.items:
        holding.add(f"{one.esp_id}/{one.gpio}")
        yield command_failed(one.esp_id, one.gpio, one.command, one.state, one.message or one.state_reason, at)
    if failed.complete:
        yield from _over(alarms, (COMMAND_FAILED,), holding, at)


def of_registry(devices: Iterable[DeviceRecord], alarms: Mapping[Key, Alarm], at: int) -> Iterator[Finding]:
    """The findings that bring the alarms of offline devices into line with the registry."""
    for device in devices:
        key = Key(OFFLINE, device.esp_id)
        alarm = alarms.get(key)
        is_raised = alarm is not None and is_active(alarm)
        if device.online and is_raised:
            yield Clear(key, at)
        elif device.state == "approved" and device.offline_since is not None and not device.online and not is_raised:
            yield Raise(key, "warning", f"{device.esp_id} is offline", at, esp_id=device.esp_id)


def of_removed(alarms: Iterable[Alarm], is_removed: Callable[[str], bool], at: int) -> Iterator[Finding]:
    """The alarms of devices that were removed from the registry."""
    for alarm in alarms:
        if alarm.esp_id and alarm.kind in _OF_DEVICES and is_active(alarm) and is_removed(alarm.esp_id):
            yield Clear(Key(alarm.kind, alarm.source), at)


def _over(alarms: Mapping[Key, Alarm], kinds: tuple[str, ...], holding: set[str], at: int) -> Iterator[Finding]:
    """Clear what the owner does not name any more."""
    for key in alarms:
        if key.kind in kinds and key.source not in holding:
            yield Clear(key, at)


def _target(stop: Emergency) -> str:
    if stop.esp_id is None:
        return "all"
    return stop.esp_id if stop.gpio is None else f"{stop.esp_id}/{stop.gpio}"
