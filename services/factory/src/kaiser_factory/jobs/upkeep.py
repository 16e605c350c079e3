"""Every hour creates the partitions of the coming months and drops rows that are older than the retention."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.loops import every
from kaiser_common.runtime.partitions import drop_days_before, drop_rows_before, make_month_partitions

_EVERY_S = 3600.0
_SERIES = ("factory.transitions", "factory.samples")
_ROWS = (
    ("factory.steps", "changed_at"),
    ("factory.stock_changes", "time"),
    ("factory.quality", "time"),
    ("factory.orders", "changed_at"),
    ("factory.commands", "queued_at"),
)


async def keep_up(pool: DatabasePool, retention_days: int, now: Callable[[], datetime]) -> None:
    """Keep the tables in shape until cancelled; the database away: again in 5 s."""
    await every(_EVERY_S, partial(_round, pool, timedelta(days=retention_days), now), "upkeep_postponed")


async def _round(pool: DatabasePool, retention: timedelta, clock: Callable[[], datetime]) -> None:
    now = clock()
    async with pool.connection() as connection:
        for table in _SERIES:
            await make_month_partitions(connection, table, now)
            await drop_days_before(connection, table, now - retention)
        for table, column in _ROWS:
            await drop_rows_before(connection, table, column, now - retention)
