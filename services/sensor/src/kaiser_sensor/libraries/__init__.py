"""Sensor libraries: pure functions from what a sensor measured to a physical value.

A library is a `Library` found through the entry-point group `kaiser.sensor_libraries`, so anybody's installed package
adds sensors. Its `process` takes a `Raw`, the sensor's `Calibration` and a `Context`, and gives an `Outcome`.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.metadata import entry_points

import msgspec
from kaiser_common.contract.schemas.sensor import Quality

GROUP = "kaiser.sensor_libraries"


class Raw(msgspec.Struct, frozen=True):
    """The measurement: `count` from the converter or register, `physical` if the device converted it."""

    count: float | None
    physical: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a sensor differs from its data sheet. value = x × scale + offset; `points` are two of (raw, value)."""

    offset: float = 0.0
    scale: float = 1.0
    points: tuple[tuple[float, float], ...] = ()
    parameters: dict[str, float] = field(default_factory=dict)
    """Of the library's own, such as pulses_per_liter or altitude_m."""


@dataclass(frozen=True, slots=True)
class Context:
    """Further inputs. temperature_c: of the medium, for compensation; interval_s: between two readings."""

    temperature_c: float | None = None
    interval_s: float | None = None


class Outcome(msgspec.Struct, frozen=True):
    """A physical value with its unit and quality; value None if there is none. `detail` gives the reason if it is not
    good."""

    value: float | None
    unit: str
    quality: Quality
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Library:
    """A sensor library. `sensor_type` is the canonical name, `aliases` what devices also call it (any case)."""

    sensor_type: str
    unit: str
    process: Callable[[Raw, Calibration, Context], Outcome]
    aliases: tuple[str, ...] = ()
    fault: Callable[[Raw], Quality | None] | None = None
    """`error` or `bad` for a value that this sensor gives when it measured nothing, on any scale; else None."""


@dataclass(frozen=True, slots=True)
class Range:
    """Where values may lie: outside of `possible` they are bad, outside of `usual` poor, else good (both inclusive)."""

    possible: tuple[float, float]
    usual: tuple[float, float]

    def judge(self, value: float, unit: str, decimals: int) -> Outcome:
        """The outcome of a value by its place; a value that cannot be is cut to the possible range and marked bad."""
        rounded = round(value, decimals)
        low, high = self.possible
        if not low <= rounded <= high:
            cut = None if math.isnan(rounded) else min(max(rounded, low), high)
            return Outcome(cut, unit, "bad", f"{rounded:g} {unit} is outside of {low:g}…{high:g}")
        if not self.usual[0] <= rounded <= self.usual[1]:
            return Outcome(rounded, unit, "poor", f"outside of the usual {self.usual[0]:g}…{self.usual[1]:g}")
        return Outcome(rounded, unit, "good")


def linear(raw: float, calibration: Calibration) -> float:
    """Two-point calibration where two distinct points are given, then scale and offset."""
    value = raw
    if len(calibration.points) >= 2:
        (raw_a, value_a), (raw_b, value_b) = calibration.points[0], calibration.points[-1]
        if raw_a != raw_b:
            value = value_a + (raw - raw_a) * (value_b - value_a) / (raw_b - raw_a)
    return value * calibration.scale + calibration.offset


def adc_fault(count: float) -> str | None:
    """Why a 12-bit converter's count says nothing: a broken wire or a short shows as the end of its range."""
    if not 0 <= count <= 4095:
        return f"{count:g} is not a 12-bit count"
    return "the converter is at the end of its range" if count in (0, 4095) else None


def rail(least: int, most: int) -> Callable[[Raw], Quality | None]:
    """A `fault` of a converter: a count at either end of its range says that a wire is broken or shorted."""

    def fault(raw: Raw) -> Quality | None:
        return "bad" if raw.count in (least, most) else None

    return fault


ADC_RAIL = rail(0, 4095)
"""Of an ESP32's 12-bit converter."""


def nothing(unit: str) -> Outcome:
    """For a reading without anything to process."""
    return Outcome(None, unit, "error", "neither a count nor a physical value")


def discover() -> dict[str, Library]:
    """Every installed library by its canonical name and its aliases, in lower case.

    ValueError names two libraries that claim the same name, so that none is shadowed in silence.
    """
    return by_name(point.load() for point in sorted(entry_points(group=GROUP), key=lambda point: point.name))


def by_name(libraries: Iterable[Library]) -> dict[str, Library]:
    """Libraries by each of their names, in lower case."""
    found: dict[str, Library] = {}
    for library in libraries:
        for name in (library.sensor_type, *library.aliases):
            other = found.setdefault(name.lower(), library)
            if other is not library:
                raise ValueError(
                    f"two sensor libraries register {name!r}: {other.sensor_type} and {library.sensor_type}"
                )
    return found
