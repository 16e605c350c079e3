"""Drops executions that are older than their retention, every hour."""

from datetime import UTC, datetime, timedelta

from kaiser_common.runtime.database import DatabasePool, wait_for_schema
from kaiser_common.runtime.loops import every
from kaiser_common.runtime.partitions import drop_rows_before

_EVERY_S = 3600.0


async def keep_retention(pool: DatabasePool, retention_days: int) -> None:
    """Drop old executions until cancelled, once the schema is there. Killed: the next start goes on."""

    async def drop_old() -> None:
        before = datetime.now(UTC) - timedelta(days=retention_days)
        async with pool.connection() as connection:
            await drop_rows_before(connection, "logic.executions", "started_at", before)

    await wait_for_schema(pool, "logic")
    await every(_EVERY_S, drop_old, "upkeep_postponed", retry_s=1.0)
