"""Readings and the newest of each sensor."""

from alembic import op

revision = "0001"
down_revision = None

_COLUMNS = """
    time timestamptz NOT NULL,
    esp_id text NOT NULL,
    gpio smallint NOT NULL,
    sensor_type text NOT NULL,
    raw double precision,
    raw_value double precision,
    value double precision,
    unit text,
    quality text NOT NULL,
    processing_mode text NOT NULL,
    data_source text NOT NULL,
    clock text NOT NULL
"""


def upgrade() -> None:
    """Make `sensor.data` a hypertable of day chunks where TimescaleDB is installed, else a table partitioned by day."""
    if _has_timescaledb():
        op.execute(f"CREATE TABLE sensor.data ({_COLUMNS}, PRIMARY KEY (esp_id, gpio, sensor_type, time))")
        op.execute("SELECT create_hypertable('sensor.data', by_range('time', INTERVAL '1 day'))")
    else:
        op.execute(
            f"CREATE TABLE sensor.data ({_COLUMNS}, PRIMARY KEY (esp_id, gpio, sensor_type, time))"
            " PARTITION BY RANGE (time)"
        )
        op.execute("CREATE TABLE sensor.data_other PARTITION OF sensor.data DEFAULT")
    op.execute(
        f"CREATE TABLE sensor.latest ({_COLUMNS}, PRIMARY KEY (esp_id, gpio, sensor_type)) WITH (fillfactor = 50)"
    )


def _has_timescaledb() -> bool:
    found = op.get_bind().exec_driver_sql("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'")
    return found.first() is not None
