"""The sensor's address in every key: several probes share a pin or a bus."""

from alembic import op

revision = "0006"
down_revision = "0005"

_SENSOR = "esp_id, gpio, sensor_type, address"
_ROLLUP = f"time, {_SENSOR}, min, max, avg, last, count"
_SMALL = ("latest", "configs", "stale")
_GOOD = "value BETWEEN -1e15 AND 1e15 AND quality NOT IN ('bad', 'error')"
_CONTINUOUS = (
    "WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false)"
)


def upgrade() -> None:
    """Add the column, then a unique index beside the old key, which `old_keys.drop` of the new version takes away.

    Until then the previous version still works: it writes only the address "", which both keys allow. Nothing is
    rewritten: the column has a constant default, partitions get their index one by one without a lock on writes, and
    compressed chunks need none. A hypertable's uncompressed chunks are locked against writes while they are indexed;
    readings wait in the stream meanwhile. Killed half way: it continues where it was when it is run again.
    """
    aggregates = _relation_kind("rollup_1m") == "v"
    big = ["data"] if aggregates else ["data", "rollup_1m", "rollup_1h"]
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        for name in _SMALL:
            _add_address(name)
            op.execute(f"CREATE UNIQUE INDEX IF NOT EXISTS {name}_key ON sensor.{name} ({_SENSOR})")
        op.execute("ALTER TABLE sensor.latest ADD COLUMN IF NOT EXISTS received_at timestamptz")
        op.execute("ALTER TABLE sensor.latest ADD COLUMN IF NOT EXISTS device_ts bigint")
        op.execute("ALTER TABLE sensor.measurements ADD COLUMN IF NOT EXISTS address text NOT NULL DEFAULT ''")
        for name in big:
            _add_address(name)
            _index(name)
        if _column("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'"):
            _compress_by_address()
        if aggregates:
            _aggregates_by_address()


def _add_address(name: str) -> None:
    op.execute(f"ALTER TABLE sensor.{name} ADD COLUMN IF NOT EXISTS address text NOT NULL DEFAULT ''")


def _index(name: str) -> None:
    key = f"({_SENSOR}, time)"
    if _relation_kind(name) != "p":
        op.execute(f"CREATE UNIQUE INDEX IF NOT EXISTS {name}_key ON sensor.{name} {key}")
        return
    op.execute(f"CREATE UNIQUE INDEX IF NOT EXISTS {name}_key ON ONLY sensor.{name} {key}")
    # An index that is attached keeps its partition out of this list, also when it is run again.
    partitions = _column(
        f"""
        SELECT child.relname FROM pg_inherits AS of_table JOIN pg_class AS child ON child.oid = of_table.inhrelid
        WHERE of_table.inhparent = 'sensor.{name}'::regclass AND NOT EXISTS (
            SELECT FROM pg_index AS part JOIN pg_inherits AS of_index ON of_index.inhrelid = part.indexrelid
            WHERE part.indrelid = child.oid AND of_index.inhparent = 'sensor.{name}_key'::regclass)
        ORDER BY child.relname
        """
    )
    for partition in partitions:
        index = f"{partition}_key"
        op.execute(f"DROP INDEX IF EXISTS sensor.{index}")  # left half built by a run that was killed
        op.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {index} ON sensor.{partition} {key}")
        op.execute(f"ALTER INDEX sensor.{name}_key ATTACH PARTITION sensor.{index}")


def _compress_by_address() -> None:
    """Chunks that are compressed from now on; those that are stay as they are."""
    enabled = _column(
        "SELECT compression_enabled FROM timescaledb_information.hypertables"
        " WHERE hypertable_schema = 'sensor' AND hypertable_name = 'data'"
    )
    if enabled == [True]:
        op.execute(
            "ALTER TABLE sensor.data SET (timescaledb.compress,"
            f" timescaledb.compress_segmentby = '{_SENSOR}', timescaledb.compress_orderby = 'time')"
        )


def _aggregates_by_address() -> None:
    """A continuous aggregate cannot gain a column: new ones take over where late readings may still come.

    The old ones keep what lies before, which is final; a view joins the two. Of that time all addresses are "".
    """
    if _relation_kind("rollup_1m_by_address") is None:
        op.execute(
            f"""
            CREATE MATERIALIZED VIEW sensor.rollup_1m_by_address {_CONTINUOUS} AS
            SELECT time_bucket(INTERVAL '1 minute', time) AS time, {_SENSOR}, min(value) AS min,
                   max(value) AS max, avg(value) AS avg, last(value, time) AS last, count(value) AS count
            FROM sensor.data WHERE {_GOOD} GROUP BY 1, 2, 3, 4, 5 WITH NO DATA
            """
        )
        op.execute(f"CREATE INDEX ON sensor.rollup_1m_by_address ({_SENSOR}, time)")
    if _relation_kind("rollup_1h_by_address") is None:
        op.execute(
            f"""
            CREATE MATERIALIZED VIEW sensor.rollup_1h_by_address {_CONTINUOUS} AS
            SELECT time_bucket(INTERVAL '1 hour', time) AS time, {_SENSOR}, min(min) AS min,
                   max(max) AS max, sum(avg * count) / sum(count) AS avg, last(last, time) AS last,
                   sum(count)::bigint AS count
            FROM sensor.rollup_1m_by_address GROUP BY 1, 2, 3, 4, 5 WITH NO DATA
            """
        )
        op.execute(f"CREATE INDEX ON sensor.rollup_1h_by_address ({_SENSOR}, time)")
    # The refresh policy's window is a day wider than what may come late; before it nothing changes any more.
    [cut] = _column(
        """
        SELECT date_trunc('day', now() + INTERVAL '1 day' - coalesce(
            (SELECT substring(applied FROM 'INTERVAL ''(\\d+ days)''')::interval FROM sensor.policies
             WHERE name = 'refresh rollup_1m'), INTERVAL '8 days'), 'UTC')::text
        """
    )
    if _relation_kind("rollup_1m_before") is None and not _column("SELECT 1 FROM sensor.rollup_1h LIMIT 1"):
        for name in ("rollup_1h", "rollup_1m"):  # nothing to keep
            op.execute(f"DROP MATERIALIZED VIEW IF EXISTS sensor.{name}")
            op.execute(f"CREATE VIEW sensor.{name} AS SELECT {_ROLLUP} FROM sensor.{name}_by_address")
        return
    for name in ("rollup_1m", "rollup_1h"):
        if _relation_kind(f"{name}_before") is None:
            op.execute(f"SELECT remove_continuous_aggregate_policy('sensor.{name}', if_exists => true)")
            op.execute(f"ALTER MATERIALIZED VIEW sensor.{name} RENAME TO {name}_before")
        op.execute(
            f"""
            CREATE OR REPLACE VIEW sensor.{name} AS
            SELECT {_ROLLUP} FROM sensor.{name}_by_address WHERE time >= '{cut}'
            UNION ALL
            SELECT time, esp_id, gpio, sensor_type, '', min, max, avg, last, count FROM sensor.{name}_before
            WHERE time < '{cut}'
            """
        )


def _relation_kind(name: str) -> str | None:
    found = _column(f"SELECT relkind FROM pg_class WHERE oid = to_regclass('sensor.{name}')")
    return None if not found else str(found[0])


def _column(query: str) -> list[object]:
    return [row[0] for row in op.get_bind().exec_driver_sql(query)]
