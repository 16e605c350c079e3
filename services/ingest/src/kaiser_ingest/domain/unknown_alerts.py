"""Which alerts of devices that are not let in become events: some, for anybody can make up an id; pure."""

from collections import OrderedDict

_AGAIN_MS = 3_600_000
_A_MINUTE_MS, _MOST_A_MINUTE = 60_000, 30
_REMEMBERED = 1_000


class UnknownAlerts:
    """One event a device and hour, of the last 1,000 devices; 30 a minute of all. The rejections count them all."""

    def __init__(self) -> None:
        self._told: OrderedDict[str, int] = OrderedDict()
        self._minute_began = 0
        self._in_minute = 0

    def is_told(self, esp_id: str, now_ms: int) -> bool:
        """Whether this one becomes an event; it then counts."""
        if now_ms - self._minute_began >= _A_MINUTE_MS:
            self._minute_began, self._in_minute = now_ms, 0
        last = self._told.get(esp_id)
        if self._in_minute >= _MOST_A_MINUTE or (last is not None and now_ms - last < _AGAIN_MS):
            return False
        self._in_minute += 1
        self._told.pop(esp_id, None)
        self._told[esp_id] = now_ms
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        return True
