"""Stores many rows at a time: COPY into a temporary table, then one INSERT … ON CONFLICT; up to ten rows directly."""

from collections.abc import Iterable, Sequence
from typing import Any

from psycopg import AsyncConnection, sql

_FEW_ROWS = 10


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
