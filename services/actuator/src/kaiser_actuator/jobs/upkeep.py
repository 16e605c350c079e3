"""The periodic rounds over the tables, beside the sweep."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.loops import beside, every

from kaiser_actuator.jobs.actuator_counts import ActuatorCounts
from kaiser_actuator.jobs.retention import keep_retention
from kaiser_actuator.settings import ActuatorServiceSettings

_COUNT_EVERY_S = 10.0


def upkeep(
    pool: DatabasePool,
    devices: Mapping[str, DeviceRecord],
    settings: ActuatorServiceSettings,
    clock: Callable[[], datetime],
) -> AbstractAsyncContextManager[None]:
    """Keep the retention and count actuators by state, while the block runs."""
    return beside(
        retention=keep_retention(pool, settings, clock),
        counts=every(_COUNT_EVERY_S, ActuatorCounts(pool, devices).count, "actuators_not_counted"),
    )
