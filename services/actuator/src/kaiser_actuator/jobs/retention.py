"""Every hour creates the partitions of the coming days and drops rows that are older than their retention."""

from collections.abc import Callable
from datetime import datetime, timedelta

from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.loops import every
from kaiser_common.runtime.partitions import drop_days_before, drop_rows_before, make_day_partitions

from kaiser_actuator.settings import ActuatorServiceSettings

_EVERY_S = 3600.0


async def keep_retention(pool: DatabasePool, settings: ActuatorServiceSettings, clock: Callable[[], datetime]) -> None:
    """Make partitions and drop old rows until cancelled. Killed in the middle: the next start continues."""

    async def once() -> None:
        now = clock()
        before = now - timedelta(days=settings.actuator_retention_days)
        async with pool.connection() as connection:
            await make_day_partitions(connection, "actuator.history", now)
            await drop_days_before(connection, "actuator.history", before)
            await drop_rows_before(connection, "actuator.commands", "ended_at", before)
            await drop_rows_before(connection, "actuator.emergencies", "cleared_at", before)

    await every(_EVERY_S, once, "upkeep_postponed")
