"""Actuators, commands, emergency stops and history."""

from alembic import op

revision = "0001"
down_revision = None

_HISTORY = """
    time timestamptz NOT NULL,
    esp_id text NOT NULL,
    gpio int NOT NULL,
    kind text NOT NULL,
    key text NOT NULL,
    state boolean,
    value double precision,
    command text,
    command_id text,
    success boolean,
    alert_type text,
    message text,
    actor text,
    PRIMARY KEY (esp_id, gpio, time, kind, key)
"""


def upgrade() -> None:
    """History is a hypertable where TimescaleDB is installed, else partitioned by day."""
    op.execute(
        """
        CREATE TABLE actuator.actuators (
            esp_id text NOT NULL,
            gpio int NOT NULL,
            kaiser_id text NOT NULL,
            registered boolean NOT NULL,
            settings jsonb NOT NULL,
            state boolean,
            value double precision,
            reported_at timestamptz,
            last_error text,
            guard_command_id text,
            guard_since timestamptz,
            guard_due_at timestamptz,
            guard_tries int NOT NULL DEFAULT 0,
            PRIMARY KEY (esp_id, gpio)
        ) WITH (fillfactor = 50)
        """
    )
    op.execute("CREATE INDEX actuators_guard ON actuator.actuators (guard_due_at) WHERE guard_due_at IS NOT NULL")
    op.execute(
        """
        CREATE TABLE actuator.commands (
            command_id text PRIMARY KEY,
            number bigint GENERATED ALWAYS AS IDENTITY,
            esp_id text NOT NULL,
            gpio int NOT NULL,
            kaiser_id text NOT NULL,
            command text NOT NULL,
            value double precision NOT NULL,
            duration_s int NOT NULL,
            reason text,
            issued_by text NOT NULL,
            idempotency_key text,
            state text NOT NULL
                CHECK (state IN ('queued', 'sent', 'acknowledged', 'failed', 'expired', 'cancelled')),
            state_reason text,
            message text,
            queued_at timestamptz NOT NULL,
            dispatched_at timestamptz,
            sent_at timestamptz,
            ended_at timestamptz,
            expires_at timestamptz NOT NULL,
            deadline_at timestamptz NOT NULL
        ) WITH (fillfactor = 80)
        """
    )
    op.execute(
        "CREATE UNIQUE INDEX commands_idempotency ON actuator.commands (esp_id, gpio, idempotency_key)"
        " WHERE idempotency_key IS NOT NULL"
    )
    op.execute("CREATE INDEX commands_actuator ON actuator.commands (esp_id, gpio, queued_at)")
    op.execute(
        "CREATE INDEX commands_open ON actuator.commands (esp_id, gpio, number) WHERE state IN ('queued', 'sent')"
    )
    op.execute("CREATE INDEX commands_deadline ON actuator.commands (deadline_at) WHERE state IN ('queued', 'sent')")
    op.execute("CREATE INDEX commands_ended ON actuator.commands (ended_at) WHERE ended_at IS NOT NULL")
    op.execute(
        """
        CREATE TABLE actuator.emergencies (
            emergency_id text PRIMARY KEY,
            key text NOT NULL,
            esp_id text,
            gpio int,
            reason text NOT NULL,
            raised_by text NOT NULL,
            raised_at timestamptz NOT NULL,
            cleared_by text,
            clear_reason text,
            cleared_at timestamptz
        )
        """
    )
    op.execute("CREATE INDEX emergencies_in_force ON actuator.emergencies (key) WHERE cleared_at IS NULL")
    op.execute("CREATE INDEX emergencies_cleared ON actuator.emergencies (cleared_at) WHERE cleared_at IS NOT NULL")
    if _has_timescaledb():
        op.execute(f"CREATE TABLE actuator.history ({_HISTORY})")
        op.execute("SELECT create_hypertable('actuator.history', by_range('time', INTERVAL '1 day'))")
    else:
        op.execute(f"CREATE TABLE actuator.history ({_HISTORY}) PARTITION BY RANGE (time)")
        op.execute("CREATE TABLE actuator.history_other PARTITION OF actuator.history DEFAULT")


def _has_timescaledb() -> bool:
    found = op.get_bind().exec_driver_sql("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'")
    return found.first() is not None
