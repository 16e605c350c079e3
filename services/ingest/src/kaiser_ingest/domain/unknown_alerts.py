"""Which alerts of unknown devices become events: only some, because anyone can invent an id; pure."""

from collections import OrderedDict
from collections.abc import Collection

_AGAIN_MS = 3_600_000
_A_MINUTE_MS, _MOST_A_MINUTE = 60_000, 30
_REMEMBERED = 1_000


class UnknownAlerts:
    """One event per device and hour, of the last 1,000 devices; 30 a minute of all. The rejections count them all.

    An event counts once it is stored (`published`), so that one that could not be stored is published when its alert
    comes again. A clock that was set back holds none back for longer than these times.
    """

    def __init__(self) -> None:
        self._published: OrderedDict[str, int] = OrderedDict()
        self._minute_began = 0
        self._in_minute = 0

    def allows(self, esp_id: str, now_ms: int, beside: Collection[str]) -> bool:
        """Whether the alert of a device becomes an event. beside: devices with an event on its way."""
        last = self._published.get(esp_id)
        if esp_id in beside or (last is not None and 0 <= now_ms - last < _AGAIN_MS):
            return False
        in_minute = self._in_minute if 0 <= now_ms - self._minute_began < _A_MINUTE_MS else 0
        return in_minute + len(beside) < _MOST_A_MINUTE

    def published(self, at_ms: dict[str, int]) -> None:
        """Events are stored: of which devices, and when their alerts were received."""
        for esp_id, now_ms in at_ms.items():
            if not 0 <= now_ms - self._minute_began < _A_MINUTE_MS:
                self._minute_began, self._in_minute = now_ms, 0
            self._in_minute += 1
            self._published.pop(esp_id, None)
            self._published[esp_id] = now_ms
            if len(self._published) > _REMEMBERED:
                self._published.popitem(last=False)
