"""Alarms, their steps, limits of sensors, and how far the events are read."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Of a condition (kind, source) at most one alarm is not closed. `steps` is the outbox of event.alarm too."""
    op.execute(
        """
        CREATE TABLE alarm.alarms (
            alarm_id text PRIMARY KEY,
            kind text NOT NULL,
            source text NOT NULL,
            severity text NOT NULL CHECK (severity IN ('critical', 'warning', 'info')),
            state text NOT NULL CHECK (state IN ('raised', 'acknowledged', 'cleared', 'closed')),
            message text NOT NULL,
            esp_id text,
            gpio int,
            sensor_type text,
            address text,
            times int NOT NULL,
            step int NOT NULL,
            raised_at timestamptz NOT NULL,
            last_raised_at timestamptz NOT NULL,
            acknowledged_at timestamptz,
            acknowledged_by text,
            cleared_at timestamptz,
            closed_at timestamptz,
            shelved_until timestamptz,
            shelved_by text
        )
        """
    )
    op.execute("CREATE UNIQUE INDEX alarms_open ON alarm.alarms (kind, source) WHERE state <> 'closed'")
    op.execute("CREATE INDEX alarms_by_time ON alarm.alarms (raised_at, alarm_id)")
    op.execute("CREATE INDEX alarms_of_device ON alarm.alarms (esp_id, raised_at) WHERE esp_id IS NOT NULL")
    op.execute("CREATE INDEX alarms_closed ON alarm.alarms (closed_at) WHERE closed_at IS NOT NULL")
    op.execute(
        """
        CREATE TABLE alarm.steps (
            number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            alarm_id text NOT NULL,
            step int NOT NULL,
            what text NOT NULL,
            at timestamptz NOT NULL,
            by text,
            note text,
            alarm jsonb NOT NULL,
            is_published boolean NOT NULL DEFAULT false,
            UNIQUE (alarm_id, step)
        )
        """
    )
    op.execute("CREATE INDEX steps_unpublished ON alarm.steps (number) WHERE NOT is_published")
    op.execute("CREATE INDEX steps_at ON alarm.steps (at)")
    op.execute(
        """
        CREATE TABLE alarm.limits (
            esp_id text NOT NULL,
            gpio int NOT NULL,
            sensor_type text NOT NULL,
            address text NOT NULL DEFAULT '',
            hi_hi double precision,
            hi double precision,
            lo double precision,
            lo_lo double precision,
            hysteresis double precision NOT NULL DEFAULT 0,
            delay_s int NOT NULL DEFAULT 0,
            changed_at timestamptz NOT NULL,
            changed_by text NOT NULL,
            PRIMARY KEY (esp_id, gpio, sensor_type, address)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE alarm.position (
            stream text PRIMARY KEY,
            created text NOT NULL,
            sequence bigint NOT NULL
        )
        """
    )
