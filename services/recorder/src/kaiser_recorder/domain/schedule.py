"""When each message of a replay is due, on the monotonic clock; pure."""

LATE_S = 1.0
"""A replay that is later than this goes on from there, and does not run to catch up."""


class Schedule:
    """speed: None is at once. Times of messages are µs, those of the clock s."""

    def __init__(self, speed: float | None) -> None:
        self._speed = speed
        self._anchor: tuple[int, float] | None = None
        self._behind_s = 0.0

    def restart(self, speed: float | None) -> None:
        """The next message is due at once: after a pause, a seek, or with another speed."""
        self._speed = speed
        self._anchor = None

    def wait_s(self, at_us: int, now: float) -> float:
        """How long until a message of this time is due; 0: it is."""
        if self._speed is None:
            return 0.0
        if self._anchor is None:
            self._anchor = (at_us, now)
        from_us, since = self._anchor
        due = since + (at_us - from_us) / 1e6 / self._speed
        if now - due > LATE_S:
            self._behind_s += now - due
            self._anchor = (at_us, now)
        return max(0.0, due - now)

    def take_behind_ms(self) -> int:
        """By how much it fell behind since the last call."""
        behind, self._behind_s = self._behind_s, 0.0
        return round(behind * 1000)
