"""How slowly a client may send a body that is read part by part; the time is an argument."""

from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """A body must come at `least_per_s` bytes a second on average, with `start_s` on top, and never be silent for
    `silence_s`. Only the time spent waiting for the client counts, not that of handing parts on."""

    least_per_s: float
    start_s: float
    silence_s: float
    received: int = 0
    waited_s: float = 0.0

    def left_s(self) -> float:
        """The time within which the next part must come; 0 or less: the body is too slow already."""
        return min(self.silence_s, self._ahead_s())

    def came(self, size: int, waited_s: float) -> None:
        """Count a part, and the time spent waiting for it."""
        self.received += size
        self.waited_s += waited_s

    def why_late(self) -> str:
        """The limit that was reached, for the client."""
        if self._ahead_s() >= self.silence_s:
            return f"nothing of the file came for {self.silence_s:g} s"
        return f"the file came more slowly than {self.least_per_s:g} bytes a second after {self.start_s:g} s"

    def _ahead_s(self) -> float:
        return self.start_s + self.received / self.least_per_s - self.waited_s
