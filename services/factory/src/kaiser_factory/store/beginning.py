"""Deletes the rows of the previous epoch before a mock factory or replay begins; rows of kind live are never deleted.

The journal and the numbers already used are kept: who sent which command is not part of a replay. Killed in between:
the next process continues to delete, because the epoch is noted last.
"""

from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.statements import execute
from psycopg import sql
from sqlalchemy.dialects.postgresql import insert

from kaiser_factory.store.tables import begun

_TABLES = ("transitions", "samples", "orders", "steps", "stock", "stock_changes", "quality")
_AT_ONCE = 10_000


async def begin(pool: DatabasePool, environment: FactoryEnvironment) -> None:
    """Delete what an earlier epoch of this environment has left, a part at a time, and note the epoch."""
    if environment.kind == "live":
        return
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT epoch FROM factory.begun WHERE env = %s", (environment.env,))
        if await cursor.fetchone() == (environment.epoch,):
            return
    for table in _TABLES:
        while await _delete_part(pool, table, environment.env) == _AT_ONCE:
            continue
    noted = insert(begun).values(env=environment.env, epoch=environment.epoch)
    noted = noted.on_conflict_do_update(index_elements=[begun.c.env], set_={"epoch": noted.excluded.epoch})
    async with pool.connection() as connection:
        await execute(connection, noted)


async def _delete_part(pool: DatabasePool, table: str, env: str) -> int:
    """How many rows were deleted; each part is a transaction, so no statement meets the statement timeout."""
    statement = sql.SQL(
        "DELETE FROM {table} WHERE (tableoid, ctid) IN (SELECT tableoid, ctid FROM {table} WHERE env = %s LIMIT %s)"
    ).format(table=sql.Identifier("factory", table))
    async with pool.connection() as connection:
        return (await connection.execute(statement, (env, _AT_ONCE))).rowcount
