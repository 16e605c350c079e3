"""The interval in which each sensor sends, as it was learned from its readings."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """`sensor.intervals`: interval_s is NULL while a sensor has sent too little."""
    op.execute(
        """
        CREATE TABLE sensor.intervals (
            esp_id text NOT NULL,
            gpio smallint NOT NULL,
            sensor_type text NOT NULL,
            address text NOT NULL DEFAULT '',
            interval_s float8,
            learned_at timestamptz NOT NULL,
            PRIMARY KEY (esp_id, gpio, sensor_type, address)
        )
        """
    )
