"""The newest reading of each sensor, among those that `sensor.latest` does not have yet; pure."""

from collections.abc import Sequence

from kaiser_sensor.domain.rows import Row, SensorKey, sensor_key

Arrival = tuple[float, int | None]
"""When a reading was received (s since 1970), and the device's own time (ms) where it was not believed."""

_MOST_SENSORS = 20_000
_END_S = 253_402_300_800  # the year 10000
_INT64 = 2**63


class Unwritten:
    """A reading is newer by its time, which counts as no later than it was received; of equal ones the first stays."""

    def __init__(self) -> None:
        self._found: dict[SensorKey, tuple[float, Row, Arrival]] = {}

    def __len__(self) -> int:
        return len(self._found)

    @property
    def is_full(self) -> bool:
        """Whether enough sensors wait to be written now."""
        return len(self._found) >= _MOST_SENSORS

    def add(self, rows: Sequence[Row], arrivals: Sequence[Arrival]) -> None:
        """Take readings in the order in which they came."""
        found = self._found
        for row, arrival in zip(rows, arrivals, strict=True):
            key = sensor_key(row)
            at = min(row[0].timestamp(), arrival[0])
            best = found.get(key)
            if best is None or at > best[0]:
                found[key] = (at, row, arrival)

    def with_these(self, rows: Sequence[Row], arrivals: Sequence[Arrival]) -> "Unwritten":
        """These and others together."""
        both = Unwritten()
        both._found = self._found.copy()
        both.add(rows, arrivals)
        return both

    def rows(self) -> list[Row]:
        return [row for _, row, _ in self._found.values()]

    def arrivals(self) -> list[Arrival]:
        return [arrival for _, _, arrival in self._found.values()]

    def clear(self) -> None:
        self._found.clear()


def may_wait(arrivals: Sequence[Arrival]) -> bool:
    """Whether `sensor.latest` takes these whatever else it takes. If not, the batch at hand is the one to fail."""
    return all(
        0 <= received_s < _END_S and (device_ts is None or -_INT64 <= device_ts < _INT64)
        for received_s, device_ts in arrivals
    )
