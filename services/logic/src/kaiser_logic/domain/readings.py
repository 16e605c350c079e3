"""The newest reading of each sensor that a rule names, pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from kaiser_common.contract.schemas.sensor import type_of

from kaiser_logic.domain.lags import Lags

UNUSABLE = frozenset({"bad", "stale", "error", "suspect"})
"""Qualities of readings that no rule acts on; `suspect` is what a firmware calls a count at the rail."""

ACTUATOR = "actuator"
"""The sensor type under which rules read the state of an actuator."""

ANY = ""
"""The type of a supposed reading that stands for whatever sensor there is."""

Place = tuple[str, int]
"""esp_id and gpio."""

Verdict = Literal["taken", "unusable", "ahead", "out_of_order", "late", "unnamed"]

_SECONDS_BELOW = 100_000_000_000
"""A smaller time of a device is in seconds. Source: docs/devices.md."""


class Away(NamedTuple):
    """When a device was last found offline, by Kaiser's clock (ms); None: never. since: its last message before, while
    it is offline. A value that was received until then is not known."""

    at: int | None
    since: int | None = None
    online: bool = True


@dataclass(frozen=True, slots=True)
class RuleInput:
    """A reading as rules see it. ts in ms by the device's clock; seq of its event, 0 for a requested one.

    address None: of a supposed reading, whichever there is. received_at (ms): by Kaiser's clock, None where it is not
    known. device_ts: the device's time if ts is the receive time instead. silent: of a requested one, whether the
    sensor has been silent since.
    """

    esp_id: str
    gpio: int
    sensor_type: str
    ts: int
    value: float | None
    quality: str
    seq: int = 0
    address: str | None = ""
    received_at: int | None = None
    device_ts: int | None = None
    silent: bool = False

    def arrived_at(self, now_ms: int) -> int:
        """When it was received, not later than now (ms)."""
        return min(self.ts if self.received_at is None else self.received_at, now_ms)

    def ahead_ms(self, now_ms: int) -> int:
        """How far the device's time is ahead of when the reading was received; 0 or less where it is not."""
        said = self.ts
        if self.device_ts is not None:
            said = self.device_ts * 1000 if 0 < self.device_ts < _SECONDS_BELOW else self.device_ts
        return said - self.arrived_at(now_ms)

    @property
    def place(self) -> Place:
        """Where the sensor is."""
        return self.esp_id, self.gpio

    @property
    def usable(self) -> bool:
        """Whether rules may act on it."""
        return self.value is not None and self.quality not in UNUSABLE


@dataclass(slots=True)
class Newest:
    """The newest value of a sensor. ts orders its readings; usable_at: when a usable one last came (ms, our clock).

    known: whether the newest reading is usable; if not, `value` is what was there before it. said: its time by the
    device's clock. received_at: when it came (ms, our clock).
    """

    sensor_type: str
    ts: int
    value: float | None = None
    known: bool = False
    usable_at: int | None = None
    address: str | None = ""
    said: int = 0
    received_at: int = 0


Key = tuple[str, str | None]
"""The type of a sensor (no alias, lower case), and its address."""


