"""Measurements on demand, and the silences that were reported."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """`sensor.stale`: of each sensor the time of the reading after which it was reported as stale."""
    op.execute(
        """
        CREATE TABLE sensor.measurements (
            request_id text PRIMARY KEY,
            esp_id text NOT NULL,
            gpio smallint NOT NULL,
            requested_by text NOT NULL,
            requested_at timestamptz NOT NULL,
            answered_at timestamptz,
            success boolean,
            message text
        )
        """
    )
    op.execute("CREATE INDEX measurements_requested ON sensor.measurements (requested_at)")
    op.execute(
        """
        CREATE TABLE sensor.stale (
            esp_id text NOT NULL,
            gpio smallint NOT NULL,
            sensor_type text NOT NULL,
            time timestamptz NOT NULL,
            PRIMARY KEY (esp_id, gpio, sensor_type)
        )
        """
    )
