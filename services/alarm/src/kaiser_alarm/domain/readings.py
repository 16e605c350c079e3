"""The findings of a pack of readings: sensors that are silent, faulty or beyond a limit; pure except for its memory."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

import msgspec
from kaiser_common.contract.pack import count
from kaiser_common.contract.schemas.api.alarms import SensorLimits
from kaiser_common.contract.schemas.api.sensors import ReadingItem
from kaiser_common.contract.schemas.sensor import MISSED, type_of

from kaiser_alarm.domain.life import Clear, Finding, Key, Raise
from kaiser_alarm.domain.limits import KNOWN, LimitWatch, Sensor

_MARKS = (b'"stale"', b'"error"', b'"bad"')
"""One of these stands in each pack that may raise an alarm where no limit is set."""
_GOOD = b'"quality":"good"'
"""Once in each line of a pack that has no fault, usually: looked for first, because it takes a fifth of the time."""
_FEW = 8
"""Searching the bytes of a pack for this many devices takes less time than decoding it."""
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
    device_ts: int | None = None

    @property
    def is_dated_ahead(self) -> bool:
        """Whether its device dated it after it was received: `ts` is the receive time then."""
        return self.device_ts is not None and self.device_ts > self.ts


_to_lines = msgspec.json.Decoder(_Line).decode_lines


class Watch:
    """Judges readings."""

    def __init__(self) -> None:
        self._watches: dict[Sensor, LimitWatch] = {}
        self._devices: frozenset[str] = frozenset()

    def set_limits(self, every: Mapping[Sensor, SensorLimits]) -> None:
        """Take the limits that are set now. What is remembered of a sensor stays if its limits are the same."""
        kept = {
            sensor: watch
            for sensor, watch in self._watches.items()
            if sensor in every and every[sensor].limits == watch.limits
        }
        self._watches = {
            sensor: kept.get(sensor) or LimitWatch(sensor, limits.limits) for sensor, limits in every.items()
        }
        self._devices = frozenset(sensor.esp_id for sensor in self._watches)

    def findings(
        self, body: bytes, at: int, watched: Collection[str], raised: set[str] | None = None, *, always: bool = False
    ) -> Iterator[Finding]:
        """The findings of a pack of `sensor_data` events stored at a time. ValueError, and no finding, if a line cannot
        be read.

        watched: the devices with an open alarm of a sensor, whose readings may clear it. raised: those of which this
        batch raised one before, which are added here. always: it is decoded also where it can have no finding.
        """
        raised = set() if raised is None else raised
        if not (always or self._may_find(body, watched, raised)):
            return
        devices = self._devices
        for line in _to_lines(body):
            esp_id = line.esp_id
            if line.quality in KNOWN and esp_id not in devices and esp_id not in watched and esp_id not in raised:
                continue
            for finding in self._judge(line, at):
                if isinstance(finding, Raise):
                    raised.add(esp_id)
                yield finding

    def newest(self, sensor: Sensor, reading: ReadingItem, at: int) -> Iterator[Finding]:
        """The findings of a sensor's newest stored reading, looked at now. The value of a silent sensor is not known.
        A sensor whose device is offline has no findings until the sensor itself is silent. The silence of a sensor that
        is not watched raises no alarm and clears an earlier one."""
        is_silent = _is_silent(reading, at)
        if is_silent and reading.watched is False:
            yield Clear(Key("sensor_silent", sensor.source), at)
            return
        if reading.state == "offline" and not is_silent:
            return
        quality = "stale" if is_silent else reading.quality
        line = _Line(*sensor[:3], reading.ts, reading.value, reading.unit, quality, sensor.address, reading.device_ts)
        for finding in self._judge(line, at):
            yield replace(finding, at=at)

    def _may_find(self, body: bytes, watched: Collection[str], raised: Collection[str]) -> bool:
        """Whether a pack must be decoded, by its bytes alone: it has a fault, or a reading of a device that matters."""
        if len(self._devices) + len(watched) + len(raised) > _FEW:
            return True
        if any(esp_id.encode() in body for esp_id in (*self._devices, *watched, *raised)):
            return True
        return body.count(_GOOD) != count(body) and any(mark in body for mark in _MARKS)

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
        limited = sensor._replace(sensor_type=type_of(line.sensor_type))  # one without a library is as its device says
        if not line.is_dated_ahead and (watch := self._watches.get(limited)) is not None:
            yield from watch.judge(line.value, line.unit, line.quality, line.ts)


def _is_silent(reading: ReadingItem, at: int) -> bool:
    """Whether a sensor has missed its intervals: then its reading was reported as `stale`, whether or not its device is
    offline too."""
    if reading.state != "offline":
        return reading.state == "silent"
    received_at = reading.ts if reading.received_at is None else reading.received_at
    return reading.interval_s is not None and received_at + round(MISSED * reading.interval_s * 1000) < at


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
