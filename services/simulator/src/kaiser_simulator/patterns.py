"""How a simulated value varies: functions of the step and the time alone, so a restart changes no value.

A pattern is found by its name through the entry-point group `kaiser.mock_patterns`, so anybody's installed package adds
some. It takes the sensor and a seed, and gives a function from (step, time in ms) to the value; bounds and rounding are
applied to what it gives.
"""

import csv
import io
import math
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points

from kaiser_common.contract.schemas.api.mock import MOST_REPLAY_VALUES, MockSensor

GROUP = "kaiser.mock_patterns"
DECIMALS = 2
"""Decimal places: a device's integer `raw` is the value times 100."""

Pattern = Callable[[int, int], float]
"""The value at a step (0 is the first) taken at a time (ms since 1970)."""
PatternFactory = Callable[[MockSensor, int], Pattern]
"""Makes the pattern of a sensor; the seed differs from sensor to sensor. Raises ValueError where it cannot."""

_STEPS_IN_RANGE = 10
_MASK = (1 << 64) - 1


def installed_patterns() -> dict[str, PatternFactory]:
    """Every pattern that an installed package offers, by its name."""
    return {entry.name: entry.load() for entry in entry_points(group=GROUP)}


def compile_pattern(factories: Mapping[str, PatternFactory], sensor: MockSensor, seed: int) -> Pattern:
    """The bounded, rounded pattern of a sensor. ValueError names what is wrong with it."""
    factory = factories.get(sensor.variation_pattern)
    if factory is None:
        raise ValueError(f"no pattern {sensor.variation_pattern!r}; there are {', '.join(sorted(factories))}")
    pattern = factory(sensor, seed)
    low, high = bounds(sensor)
    return lambda step, ts_ms: round(min(max(pattern(step, ts_ms), low), high), DECIMALS)


def bounds(sensor: MockSensor) -> tuple[float, float]:
    """The lowest and the highest value: min and max, else base ± range, or what the CSV has."""
    open_ended = sensor.variation_pattern == "REPLAY"
    low = -math.inf if open_ended else sensor.base_value - sensor.variation_range
    high = math.inf if open_ended else sensor.base_value + sensor.variation_range
    low = low if sensor.min_value is None else sensor.min_value
    high = high if sensor.max_value is None else sensor.max_value
    return low, max(low, high)


def constant(sensor: MockSensor, seed: int) -> Pattern:
    """Always the base value."""
    return lambda step, ts_ms: sensor.base_value


def uniform(sensor: MockSensor, seed: int) -> Pattern:
    """Uniform in base ± range, independent for each step."""
    base, width = sensor.base_value - sensor.variation_range, 2 * sensor.variation_range
    return lambda step, ts_ms: base + width * fraction(seed, step)


def drift(sensor: MockSensor, seed: int) -> Pattern:
    """Steps of 10 % of the range, upward from the base value, turning at min and max, which are met exactly."""
    low, high = bounds(sensor)
    start = min(max(sensor.base_value, low), high)
    step_size = sensor.variation_range / _STEPS_IN_RANGE
    if step_size <= 0 or low == high:
        return lambda step, ts_ms: start
    first_leg = _steps(high - start, step_size)
    leg = max(1, _steps(high - low, step_size))

    def value(step: int, ts_ms: int) -> float:
        if step <= first_leg:
            return min(start + step * step_size, high)
        place = (step - first_leg) % (2 * leg)
        if place <= leg:
            return max(high - place * step_size, low)
        return min(low + (place - leg) * step_size, high)

    return value


def sine(sensor: MockSensor, seed: int) -> Pattern:
    """A day's cycle (or of period_s): base − range at midnight UTC, base + range at noon."""
    period_ms = sensor.period_s * 1000
    return lambda step, ts_ms: (
        sensor.base_value - sensor.variation_range * math.cos(2 * math.pi * (ts_ms % period_ms) / period_ms)
    )


def replay(sensor: MockSensor, seed: int) -> Pattern:
    """The values of a CSV, one a step, from the beginning again after the last."""
    values = csv_values(sensor.replay_csv or "")
    return lambda step, ts_ms: values[step % len(values)]


def csv_values(text: str) -> list[float]:
    """The last column of a CSV; a first row that is no number is its header. ValueError names a bad row."""
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    values: list[float] = []
    for number, row in enumerate(rows, 1):
        try:
            value = float(row[-1])
        except ValueError:
            if number == 1:
                continue
            raise ValueError(f"row {number} of replay_csv ends with {row[-1][:40]!r}, which is not a number") from None
        if not abs(value) <= 1e9:
            raise ValueError(f"row {number} of replay_csv is beyond ±1e9")
        values.append(value)
    if not values or len(values) > MOST_REPLAY_VALUES:
        raise ValueError(f"replay_csv has {len(values)} values, it must have 1…{MOST_REPLAY_VALUES}")
    return values


def fraction(seed: int, step: int) -> float:
    """A number in [0, 1) that looks random and is the same for the same seed and step (splitmix64)."""
    mixed = (seed + step * 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((mixed ^ (mixed >> 31)) >> 11) / (1 << 53)


def _steps(distance: float, step_size: float) -> int:
    """How many steps it takes, the last one cut short."""
    return max(0, math.ceil(distance / step_size - 1e-9))
