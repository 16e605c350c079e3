"""Limits of a sensor's value, pure: hi_hi and lo_lo are critical, hi and lo a warning. Times are ms since 1970."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from types import MappingProxyType
from typing import Literal, NamedTuple

from kaiser_common.contract.schemas.api.alarms import LimitsBody
from kaiser_common.contract.schemas.api.sensors import SensorConfig
from kaiser_common.contract.schemas.event import AlarmSeverity
from pydantic import ValidationError

from kaiser_alarm.domain.life import Clear, Finding, Key, Raise

Level = Literal["hi_hi", "hi", "lo", "lo_lo"]
ORDER: tuple[Level, ...] = ("hi_hi", "hi", "lo", "lo_lo")
SEVERITY: Mapping[Level, AlarmSeverity] = MappingProxyType(
    {"hi_hi": "critical", "hi": "warning", "lo": "warning", "lo_lo": "critical"}
)
KNOWN = frozenset({"excellent", "good", "fair", "poor", "suspect", "unknown"})
"""Qualities of a value that is known; bad, error and stale values raise nothing and clear nothing. `unknown` is the
quality of a sensor type for which Kaiser has no library: its value is as the device sent it."""


class Sensor(NamedTuple):
    """A sensor: device, pin, type, address ("" for none)."""

    esp_id: str
    gpio: int
    sensor_type: str
    address: str = ""

    @property
    def source(self) -> str:
        """As the source of an alarm."""
        return "/".join((self.esp_id, str(self.gpio), self.sensor_type, *([self.address] if self.address else [])))


class Contradiction(NamedTuple):
    """Fields of limits that contradict each other, and why."""

    fields: str
    text: str


def contradiction(limits: LimitsBody) -> Contradiction | None:
    """The first contradiction in limits."""
    given = [(name, value) for name in ORDER if (value := getattr(limits, name)) is not None]
    if not given:
        return Contradiction("hi_hi, hi, lo, lo_lo", "at least one of hi_hi, hi, lo and lo_lo must be set")
    for (upper, above), (lower, below) in combinations(given, 2):
        if above <= below:
            return Contradiction(f"{upper}, {lower}", f"{upper} ({above:g}) must be above {lower} ({below:g})")
    uppers = [value for name, value in given if name in ("hi_hi", "hi")]
    lowers = [value for name, value in given if name in ("lo", "lo_lo")]
    if uppers and lowers and limits.hysteresis >= (gap := min(uppers) - max(lowers)):
        text = f"hysteresis ({limits.hysteresis:g}) must be less than the gap between the limits ({gap:g})"
        return Contradiction("hysteresis", text)
    return None


@dataclass(slots=True)
class LimitWatch:
    """Judges the readings of one sensor. outside_since: of each level the time of the first reading beyond it, of those
    without a break. A restart begins a delay again. A reading older than the newest one is ignored."""

    sensor: Sensor
    limits: LimitsBody
    outside_since: dict[Level, int] = field(default_factory=dict)
    newest: int = 0

    def judge(self, value: float | None, unit: str | None, quality: str, at: int) -> Iterator[Finding]:
        """The result of a reading for each level; none if its value is not known."""
        if value is None or quality not in KNOWN or at < self.newest:
            return
        self.newest = at
        for level in ORDER:
            limit: float | None = getattr(self.limits, level)
            if limit is None:
                continue
            if _is_beyond(level, value, limit):
                since = self.outside_since.setdefault(level, at)
                if at - since >= self.limits.delay_s * 1000:
                    yield self._raise(level, value, limit, unit, at)
                continue
            self.outside_since.pop(level, None)
            if not _is_beyond(level, value, limit, self.limits.hysteresis):
                yield Clear(key_of(self.sensor, level), at)

    def _raise(self, level: Level, value: float, limit: float, unit: str | None, at: int) -> Raise:
        side = "over" if level in ("hi_hi", "hi") else "under"
        of = f" {unit}" if unit else ""
        return Raise(
            key_of(self.sensor, level),
            SEVERITY[level],
            f"{self.sensor.sensor_type} of {self.sensor.esp_id} is {value:g}{of}, {side} {level} {limit:g}{of}",
            at,
            esp_id=self.sensor.esp_id,
            gpio=self.sensor.gpio,
            sensor_type=self.sensor.sensor_type,
            address=self.sensor.address or None,
            facts={"value": value, "limit": limit, **({"unit": unit} if unit else {})},
        )


def limits_of(config: SensorConfig) -> LimitsBody | None:
    """The thresholds of a configuration as limits; None: it has none, or such as limits must not be."""
    thresholds = config.thresholds
    if thresholds is None or not thresholds.model_dump(exclude_none=True):
        return None
    try:
        return LimitsBody(
            hi_hi=thresholds.critical_high,
            hi=thresholds.warning_high,
            lo=thresholds.warning_low,
            lo_lo=thresholds.critical_low,
        )
    except ValidationError:
        return None


def key_of(sensor: Sensor, level: Level) -> Key:
    """The condition of a level."""
    return Key(f"limit_{level}", sensor.source)


def _is_beyond(level: Level, value: float, limit: float, hysteresis: float = 0.0) -> bool:
    if level in ("hi_hi", "hi"):
        return value > limit - hysteresis
    return value < limit + hysteresis


def dropped(sensor: Sensor, before: LimitsBody | None, after: LimitsBody | None) -> list[Key]:
    """The conditions of the levels that were set before and are not set now."""
    if before is None:
        return []
    return [
        key_of(sensor, level)
        for level in ORDER
        if getattr(before, level) is not None and (after is None or getattr(after, level) is None)
    ]
