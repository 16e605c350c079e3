"""Distinguishes a clock that is behind from a backlog: in both cases readings are dated long before they are received.
Pure."""

from dataclasses import dataclass

_STEADY_FOR_MS = 10_000
_LEAST_TOLERANCE_MS = 2_000
"""Times in whole seconds, and what a network delays."""
_TOLERANCE_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class _Since:
    ts: int
    received_at: int


class Lags:
    """How far behind the readings of each sensor at a place are, and since when by the same time.

    A device whose clock is behind sends at the pace at which it measures, so the lag stays. A device that was offline
    sends what it kept faster than it was measured, so the lag shrinks with every reading.
    """

    def __init__(self) -> None:
        self._since: dict[tuple[str, str | None], _Since] = {}

    def is_steady(self, sensor: tuple[str, str | None], ts: int, received_at: int) -> bool:
        """Whether a sensor's readings have been behind by the same time for ten seconds, this one included."""
        since = self._since.get(sensor)
        if since is not None:
            elapsed = received_at - since.received_at
            drift = abs(elapsed - (ts - since.ts))
            if elapsed >= 0 and drift <= _LEAST_TOLERANCE_MS + _TOLERANCE_SHARE * elapsed:
                return elapsed >= _STEADY_FOR_MS
        self._since[sensor] = _Since(ts, received_at)
        return False
