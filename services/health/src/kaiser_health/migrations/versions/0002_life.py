"""The tables of a device's life: presence, heartbeat history, pushes that await an answer, errors, audit."""

from alembic import op

revision = "0002"
down_revision = "0001"

_HEARTBEATS = """
    time timestamptz NOT NULL,
    esp_id text NOT NULL,
    uptime_s bigint NOT NULL,
    heap_free bigint NOT NULL,
    wifi_rssi int NOT NULL,
    sensor_count int,
    actuator_count int,
    PRIMARY KEY (esp_id, time)
"""


def upgrade() -> None:
    """Time series are hypertables where TimescaleDB is installed, else partitioned by day."""
    op.execute("ALTER TABLE health.devices ADD COLUMN heartbeat_timeout_s int CHECK (heartbeat_timeout_s > 0)")
    op.execute("CREATE INDEX devices_online ON health.devices (last_seen_at) WHERE online")
    if _has_timescaledb():
        op.execute(f"CREATE TABLE health.heartbeats ({_HEARTBEATS})")
        op.execute("SELECT create_hypertable('health.heartbeats', by_range('time', INTERVAL '1 day'))")
    else:
        op.execute(f"CREATE TABLE health.heartbeats ({_HEARTBEATS}) PARTITION BY RANGE (time)")
        op.execute("CREATE TABLE health.heartbeats_other PARTITION OF health.heartbeats DEFAULT")
    op.execute(
        """
        CREATE TABLE health.pushes (
            push_id text PRIMARY KEY,
            esp_id text NOT NULL,
            kaiser_id text NOT NULL,
            kind text NOT NULL CHECK (kind IN ('config', 'zone', 'command')),
            payload jsonb NOT NULL,
            state text NOT NULL CHECK (state IN ('pending', 'applied', 'partial', 'failed', 'timeout')),
            tries int NOT NULL,
            next_try_at timestamptz NOT NULL,
            message text,
            failures jsonb NOT NULL DEFAULT '[]',
            created_at timestamptz NOT NULL,
            ended_at timestamptz
        )
        """
    )
    op.execute("CREATE INDEX pushes_pending ON health.pushes (next_try_at) WHERE state = 'pending'")
    op.execute("CREATE INDEX pushes_of_device ON health.pushes (esp_id, kind, created_at DESC)")
    op.execute(
        """
        CREATE TABLE health.device_errors (
            esp_id text NOT NULL,
            ts timestamptz NOT NULL,
            error_code int NOT NULL,
            severity text NOT NULL,
            category text,
            message text NOT NULL,
            PRIMARY KEY (esp_id, ts, error_code)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE health.audit_log (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            at timestamptz NOT NULL DEFAULT now(),
            actor text NOT NULL,
            role text NOT NULL,
            request_id text NOT NULL,
            action text NOT NULL,
            target text NOT NULL,
            before jsonb,
            after jsonb
        )
        """
    )
    op.execute("CREATE INDEX audit_log_target ON health.audit_log (target, id)")
    op.execute("CREATE INDEX audit_log_at ON health.audit_log (at)")


def _has_timescaledb() -> bool:
    found = op.get_bind().exec_driver_sql("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'")
    return found.first() is not None
