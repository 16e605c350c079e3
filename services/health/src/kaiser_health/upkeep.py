"""What is let go of once it is old, by the settings of retention."""

from datetime import datetime, timedelta

from kaiser_common.database import drop_days_before, drop_rows_before

from kaiser_health.settings import HealthSettings
from kaiser_health.store import Connection


async def drop_old(connection: Connection, now: datetime, settings: HealthSettings) -> None:
    """Drop old heartbeats, errors, ended pushes and audit entries. Killed in it: the next start does."""
    figures_before = now - timedelta(days=settings.heartbeat_retention_days)
    actions_before = now - timedelta(days=settings.audit_retention_days)
    await drop_days_before(connection, "health.heartbeats", figures_before)
    await drop_rows_before(connection, "health.device_errors", "ts", figures_before)
    await drop_rows_before(connection, "health.pushes", "ended_at", actions_before)
    await drop_rows_before(connection, "health.audit_log", "at", actions_before)
