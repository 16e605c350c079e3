"""Tables that are split by time: creates partitions ahead on plain PostgreSQL, and drops old rows at every level.

The levels of TimescaleDB support are in database.py (`Level`). If the process is killed half-way, the next round
creates or drops the rest.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import structlog
from psycopg import AsyncConnection, sql

log = structlog.get_logger()

_PARTS_AT_MOST = 1000


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
