"""The inputs of conditions: the newest readings, the open alarms, and which of the values are known; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from kaiser_common.contract.schemas.api.rules import OfSensor

from kaiser_logic.domain.alarms import Alarms
from kaiser_logic.domain.readings import Away, Newest, Readings

ALWAYS_MS = 2**63
"""Longer than any age of a value."""


@dataclass(frozen=True, slots=True)
class View:
    """The inputs of conditions. listening_since (ms): silence before it is Kaiser's and not the sensors'; grace_ms: for
    this time after it no sensor is stale, unless its after_s is shorter. known_ms: an older value is unknown. away: by
    device, when it was last found offline: a value that came before is unknown. It is looked up at each evaluation,
    so it takes effect immediately, after a restart too, even if an earlier reading arrives after it."""

    readings: Readings
    listening_since: int = 0
    grace_ms: int = 0
    known_ms: int = ALWAYS_MS
    alarms: Alarms = field(default_factory=Alarms)
    away: Mapping[str, Away] = field(default_factory=dict)

    def newest(self, condition: OfSensor) -> Newest | None:
        """The newest reading of a condition's sensor."""
        return self.readings.of((condition.esp_id, condition.gpio), condition.sensor_type, condition.address)

    def known_value(self, condition: OfSensor, newest: Newest | None, now_ms: int) -> float | None:
        """The value of a sensor; None if it is not known: not usable, too old, or from before its device was found
        offline."""
        if newest is None or not newest.known or newest.usable_at is None:
            return None
        if self.away_since(condition, newest) is not None:
            return None
        return newest.value if now_ms - newest.usable_at <= self.known_ms else None

    def away_since(self, condition: OfSensor, newest: Newest) -> int | None:
        """If the device of a value was found offline later: until when (ms) the value was known. None for any other."""
        away = self.away.get(condition.esp_id)
        if away is None or away.at is None or newest.received_at > away.at:
            return None
        return max(newest.received_at, away.since or 0)
