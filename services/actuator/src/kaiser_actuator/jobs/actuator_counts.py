"""Counts actuators by whether they are on, off or not known, as a metric."""

from collections.abc import Mapping

from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.runtime.database import DatabasePool

from kaiser_actuator import metrics
from kaiser_actuator.domain.shown import by_state
from kaiser_actuator.store import actuators


class ActuatorCounts:
    """Every replica counts all actuators, so the metric of any one of them is complete. Killed: the next count is
    correct again."""

    def __init__(self, pool: DatabasePool, devices: Mapping[str, DeviceRecord]) -> None:
        self._pool = pool
        self._devices = devices

    async def count(self) -> None:
        """Count; the state of an offline device's actuator is not known, whatever was reported before."""
        async with self._pool.reading() as connection:
            stored = await actuators.count_by_device(connection)
        for state, number in by_state(stored, self._devices).items():
            metrics.ACTUATORS.labels(state).set(number)
