"""The registry of devices."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """One row per device; figures of its last heartbeat beside what the operator set."""
    op.execute(
        """
        CREATE TABLE health.devices (
            esp_id text PRIMARY KEY,
            kaiser_id text NOT NULL,
            name text,
            hardware_type text NOT NULL,
            state text NOT NULL CHECK (state IN ('pending', 'approved', 'rejected')),
            online boolean NOT NULL DEFAULT false,
            zone_id text,
            firmware_version text,
            ip text,
            metadata jsonb NOT NULL DEFAULT '{}',
            uptime_s bigint,
            heap_free bigint,
            wifi_rssi int,
            sensor_count int,
            actuator_count int,
            last_seen_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            approved_at timestamptz
        ) WITH (fillfactor = 50)
        """
    )
    op.execute("CREATE INDEX devices_state ON health.devices (state, esp_id)")
    op.execute("CREATE INDEX devices_zone ON health.devices (zone_id, esp_id) WHERE zone_id IS NOT NULL")
