"""At the start and every hour, creates the partitions of the coming days and drops rows that are older than their
retention."""

from datetime import datetime, timedelta

from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.partitions import drop_days_before, drop_rows_before, make_day_partitions

from kaiser_health.domain.decode import Clock
from kaiser_health.settings import HealthSettings
from kaiser_health.store import Connection


async def keep_tables(pool: DatabasePool, clock: Clock, settings: HealthSettings) -> None:
    """Make the partitions of the coming days, drop what is old."""
    now = clock()
    async with pool.connection() as connection:
        await make_day_partitions(connection, "health.heartbeats", now)
        await drop_old(connection, now, settings)


async def drop_old(connection: Connection, now: datetime, settings: HealthSettings) -> None:
    """Drop old heartbeats, errors, ended pushes and audit entries. Killed: the next start drops the rest."""
    figures_before = now - timedelta(days=settings.heartbeat_retention_days)
    actions_before = now - timedelta(days=settings.audit_retention_days)
    await drop_days_before(connection, "health.heartbeats", figures_before)
    await drop_rows_before(connection, "health.device_errors", "ts", figures_before)
    await drop_rows_before(connection, "health.pushes", "ended_at", actions_before)
    await drop_rows_before(connection, "health.audit_log", "at", actions_before)
