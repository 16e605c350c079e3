"""Counts sensors by whether their newest value is known, as a metric."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime

from kaiser_common.contract.schemas.sensor import MISSED
from kaiser_common.runtime.database import DatabasePool

from kaiser_sensor import metrics
from kaiser_sensor.store import intervals as interval_store


class StateCounts:
    """Every replica counts all sensors, so the metric of any one of them is complete. Killed: the next count is
    correct again."""

    def __init__(
        self, pool: DatabasePool, offline_since: Callable[[str], int | None], now: Callable[[], datetime]
    ) -> None:
        self._pool = pool
        self._offline_since = offline_since
        self._now = now

    async def count(self) -> None:
        """Count; an offline device's sensors are offline, whatever they sent before."""
        async with self._pool.connection() as connection:
            devices = await interval_store.silent_by_device(connection, self._now(), MISSED)
        found: Counter[str] = Counter(known=0, silent=0, offline=0)
        for esp_id, sensors, silent in devices:
            if self._offline_since(esp_id) is not None:
                found["offline"] += sensors
            else:
                found.update(silent=silent, known=sensors - silent)
        for state, sensors in found.items():
            metrics.SENSORS.labels(state).set(sensors)
