"""The newest reading of each sensor that a rule names, pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from kaiser_common.schemas.sensor import type_of

UNUSABLE = frozenset({"bad", "stale", "error"})
"""Qualities of readings that no rule acts on."""

ACTUATOR = "actuator"
"""The sensor type under which rules read the state of an actuator."""

ANY = ""
"""The type of a supposed reading that stands for whatever sensor there is."""

Place = tuple[str, int]
"""esp_id and gpio."""

Verdict = Literal["taken", "unusable", "out_of_order", "late", "unnamed"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a rule sees of a reading. ts in ms by the device's clock; seq of its event, 0 for one that was asked for."""

    esp_id: str
    gpio: int
    sensor_type: str
    ts: int
    value: float | None
    quality: str
    seq: int = 0

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

    known: whether the newest reading is usable; if not, `value` is what was there before it.
    """

    sensor_type: str
    ts: int
    value: float | None = None
    known: bool = False
    usable_at: int | None = None


class Readings:
    """Newest readings by place and type, of the places that are watched only."""

    def __init__(self, late_ms: int) -> None:
        self._late_ms = late_ms
        self._newest: dict[Place, dict[str, Newest]] = {}
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
        if self._newest.pop(place, None) is not None:
            self._devices[place[0]] -= 1

    def of_device(self, esp_id: str) -> bool:
        """Whether a place of this device is watched."""
        return self._devices[esp_id] > 0

    @property
    def devices(self) -> list[str]:
        """The devices with a place that is watched."""
        return sorted(esp_id for esp_id, places in self._devices.items() if places > 0)

    def note(self, reading: Reading, now_ms: int) -> Verdict:
        """Take a reading. One that is older than a newer one of its sensor, or late, changes nothing.

        A clock that is ahead does not shut out what comes after: such a reading counts as of now.
        """
        of_place = self._newest.get(reading.place)
        if of_place is None:
            return "unnamed"
        ts = min(reading.ts, now_ms)
        if now_ms - ts > self._late_ms:
            return "late"
        return self._take(of_place, reading, ts, now_ms)

    def recall(self, reading: Reading, now_ms: int, oldest_ms: int) -> Verdict:
        """Take a reading that was stored earlier: `stale` counts from it, but its value is known only if it is not
        older than oldest_ms."""
        of_place = self._newest.get(reading.place)
        if of_place is None:
            return "unnamed"
        ts = min(reading.ts, now_ms)
        verdict = self._take(of_place, reading, ts, ts)
        if verdict == "taken" and now_ms - ts > oldest_ms:
            of_place[type_of(reading.sensor_type)].known = False
        return verdict

    def of(self, place: Place, sensor_type: str | None) -> Newest | None:
        """The newest of a sensor; without a type the newest of any at that place."""
        of_place = self._newest.get(place)
        if not of_place:
            return None
        if sensor_type is not None:
            return of_place.get(type_of(sensor_type)) or of_place.get(ANY)
        return max(of_place.values(), key=lambda newest: newest.ts)

    def supposing(self, given: Iterable[Reading], now_ms: int) -> "Readings":
        """A copy for a dry run in which these readings are the newest of their sensors; one without a type (ANY) is
        the only one at its place."""
        copy = Readings(self._late_ms)
        copy._newest = {place: dict(of_place) for place, of_place in self._newest.items()}
        for reading in given:
            of_place = copy._newest.setdefault(reading.place, {})
            if reading.sensor_type == ANY:
                of_place.clear()
            of_place.pop(type_of(reading.sensor_type), None)
            self._take(of_place, reading, now_ms, now_ms)
        return copy

    def _take(self, of_place: dict[str, Newest], reading: Reading, ts: int, at_ms: int) -> Verdict:
        kind = type_of(reading.sensor_type)
        newest = of_place.get(kind)
        if newest is None:
            newest = of_place[kind] = Newest(reading.sensor_type, ts)
        elif ts <= newest.ts:
            return "out_of_order"
        newest.ts = ts
        newest.known = reading.usable
        if not reading.usable:
            return "unusable"
        newest.value = reading.value
        newest.usable_at = at_ms
        return "taken"
