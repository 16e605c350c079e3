"""Judges whether a measured value is plausible, wherever it was scaled; pure."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from kaiser_common.contract.bounds import MAX_NUMBER
from kaiser_common.contract.schemas.sensor import Quality

from kaiser_sensor.domain.reading import Reading
from kaiser_sensor.libraries import Library, Raw

_WORSE: frozenset[Quality] = frozenset({"bad", "error", "stale"})


@dataclass(frozen=True, slots=True)
class Judged:
    """A value with its quality; None if there is no usable value."""

    value: float | None
    quality: Quality


def judge(reading: Reading, library: Library | None, value: float | None, quality: Quality) -> Judged:
    """The value that a reading is given and its quality, made worse where its figures cannot be a measurement.

    Too large or not finite: error. As the sensor's library says of the count or of the physical value: error without
    a value, or bad. No value from a device that scales its readings itself: error (a DHT that gave NaN).
    """
    figures = (reading.raw, reading.raw_value, value)
    if not all(figure is None or is_measurable(figure) for figure in figures):
        return Judged(None, "error")
    if library is not None and library.fault is not None:
        found = _first_fault(library.fault, Raw(count=reading.raw, physical=reading.raw_value), value)
        if found == "error":
            return Judged(None, "error")
        if found is not None and quality not in _WORSE:
            return Judged(value, found)
    if value is None and not reading.raw_mode and quality not in _WORSE:
        return Judged(None, "error")
    return Judged(value, quality)


def is_measurable(figure: float) -> bool:
    """Whether a figure is finite and not larger than any sensor's."""
    return math.isfinite(figure) and abs(figure) <= MAX_NUMBER


def _first_fault(fault: Callable[[Raw], Quality | None], raw: Raw, value: float | None) -> Quality | None:
    return fault(raw) or (None if value is None else fault(Raw(count=None, physical=value)))
