"""Every hour: the partitions of the coming months, and the end of what is older than the retention."""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog
from kaiser_common.runtime.database import (
    UNAVAILABLE,
    DatabasePool,
    drop_days_before,
    drop_rows_before,
    make_month_partitions,
)

log = structlog.get_logger()

_EVERY_S = 3600.0
_RETRY_S = 5.0
_SERIES = ("factory.transitions", "factory.samples")
_ROWS = (
    ("factory.steps", "changed_at"),
    ("factory.stock_changes", "time"),
    ("factory.quality", "time"),
    ("factory.orders", "changed_at"),
    ("factory.commands", "queued_at"),
)


async def keep_up(pool: DatabasePool, retention_days: int) -> None:
    """Keep the tables in shape until cancelled; the database away: again in 5 s."""
    while True:
        now = datetime.now(UTC)
        before = now - timedelta(days=retention_days)
        try:
            async with pool.connection() as connection:
                for table in _SERIES:
                    await make_month_partitions(connection, table, now)
                    await drop_days_before(connection, table, before)
                for table, column in _ROWS:
                    await drop_rows_before(connection, table, column, before)
        except UNAVAILABLE as error:
            log.warning("upkeep_postponed", error=str(error).splitlines()[0])
            await asyncio.sleep(_RETRY_S)
        else:
            await asyncio.sleep(_EVERY_S)
