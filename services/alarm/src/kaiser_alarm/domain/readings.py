"""The findings of a pack of readings: sensors that are silent, faulty or beyond a limit; pure except for its memory."""

from collections.abc import Collection, Iterator, Mapping

import msgspec
from kaiser_common.contract.schemas.api.alarms import SensorLimits

from kaiser_alarm.domain.life import Clear, Finding, Key, Raise
from kaiser_alarm.domain.limits import KNOWN, LimitWatch, Sensor

_MARKS = (b'"stale"', b'"error"', b'"bad"')
"""One of these stands in each pack that may raise an alarm where no limit is set."""
_FAULTS = frozenset({"error", "bad"})


class _Line(msgspec.Struct, frozen=True):
    """The fields of a `SensorDataEvent` that matter here."""

    esp_id: str
    gpio: int
    sensor_type: str
    ts: int
    value: float | None = None
    unit: str | None = None
    quality: str = "unknown"
    address: str = ""


_to_lines = msgspec.json.Decoder(_Line).decode_lines


class Watch:
    """Judges readings."""

    def __init__(self) -> None:
        self._watches: dict[Sensor, LimitWatch] = {}
        self._devices: frozenset[str] = frozenset()

    def set_limits(self, every: Mapping[Sensor, SensorLimits]) -> None:
        """Take the limits that are set now. Of a sensor whose limits are the same, what is remembered stays."""
        kept = {
            sensor: watch
            for sensor, watch in self._watches.items()
            if sensor in every and every[sensor].limits == watch.limits
        }
        self._watches = {
            sensor: kept.get(sensor) or LimitWatch(sensor, limits.limits) for sensor, limits in every.items()
        }
        self._devices = frozenset(sensor.esp_id for sensor in self._watches)

    def findings(self, body: bytes, at: int, watched: Collection[str]) -> Iterator[Finding]:
        """The findings of a pack of `sensor_data` events stored at a time. ValueError if a line cannot be read.

        watched: the devices with an open alarm of a sensor, whose readings may clear it.
        """
        devices = self._devices
        if not devices and not watched and not any(mark in body for mark in _MARKS):
            return
        for line in _to_lines(body):
            if line.quality in KNOWN and line.esp_id not in devices and line.esp_id not in watched:
                continue
            yield from self._judge(line, at)

    def _judge(self, line: _Line, at: int) -> Iterator[Finding]:
        sensor = Sensor(line.esp_id, line.gpio, line.sensor_type, line.address)
        silent, fault = Key("sensor_silent", sensor.source), Key("sensor_fault", sensor.source)
        if line.quality == "stale":
            text = f"{sensor.sensor_type} on gpio {sensor.gpio} of {sensor.esp_id} is silent"
            yield _of_sensor(silent, sensor, text, at)
            return
        yield Clear(silent, line.ts)
        if line.quality in _FAULTS:
            text = f"{sensor.sensor_type} on gpio {sensor.gpio} of {sensor.esp_id} is faulty or out of range"
            yield _of_sensor(fault, sensor, text, line.ts)
        else:
            yield Clear(fault, line.ts)
        if (watch := self._watches.get(sensor)) is not None:
            yield from watch.judge(line.value, line.unit, line.quality, line.ts)


def _of_sensor(key: Key, sensor: Sensor, text: str, at: int) -> Raise:
    return Raise(
        key,
        "warning",
        text,
        at,
        esp_id=sensor.esp_id,
        gpio=sensor.gpio,
        sensor_type=sensor.sensor_type,
        address=sensor.address or None,
    )
