"""Configurations of sensors."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """One row per sensor; sensor_type is the canonical name."""
    op.execute(
        """
        CREATE TABLE sensor.configs (
            esp_id text NOT NULL,
            gpio smallint NOT NULL,
            sensor_type text NOT NULL,
            config jsonb NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (esp_id, gpio, sensor_type)
        )
        """
    )
