"""Rollups of the readings that were stored before there were rollups."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Continuous aggregates are refreshed here; for plain tables the service gets the list of days to refresh."""
    found = op.get_bind().exec_driver_sql("SELECT relkind FROM pg_class WHERE oid = 'sensor.rollup_1m'::regclass")
    if found.scalar_one() == "v":
        with op.get_context().autocommit_block():
            op.execute("SET statement_timeout = 0")
            op.execute("CALL refresh_continuous_aggregate('sensor.rollup_1m', NULL, NULL)")
            op.execute("CALL refresh_continuous_aggregate('sensor.rollup_1h', NULL, NULL)")
    else:
        op.execute("SET LOCAL statement_timeout = 0")
        op.execute(
            """
            INSERT INTO sensor.rollup_pending (rollup, from_at, to_at)
            SELECT '1m', day, day + INTERVAL '1 day'
            FROM (SELECT min(time) AS first, max(time) AS last FROM sensor.data) AS stored,
                generate_series(date_bin('1 day', first, 'epoch'), last, INTERVAL '1 day') AS day
            """
        )
