"""Drops closed alarms and steps that are older than their retention, every hour."""

from datetime import UTC, datetime, timedelta

from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.partitions import drop_rows_before


async def drop_old(pool: DatabasePool, retention_days: int) -> None:
    """Drop what is old. Killed in the middle: the next start continues."""
    before = datetime.now(UTC) - timedelta(days=retention_days)
    async with pool.connection() as connection:
        await drop_rows_before(connection, "alarm.alarms", "closed_at", before)
        await drop_rows_before(connection, "alarm.steps", "at", before)
        await drop_rows_before(connection, "alarm.notifications", "created_at", before)
