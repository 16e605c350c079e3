"""PostgreSQL: the pool, what an error means, COPY-upsert, and which level of TimescaleDB is there."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import psycopg
import structlog
from psycopg import AsyncConnection, sql
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from kaiser_common.runtime.settings import CommonSettings

log = structlog.get_logger()

DatabasePool = AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]

UNAVAILABLE: tuple[type[Exception], ...] = (
    psycopg.OperationalError,
    psycopg.errors.ReadOnlySqlTransaction,
    PoolTimeout,
)
"""Exceptions that mean the database is away, hindered or read-only: try again later. See also `verdict`."""


class Level(StrEnum):
    """The features of the database."""

    COMMUNITY = "timescaledb-community"
    """Compression, continuous aggregates and policies."""
    APACHE = "timescaledb-apache"
    """Hypertables and drop_chunks; the service refreshes rollups and drops old chunks itself."""
    PLAIN = "postgresql"
    """Partitioned tables; the service does all of it."""


class Verdict(StrEnum):
    """The action after a failed statement."""

    RETRY = "retry"
    """The world is down or in the way: the same statement may succeed later."""
    REJECT = "reject"
    """A row cannot be stored: leave it out."""
    BUG = "bug"
    """The statement itself is wrong: crash."""


def verdict(error: Exception) -> Verdict:
    """Decide by SQLSTATE class: 08 connection, 40 rollback, 53 resources, 55 not in state, 57 intervention, 58 system,
    XX internal: again; 22 data, 23 integrity, 54 program limit (such as an index row over 2,704 bytes): the row.
    Without a SQLSTATE the connection itself failed: again."""
    if isinstance(error, PoolTimeout):
        return Verdict.RETRY
    if not isinstance(error, psycopg.Error):
        return Verdict.BUG
    if isinstance(error, psycopg.DataError | psycopg.IntegrityError):  # also found by psycopg itself, without SQLSTATE
        return Verdict.REJECT
    state = error.sqlstate
    if state is not None and state[:2] == "54":
        return Verdict.REJECT
    if state is None:
        return Verdict.RETRY if isinstance(error, psycopg.OperationalError) else Verdict.BUG
    if state[:2] in ("08", "25", "40", "53", "55", "57", "58", "XX"):
        return Verdict.RETRY
    return Verdict.BUG


def connection_uri(settings: CommonSettings) -> str:
    """The URI without its password when that comes from a file (see `connection_options`)."""
    return settings.database_url.get_secret_value()


def connection_options(settings: CommonSettings, name: str) -> dict[str, Any]:
    """Options of each connection: name, password from a file, timeouts."""
    options: dict[str, Any] = {
        "application_name": f"kaiser-{name}",
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "options": f"-c statement_timeout={int(settings.database_statement_timeout_s * 1000)} -c timezone=UTC",
    }
    if settings.database_password_file is not None:
        options["password"] = settings.database_password_file.read_text().strip()
    return options


@asynccontextmanager
async def open_pool(settings: CommonSettings, name: str, *, timeout_s: float = 2.0) -> AsyncIterator[DatabasePool]:
    """A pool of checked connections. It opens also when the server is away; then taking a connection raises
    PoolTimeout after `timeout_s`."""
    pool: DatabasePool = AsyncConnectionPool(
        connection_uri(settings),
        kwargs=connection_options(settings, name),
        min_size=1,
        max_size=settings.database_pool_size,
        timeout=timeout_s,
        max_waiting=256,
        reconnect_timeout=timeout_s,
        check=AsyncConnectionPool.check_connection,
        reconnect_failed=_log_unreachable,
        name=name,
        open=False,
    )
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close(timeout=5.0)


def _log_unreachable(pool: AsyncConnectionPool[Any]) -> None:
    log.warning("database_unreachable", database=_without_secret(str(pool.conninfo)))


async def ping(pool: DatabasePool) -> None:
    """A round trip, for /readyz."""
    async with pool.connection(timeout=1.5) as connection:
        await connection.execute("SELECT 1")


async def wait_for_schema(pool: DatabasePool, schema: str, version_table: str = "alembic_version") -> None:
    """Wait until the migrate step has made the schema, with a log line at each failure; services make no tables."""
    wait_s = 0.2
    while True:
        try:
            async with pool.connection() as connection:
                cursor = await connection.execute("SELECT to_regclass(%s)", (f"{schema}.{version_table}",))
                row = await cursor.fetchone()
            if row is not None and row[0] is not None:
                return
            log.warning("schema_missing", schema=schema, hint="run migrate", retry_s=wait_s)
        except UNAVAILABLE as error:
            log.warning("database_unreachable", error=_one_line(error), retry_s=wait_s)
        await asyncio.sleep(wait_s)
        wait_s = min(wait_s * 2, 5.0)


async def detect_level(connection: AsyncConnection[Any]) -> Level:
    """Find out what the server can do; needs the timescaledb extension to be created already."""
    cursor = await connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'")
    if await cursor.fetchone() is None:
        return Level.PLAIN
    cursor = await connection.execute("SELECT current_setting('timescaledb.license', true)")
    row = await cursor.fetchone()
    return Level.COMMUNITY if row is not None and row[0] == "timescale" else Level.APACHE


_FEW_ROWS = 10
_PARTS_AT_MOST = 1000


async def copy_upsert(
    connection: AsyncConnection[Any],
    table: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    on_conflict: str = "DO NOTHING",
) -> int:
    """Store rows by COPY into a temporary table and one INSERT … ON CONFLICT; the number of rows that were new.

    `table` as `schema.name`, `rows` as tuples in the order of `columns`. Runs in the caller's transaction, so nothing
    is stored before the caller commits. Rows with the same key within one call: the first wins. A few rows are
    inserted one by one, which is cheaper than the temporary table.
    """
    rows = list(rows)
    if not rows:
        return 0
    target = sql.Identifier(*table.split("."))
    staging = sql.Identifier(f"staging_{table.replace('.', '_')}")
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    if len(rows) <= _FEW_ROWS:
        places = sql.SQL(", ").join([sql.Placeholder()] * len(columns))
        insert = sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT {}")
        async with connection.cursor() as cursor:
            await cursor.executemany(insert.format(target, names, places, sql.SQL(on_conflict)), rows)
            return cursor.rowcount
    await connection.execute(
        sql.SQL("CREATE TEMP TABLE IF NOT EXISTS {} (LIKE {} INCLUDING DEFAULTS) ON COMMIT DELETE ROWS").format(
            staging, target
        )
    )
    async with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(staging, names)) as copy,
    ):
        for row in rows:
            await copy.write_row(row)
    cursor = await connection.execute(
        sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT {}").format(
            target, names, names, staging, sql.SQL(on_conflict)
        )
    )
    return cursor.rowcount


async def make_day_partitions(
    connection: AsyncConnection[Any], table: str, now: datetime, *, days_back: int = 1, days_ahead: int = 3
) -> None:
    """On plain PostgreSQL, make the partitions of `table` for the last and the coming days.

    A hypertable makes its own chunks. A day whose rows came before its partition stays in the default partition.
    """
    if not await _is_partitioned(connection, table):
        return
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for offset in range(-days_back, days_ahead + 1):
        start = midnight + timedelta(days=offset)
        await _make_partition(connection, table, f"{start:%Y%m%d}", start, start + timedelta(days=1))


async def make_month_partitions(connection: AsyncConnection[Any], table: str, now: datetime) -> None:
    """As `make_day_partitions`, of months: the last, the running and the next one."""
    if not await _is_partitioned(connection, table):
        return
    start = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    start = (start - timedelta(days=1)).replace(day=1)
    for _ in range(3):
        end = (start + timedelta(days=32)).replace(day=1)
        await _make_partition(connection, table, f"{start:%Y%m}", start, end)
        start = end


async def _make_partition(
    connection: AsyncConnection[Any], table: str, label: str, start: datetime, end: datetime
) -> None:
    schema, name = table.split(".")
    statement = sql.SQL("CREATE TABLE IF NOT EXISTS {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})").format(
        sql.Identifier(schema, f"{name}_{label}"),
        sql.Identifier(schema, name),
        sql.Literal(start.isoformat()),
        sql.Literal(end.isoformat()),
    )
    try:
        async with connection.transaction():
            await connection.execute(statement)
    except psycopg.errors.CheckViolation:
        log.info("rows_stay_in_default_partition", table=table, partition=label)


async def drop_days_before(connection: AsyncConnection[Any], table: str, before: datetime) -> None:
    """Drop the chunks, or partitions by day or month, of `table` that end before a time.

    Rows of the default partition go one by one.
    """
    schema, name = table.split(".")
    if not await _is_partitioned(connection, table):
        await connection.execute("SELECT drop_chunks(%s::regclass, older_than => %s::timestamptz)", (table, before))
        return
    cursor = await connection.execute(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = %s::regclass",
        (table,),
    )
    first_kept = f"{name}_{before.astimezone(UTC):%Y%m%d}"
    for (partition,) in await cursor.fetchall():
        if re.fullmatch(rf"{name}_\d{{6}}(\d\d)?", partition) and partition < first_kept[: len(partition)]:
            await connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(schema, partition)))
    await drop_rows_before(connection, f"{table}_other", "time", before)


async def drop_rows_before(
    connection: AsyncConnection[Any], table: str, column: str, before: datetime, *, at_once: int = 10_000
) -> int:
    """Delete the rows of a plain table whose `column` lies before a time; how many.

    A part at a time, so that no statement meets the statement timeout, and at most a thousand parts: the rest goes with
    the next call.
    """
    names = {"table": sql.Identifier(*table.split(".")), "column": sql.Identifier(column)}
    statement = sql.SQL(
        "DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE {column} < %s LIMIT %s))"
    ).format(**names)
    dropped = 0
    for _ in range(_PARTS_AT_MOST):
        cursor = await connection.execute(statement, (before, at_once))
        dropped += cursor.rowcount
        if cursor.rowcount < at_once:
            break
    return dropped


async def _is_partitioned(connection: AsyncConnection[Any], table: str) -> bool:
    cursor = await connection.execute("SELECT 1 FROM pg_partitioned_table WHERE partrelid = %s::regclass", (table,))
    return await cursor.fetchone() is not None


def _without_secret(conninfo: str) -> str:
    """A conninfo or URI as it may be logged."""
    return re.sub(r"(?<=password=)\S+|(?<=:)[^:@/]+(?=@)", "***", conninfo)


def _one_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
