"""The configured names of the device and the sensor of an alarm; pure."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from kaiser_common.contract.schemas.api.alarms import Alarm
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.schemas.sensor import type_of
from kaiser_common.contract.subjects import sensor_config_key


class Called(NamedTuple):
    """Configured names; None: without one, or not known."""

    device: str | None = None
    sensor: str | None = None


CalledOf = Callable[[Alarm], Called]


def nobody_called(_: Alarm) -> Called:
    """No names: ids stand in their place."""
    return Called()


def called_of(devices: Mapping[str, DeviceRecord], sensors: Mapping[str, str]) -> CalledOf:
    """A function that looks up the names of an alarm. sensors: names by the keys of the bucket `sensor_configs`."""

    def called(alarm: Alarm) -> Called:
        record = devices.get(alarm.esp_id or "")
        return Called(_line(None if record is None else record.name), _line(_sensor(alarm, sensors)))

    return called


def _sensor(alarm: Alarm, sensors: Mapping[str, str]) -> str | None:
    """The name of the sensor; a configuration without an address counts for each sensor at its place that has none of
    its own."""
    if alarm.esp_id is None or alarm.gpio is None or alarm.sensor_type is None:
        return None
    types = dict.fromkeys((alarm.sensor_type, type_of(alarm.sensor_type)))
    keys = [
        sensor_config_key(alarm.esp_id, alarm.gpio, sensor_type, address)
        for address in dict.fromkeys((alarm.address or "", ""))
        for sensor_type in types
    ]
    return next((sensors[key] for key in keys if key in sensors), None)


def _line(name: str | None) -> str | None:
    """A name in one line: it stands in the subject of a mail."""
    return " ".join((name or "").split()) or None
