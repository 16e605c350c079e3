"""What is let go of once it is old, by the settings of retention."""

from datetime import datetime, timedelta

from kaiser_common.database import drop_days_before

from kaiser_health import audit, presence_store, push_store
from kaiser_health.settings import HealthSettings
from kaiser_health.store import Connection


async def drop_old(connection: Connection, now: datetime, settings: HealthSettings) -> None:
    """Drop old heartbeats, errors, ended pushes and audit entries. Killed in it: the next start does."""
    figures_before = now - timedelta(days=settings.heartbeat_retention_days)
    actions_before = now - timedelta(days=settings.audit_retention_days)
    await drop_days_before(connection, "health.heartbeats", figures_before)
    await presence_store.drop_errors_before(connection, figures_before)
    await push_store.drop_ended_before(connection, actions_before)
    await audit.drop_before(connection, actions_before)