class Readings:
    """Newest readings by place, type and address, of the places that are watched only.

    What counts is when a reading was received. One that a device took long before it sent it is late and moves nothing,
    unless the device's clock is behind (`Lags`); one that is dated ahead is not known, so nothing acts on it.
    """

    def __init__(self, late_ms: int) -> None:
        self._late_ms = late_ms
        self._newest: dict[Place, dict[Key, Newest]] = {}
        self._lags: dict[Place, Lags] = {}
        self._devices: Counter[str] = Counter()
        self.fresh: set[str] = set()
        """Devices of places that are watched since this was last cleared."""

    def watch(self, place: Place) -> None:
        """Keep readings of a place from now on."""
        if place not in self._newest:
            self._newest[place] = {}
            self._devices[place[0]] += 1
            self.fresh.add(place[0])

    def unwatch(self, place: Place) -> None:
        """Forget a place."""
        self._lags.pop(place, None)
        if self._newest.pop(place, None) is not None:
            self._devices[place[0]] -= 1

    def of_device(self, esp_id: str) -> bool:
        """Whether a place of this device is watched."""
        return self._devices[esp_id] > 0

    def __bool__(self) -> bool:
        """Whether any place is watched."""
        return bool(self._newest)

    @property
    def devices(self) -> list[str]:
        """The devices with a place that is watched."""
        return sorted(esp_id for esp_id, places in self._devices.items() if places > 0)

    def note(self, reading: RuleInput, now_ms: int) -> Verdict:
        """Take a reading. One that is late, or older than a newer one of its sensor, changes nothing; after one that is
        dated ahead, or reported as stale, the sensor's value is unknown."""
        of_place = self._newest.get(reading.place)
        if of_place is None:
            return "unnamed"
        if reading.quality == "stale":
            return _silenced(of_place, reading)
        arrived_at = reading.arrived_at(now_ms)
        if now_ms - arrived_at > self._late_ms:
            return "late"
        if reading.ahead_ms(now_ms) > self._late_ms:
            return _dated_ahead(of_place, reading, arrived_at)
        at = min(reading.ts, arrived_at)
        if arrived_at - at > self._late_ms:
            if not self._lags.setdefault(reading.place, Lags()).is_steady(_key(reading), reading.ts, arrived_at):
                return "late"
            at = arrived_at
        return _take(of_place, reading, at, now_ms if reading.received_at is None else arrived_at)

    def recall(self, reading: RuleInput, now_ms: int, oldest_ms: int) -> Verdict:
        """Take a reading that was stored earlier: `stale` counts from it, but its value is known only if it is neither
        older than oldest_ms nor dated ahead, was not late when it came, and its sensor is not silent."""
        of_place = self._newest.get(reading.place)
        if of_place is None:
            return "unnamed"
        at = min(reading.ts, reading.arrived_at(now_ms))
        if reading.ahead_ms(now_ms) > self._late_ms:
            return _dated_ahead(of_place, reading, at)
        verdict = _take(of_place, reading, at, at)
        was_late = reading.arrived_at(now_ms) - at > self._late_ms
        if verdict == "taken":
            newest = of_place[_key(reading)]
            newest.received_at = reading.arrived_at(now_ms)
            newest.known = not (was_late or reading.silent or now_ms - at > oldest_ms)
        return verdict

    def of(self, place: Place, sensor_type: str | None, address: str | None = None) -> Newest | None:
        """The newest of a sensor; without a type or an address the newest of any that fits."""
        of_place = self._newest.get(place)
        if not of_place:
            return None
        found = _fitting(of_place, sensor_type, address) or [
            newest for key, newest in of_place.items() if key[0] == ANY
        ]
        return max(found, key=lambda newest: newest.ts) if found else None

    def count(self, place: Place, sensor_type: str | None) -> int:
        """How many sensors of a type, or of any, have been seen at a place."""
        return len(_fitting(self._newest.get(place, {}), sensor_type, None))

    def supposing(self, given: Iterable[RuleInput], now_ms: int) -> "Readings":
        """A copy for a dry run in which these readings are the newest of their sensors; one without a type (ANY) is
        the only one at its place, one without an address the only one of its type there."""
        copy = Readings(self._late_ms)
        copy._newest = {place: dict(of_place) for place, of_place in self._newest.items()}
        for reading in given:
            of_place = copy._newest.setdefault(reading.place, {})
            if reading.sensor_type == ANY:
                of_place.clear()
            kind, address = _key(reading)
            for key in [key for key in of_place if key[0] == kind and address in (None, key[1])]:
                del of_place[key]
            _take(of_place, reading, now_ms, now_ms)
        return copy


def _key(reading: RuleInput) -> Key:
    return type_of(reading.sensor_type), reading.address


def _fitting(of_place: Mapping[Key, Newest], sensor_type: str | None, address: str | None) -> list[Newest]:
    kind = None if sensor_type is None else type_of(sensor_type)
    return [
        newest
        for key, newest in of_place.items()
        if (kind is None or key[0] == kind) and (address is None or key[1] in (None, address))
    ]


def _take(of_place: dict[Key, Newest], reading: RuleInput, ts: int, at_ms: int) -> Verdict:
    key = _key(reading)
    newest = of_place.get(key)
    if newest is None:
        newest = of_place[key] = Newest(reading.sensor_type, ts, address=reading.address)
    elif ts <= newest.ts:
        return "out_of_order"
    newest.ts = ts
    newest.said = reading.ts
    newest.known = reading.usable
    if not reading.usable:
        return "unusable"
    newest.value = reading.value
    newest.usable_at = newest.received_at = at_ms
    return "taken"


def _dated_ahead(of_place: dict[Key, Newest], reading: RuleInput, ts: int) -> Verdict:
    """The reading is the newest, and nothing may act on it; what was there before it is out of date."""
    verdict = _take(of_place, replace(reading, value=None), ts, ts)
    return verdict if verdict == "out_of_order" else "ahead"


def _silenced(of_place: dict[Key, Newest], reading: RuleInput) -> Verdict:
    """The sensor fell silent after this reading: if it is still the newest, its value is not known any more."""
    newest = of_place.get(_key(reading))
    if newest is not None and reading.ts < newest.said:
        return "out_of_order"
    if newest is not None:
        newest.known = False
    return "unusable"
