"""Channels, routes, and the notifications that were sent or wait to be."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """`url` of a channel is encrypted by the service. A notification is stored before it is sent, under its key."""
    op.execute(
        """
        CREATE TABLE alarm.channels (
            channel_id text PRIMARY KEY,
            name text NOT NULL,
            kind text NOT NULL,
            url text NOT NULL,
            enabled boolean NOT NULL,
            changed_at timestamptz NOT NULL,
            changed_by text NOT NULL,
            last_sent_at timestamptz,
            last_failed_at timestamptz,
            last_error text
        )
        """
    )
    op.execute(
        """
        CREATE TABLE alarm.routes (
            route_id text PRIMARY KEY,
            route jsonb NOT NULL,
            changed_at timestamptz NOT NULL,
            changed_by text NOT NULL
        )
        """
    )
    op.execute(
        """
        CREATE TABLE alarm.notifications (
            key text PRIMARY KEY,
            alarm_id text NOT NULL,
            channel_id text NOT NULL,
            bundle text NOT NULL,
            is_summary boolean NOT NULL,
            state text NOT NULL CHECK (state IN ('waiting', 'sent', 'failed', 'dropped')),
            tries int NOT NULL DEFAULT 0,
            next_try_at timestamptz NOT NULL,
            created_at timestamptz NOT NULL,
            ended_at timestamptz,
            error text
        )
        """
    )
    op.execute("CREATE INDEX notifications_waiting ON alarm.notifications (next_try_at) WHERE state = 'waiting'")
    op.execute("CREATE INDEX notifications_of_alarm ON alarm.notifications (alarm_id, created_at)")
    op.execute("CREATE INDEX notifications_at ON alarm.notifications (created_at)")
