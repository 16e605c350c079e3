"""Takes away the keys without an address that the version before this one needs (docs/decisions/0304)."""

from kaiser_sensor.store.rollups import Connection

_TABLES = ("data", "latest", "configs", "stale", "rollup_1m", "rollup_1h")


async def drop(connection: Connection) -> list[str]:
    """Drop what is left of them; the tables concerned. From then on a process of the version before stores nothing.

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
