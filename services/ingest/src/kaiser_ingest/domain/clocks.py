"""The times of devices without a believable clock, and which devices' clocks are wrong; pure."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal

from kaiser_common.contract.schemas import DeviceMessage
from kaiser_common.contract.schemas.device import Heartbeat
from kaiser_common.contract.schemas.sensor import Reading, type_of

from kaiser_ingest.domain.stored import StoredReading

_MOST_SENSORS = 50_000
_MOST_DEVICES = 20_000
_TOLD_EVERY_MS = 3_600_000
_BEHIND_MS = 60_000
_BEHIND_FOR_MS = 30_000


class ServerTimes:
    """Gives each reading that has the server's clock a millisecond of its own, so that none hides another.

    Of 50,000 sensors the last time is remembered; the one that was silent longest is forgotten first. A new process
    begins with none: its receive times are later than those given out before, below 1,000 readings a second.
    """

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[str, int, str, str], int] = OrderedDict()

    def note(self, reading: StoredReading) -> None:
        """Remember the time of a reading that another process has stored."""
        key = (reading.esp_id, reading.gpio, type_of(reading.sensor_type), reading.address)
        self._last[key] = max(reading.ts, self._last.pop(key, 0))

    def of(self, reading: Reading) -> Reading:
        """The reading at the next free millisecond of its sensor, from its receive time on."""
        key = (reading.esp_id, reading.gpio, type_of(reading.sensor_type), reading.address)
        last = self._last.pop(key, None)
        free = reading.ts if last is None or last < reading.ts else last + 1
        self._last[key] = free
        if len(self._last) > _MOST_SENSORS:
            self._last.popitem(last=False)
        return reading if free == reading.ts else reading.model_copy(update={"ts": free})


@dataclass(frozen=True, slots=True)
class WrongClock:
    """A device whose clock is off. off_s: seconds ahead of the server, or behind it."""

    event: Literal["clock_ahead", "clock_behind"]
    esp_id: str
    off_s: int


class ClockWatch:
    """Finds devices with a wrong clock; each is named at most once an hour.

    Ahead: any time that was not believed because it lies over 5 min in the future. Behind: all heartbeats of at least
    half a minute were over a minute old when they came; readings may be old because the device kept them.
    """

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._behind_since: OrderedDict[str, int] = OrderedDict()

    def note(self, message: DeviceMessage) -> WrongClock | None:
        """Check the clock of an accepted message; the report about its device, if there is one."""
        now_ms = message.received_at
        if message.device_ts is not None and message.device_ts > now_ms:
            return self._once("clock_ahead", message.esp_id, message.device_ts - now_ms, now_ms)
        if type(message) is not Heartbeat or message.clock != "device":
            return None
        esp_id, lag_ms = message.esp_id, now_ms - message.ts
        if lag_ms <= _BEHIND_MS:
            self._behind_since.pop(esp_id, None)
            return None
        since = self._behind_since.setdefault(esp_id, now_ms)
        _bound(self._behind_since)
        return self._once("clock_behind", esp_id, lag_ms, now_ms) if now_ms - since >= _BEHIND_FOR_MS else None

    def _once(
        self, event: Literal["clock_ahead", "clock_behind"], esp_id: str, off_ms: int, now_ms: int
    ) -> WrongClock | None:
        last = self._told.get((event, esp_id))
        if last is not None and now_ms - last < _TOLD_EVERY_MS:
            return None
        self._told.pop((event, esp_id), None)
        self._told[event, esp_id] = now_ms
        _bound(self._told)
        return WrongClock(event, esp_id, round(off_ms / 1000))


def _bound(table: OrderedDict[Any, int]) -> None:
    if len(table) > _MOST_DEVICES:
        table.popitem(last=False)
