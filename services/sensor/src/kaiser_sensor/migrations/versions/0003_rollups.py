"""Rollups of one minute and one hour, and what their upkeep remembers."""

from alembic import op

revision = "0003"
down_revision = "0002"

_GOOD = "value IS NOT NULL AND quality NOT IN ('bad', 'error')"
_TABLE = """
    time timestamptz NOT NULL,
    esp_id text NOT NULL,
    gpio smallint NOT NULL,
    sensor_type text NOT NULL,
    min double precision,
    max double precision,
    avg double precision,
    last double precision,
    count bigint NOT NULL,
    PRIMARY KEY (esp_id, gpio, sensor_type, time)
"""
_CONTINUOUS = (
    "WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false)"
)


def upgrade() -> None:
    """Continuous aggregates where the server has them, else tables that the service refreshes.

    What is made here stays when the server's level changes later: the service goes by what is there.
    """
    op.execute(
        """
        CREATE TABLE sensor.rollup_pending (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            rollup text NOT NULL,
            esp_id text,
            from_at timestamptz NOT NULL,
            to_at timestamptz NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX rollup_pending_due ON sensor.rollup_pending (rollup, from_at, id)")
    op.execute("CREATE TABLE sensor.rollup_state (rollup text PRIMARY KEY, complete_to timestamptz NOT NULL)")
    op.execute("CREATE TABLE sensor.policies (name text PRIMARY KEY, applied text NOT NULL)")
    op.execute(
        """
        CREATE TABLE sensor.day_checks (
            day date PRIMARY KEY,
            checked_at timestamptz NOT NULL,
            raw bigint NOT NULL,
            minutes bigint NOT NULL,
            hours bigint NOT NULL,
            sensors bigint NOT NULL,
            complete bigint NOT NULL,
            silent bigint NOT NULL
        )
        """
    )
    if _is_partitioned():
        # A hypertable has an index on time already.
        op.execute("CREATE INDEX data_time ON sensor.data USING brin (time) WITH (autosummarize = on)")
        for name in ("rollup_1m", "rollup_1h"):
            op.execute(f"CREATE TABLE sensor.{name} ({_TABLE}) PARTITION BY RANGE (time)")
            op.execute(f"CREATE TABLE sensor.{name}_other PARTITION OF sensor.{name} DEFAULT")
            op.execute(f"CREATE INDEX {name}_time ON sensor.{name} USING brin (time) WITH (autosummarize = on)")
    elif _scalar("SELECT current_setting('timescaledb.license', true)") == "timescale":
        _continuous_aggregates()
    else:
        for name, days in (("rollup_1m", 7), ("rollup_1h", 30)):
            op.execute(f"CREATE TABLE sensor.{name} ({_TABLE})")
            op.execute(f"SELECT create_hypertable('sensor.{name}', by_range('time', INTERVAL '{days} days'))")


def _continuous_aggregates() -> None:
    op.execute(
        f"""
        CREATE MATERIALIZED VIEW sensor.rollup_1m {_CONTINUOUS} AS
        SELECT time_bucket(INTERVAL '1 minute', time) AS time, esp_id, gpio, sensor_type, min(value) AS min,
               max(value) AS max, avg(value) AS avg, last(value, time) AS last, count(value) AS count
        FROM sensor.data WHERE {_GOOD} GROUP BY 1, 2, 3, 4 WITH NO DATA
        """
    )
    op.execute(
        f"""
        CREATE MATERIALIZED VIEW sensor.rollup_1h {_CONTINUOUS} AS
        SELECT time_bucket(INTERVAL '1 hour', time) AS time, esp_id, gpio, sensor_type, min(min) AS min,
               max(max) AS max, sum(avg * count) / sum(count) AS avg, last(last, time) AS last,
               sum(count)::bigint AS count
        FROM sensor.rollup_1m GROUP BY 1, 2, 3, 4 WITH NO DATA
        """
    )
    for name in ("rollup_1m", "rollup_1h"):
        op.execute(f"CREATE INDEX ON sensor.{name} (esp_id, gpio, sensor_type, time)")


def _is_partitioned() -> bool:
    return _scalar("SELECT 1 FROM pg_partitioned_table WHERE partrelid = 'sensor.data'::regclass") is not None


def _scalar(query: str) -> object:
    row = op.get_bind().exec_driver_sql(query).first()
    return None if row is None else row[0]
