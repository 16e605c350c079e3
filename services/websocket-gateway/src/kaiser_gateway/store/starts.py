"""The SQL of the starts of Kaiser's processes: the newest 10,000 of the last year."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from kaiser_common.contract.schemas.api.system import ReplicaStatus, ServiceStart
from kaiser_common.contract.times import time_of
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.statements import execute_many, insert_of
from psycopg.rows import class_row

from kaiser_gateway.store.tables import starts

KEPT = timedelta(days=365)
MOST_KEPT = 10_000
_ADD = insert_of(starts, ("service", "replica", "started_at", "version")).on_conflict_do_nothing()


async def note(pool: DatabasePool, replicas: Iterable[ReplicaStatus]) -> None:
    """Keep when these processes started. A start that is noted again is kept once."""
    rows = [
        {"service": one.service, "replica": one.replica, "started_at": time_of(one.started_at), "version": one.version}
        for one in replicas
    ]
    async with pool.connection() as connection:
        await execute_many(connection, _ADD, rows)


async def drop_old(pool: DatabasePool) -> None:
    """Drop those that are too old or too many. Killed in the middle: the next call goes on."""
    async with pool.connection() as connection:
        await connection.execute(
            """
            DELETE FROM gateway.starts WHERE started_at < greatest(%s, (
                SELECT started_at FROM gateway.starts ORDER BY started_at DESC OFFSET %s LIMIT 1))
            """,
            (datetime.now(UTC) - KEPT, MOST_KEPT - 1),
        )


async def between(pool: DatabasePool, from_at: datetime, to_at: datetime, limit: int) -> list[ServiceStart]:
    """The newest starts in [from_at, to_at), oldest first; one more than the limit if there are more."""
    async with pool.connection() as connection, connection.cursor(row_factory=class_row(ServiceStart)) as cursor:
        await cursor.execute(
            """
            SELECT service, replica, version, (extract(epoch FROM started_at) * 1000)::bigint AS started_at
            FROM gateway.starts WHERE started_at >= %s AND started_at < %s
            ORDER BY gateway.starts.started_at DESC, service, replica LIMIT %s
            """,
            (from_at, to_at, limit + 1),
        )
        return (await cursor.fetchall())[::-1]
