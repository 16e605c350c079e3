"""Indexes by the end of a condition, so that the alarms that stood in a span of time are found."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """A process of the previous version reads as before; what it writes of alarms waits while the two are built, in one
    transaction: a moment for each million alarms."""
    op.execute("CREATE INDEX alarms_until ON alarm.alarms ((coalesce(cleared_at, 'infinity'::timestamptz)))")
    op.execute(
        "CREATE INDEX alarms_of_device_until ON alarm.alarms (esp_id, (coalesce(cleared_at, 'infinity'::timestamptz)))"
        " WHERE esp_id IS NOT NULL"
    )
