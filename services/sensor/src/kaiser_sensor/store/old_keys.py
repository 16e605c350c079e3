"""Drops the primary keys without the column `address`, which only the previous version needs (docs/decisions/0304)."""

from kaiser_sensor.store import Connection

_TABLES = ("data", "latest", "configs", "stale", "rollup_1m", "rollup_1h")


async def drop(connection: Connection) -> list[str]:
    """Drop those that are left; returns their tables. From then on a process of the previous version stores nothing.

    Killed in between: its transaction ends, and the next start does it.
    """
    cursor = await connection.execute(
        """
        SELECT relation.relname FROM pg_constraint AS key
        JOIN pg_class AS relation ON relation.oid = key.conrelid
        WHERE relation.relnamespace = 'sensor'::regnamespace AND relation.relname = ANY(%s)
          AND key.contype = 'p' AND key.conname = relation.relname || '_pkey'
        ORDER BY relation.relname
        """,
        (list(_TABLES),),
    )
    names = [row[0] for row in await cursor.fetchall()]
    for name in names:
        await connection.execute(f"ALTER TABLE sensor.{name} DROP CONSTRAINT IF EXISTS {name}_pkey")
    return names
