"""Judges whether a measured value is plausible, no matter whether the device or Kaiser scaled it; pure."""

import msgspec
from kaiser_common.contract.bounds import MAX_NUMBER
from kaiser_common.contract.schemas.sensor import Quality

from kaiser_sensor.domain.reading import SensorReading
from kaiser_sensor.libraries import Library, Raw

_WORSE: frozenset[Quality] = frozenset({"bad", "error", "stale"})


class Judged(msgspec.Struct, frozen=True):
    """A value with its quality; None if there is no usable value."""

    value: float | None
    quality: Quality


def judge(reading: SensorReading, library: Library | None, value: float | None, quality: Quality) -> Judged:
    """The value that a reading is given and its quality, made worse where its figures cannot be a measurement.

    Too large or not finite: error. As the sensor's library says of the count or of the physical value: error without
    a value, or bad. No value from a device that scales its readings itself: error (a DHT that gave NaN).
    """
    raw, raw_value = reading.raw, reading.raw_value
    if not (is_measurable(raw) and is_measurable(raw_value) and is_measurable(value)):
        return Judged(None, "error")
    if library is not None and (fault := library.fault) is not None:
        found = fault(Raw(raw, raw_value)) or (None if value is None else fault(Raw(None, value)))
        if found == "error":
            return Judged(None, "error")
        if found is not None and quality not in _WORSE:
            return Judged(value, found)
    if value is None and not reading.raw_mode and quality not in _WORSE:
        return Judged(None, "error")
    return Judged(value, quality)


def is_measurable(figure: float | None) -> bool:
    """Whether a figure is absent, or finite and not larger than any sensor's; NaN compares as false."""
    return figure is None or -MAX_NUMBER <= figure <= MAX_NUMBER
