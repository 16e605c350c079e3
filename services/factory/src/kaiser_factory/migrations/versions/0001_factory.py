"""The tables of the factory by environment: its actions, its orders, and the commands that Kaiser sent."""

from alembic import op

revision = "0001"
down_revision = None

_TRANSITIONS = """
    time timestamptz NOT NULL,
    env text NOT NULL,
    serial text NOT NULL,
    what text NOT NULL CHECK (what IN ('action', 'connection', 'availability', 'node')),
    value text NOT NULL,
    action_id text NOT NULL DEFAULT '',
    command text,
    result text,
    length_mm double precision,
    PRIMARY KEY (env, serial, what, time, value, action_id)
"""
_SAMPLES = """
    time timestamptz NOT NULL,
    env text NOT NULL,
    serial text NOT NULL,
    battery_percent double precision,
    battery_voltage double precision,
    charging boolean,
    driving boolean,
    node text,
    PRIMARY KEY (env, serial, time)
"""


def upgrade() -> None:
    """Time series are hypertables where TimescaleDB is installed, else partitioned by month."""
    _series("transitions", _TRANSITIONS)
    _series("samples", _SAMPLES)
    op.execute(
        """
        CREATE TABLE factory.orders (
            env text NOT NULL,
            order_id text NOT NULL,
            type text,
            order_type text,
            state text NOT NULL,
            workpiece_id text,
            request_id text,
            started_at timestamptz,
            stopped_at timestamptz,
            lead_ms bigint,
            first_seen_at timestamptz NOT NULL,
            changed_at timestamptz NOT NULL,
            skew_ms bigint,
            record jsonb NOT NULL,
            PRIMARY KEY (env, order_id)
        )
        """
    )
    op.execute("CREATE INDEX orders_by_time ON factory.orders (env, first_seen_at DESC, order_id)")
    op.execute("CREATE INDEX orders_of_workpiece ON factory.orders (env, workpiece_id) WHERE workpiece_id IS NOT NULL")
    op.execute(
        """
        CREATE TABLE factory.steps (
            env text NOT NULL,
            action_id text NOT NULL,
            serial text NOT NULL,
            agv boolean NOT NULL,
            command text,
            running_at timestamptz,
            finished_at timestamptz,
            result text,
            changed_at timestamptz NOT NULL,
            PRIMARY KEY (env, action_id)
        )
        """
    )
    op.execute("CREATE INDEX steps_by_time ON factory.steps (changed_at)")
    op.execute(
        """
        CREATE TABLE factory.stock (
            env text NOT NULL,
            hbw text NOT NULL,
            location text NOT NULL,
            type text,
            workpiece_id text,
            state text,
            changed_at timestamptz NOT NULL,
            PRIMARY KEY (env, hbw, location)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE factory.stock_changes (
            env text NOT NULL,
            hbw text NOT NULL,
            location text NOT NULL,
            time timestamptz NOT NULL,
            type text,
            workpiece_id text,
            state text,
            PRIMARY KEY (env, hbw, location, time)
        )
        """
    )
    op.execute("CREATE INDEX stock_changes_of_workpiece ON factory.stock_changes (env, workpiece_id, time)")
    op.execute(
        """
        CREATE TABLE factory.quality (
            quality_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            env text NOT NULL,
            time timestamptz NOT NULL,
            txt text NOT NULL,
            num int,
            result text NOT NULL,
            classification text,
            mime text NOT NULL,
            bytes int NOT NULL,
            picture bytea,
            UNIQUE (env, txt, time)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE factory.order_ids (
            env text NOT NULL,
            order_id text NOT NULL,
            next bigint NOT NULL,
            PRIMARY KEY (env, order_id)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE factory.commands (
            command_id text PRIMARY KEY,
            env text NOT NULL,
            epoch bigint NOT NULL,
            request_key text NOT NULL,
            step int NOT NULL,
            username text NOT NULL,
            request jsonb NOT NULL,
            topic text NOT NULL,
            payload bytea NOT NULL,
            free boolean NOT NULL DEFAULT false,
            after_action_id text,
            sequence_id text,
            state text NOT NULL,
            queued_at timestamptz NOT NULL,
            serial text,
            entry jsonb,
            UNIQUE (env, request_key, step)
        )
        """
    )
    op.execute("CREATE INDEX commands_by_time ON factory.commands (env, queued_at DESC, command_id)")
    op.execute(
        "CREATE INDEX commands_open ON factory.commands (env)"
        " WHERE state IN ('waiting', 'queued', 'sent', 'unconfirmed', 'accepted')"
    )


def _series(name: str, columns: str) -> None:
    if _has_timescaledb():
        op.execute(f"CREATE TABLE factory.{name} ({columns})")
        op.execute(f"SELECT create_hypertable('factory.{name}', by_range('time', INTERVAL '7 days'))")
    else:
        op.execute(f"CREATE TABLE factory.{name} ({columns}) PARTITION BY RANGE (time)")
        op.execute(f"CREATE TABLE factory.{name}_other PARTITION OF factory.{name} DEFAULT")


def _has_timescaledb() -> bool:
    found = op.get_bind().exec_driver_sql("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'")
    return found.first() is not None
