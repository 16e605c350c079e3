"""How many new devices a minute may become pending; the time is an argument."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(slots=True)
class PendingLimit:
    """Counts within the current minute."""

    per_minute: int
    _minute: int = field(default=-1)
    _used: int = field(default=0)

    def permitted(self, now: datetime) -> int:
        """How many more may come in this minute."""
        minute = int(now.timestamp() // 60)
        if minute != self._minute:
            self._minute, self._used = minute, 0
        return self.per_minute - self._used

    def used(self, count: int) -> None:
        """Note that some came."""
        self._used += count
