"""The log of sign-ins and user changes: who, what, about whom, from which address; kept for a year."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from kaiser_common.runtime.database import DatabasePool, drop_rows_before
from psycopg import AsyncConnection

KEPT = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """`action` is sign_in, sign_in_refused, refresh_refused, sign_out, set_user or delete_user."""

    actor: str
    action: str
    target: str
    address: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries: of an actor, an action, a target; from `from_ms` to before `to_ms`. None: all."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None


EVERYTHING = Wanted()


async def note(connection: AsyncConnection[Any], entry: LogEntry) -> None:
    """Write an entry in the transaction of what it tells."""
    await connection.execute(
        "INSERT INTO gateway.access_log (actor, action, target, address, detail) VALUES (%s, %s, %s, %s, %s)",
        (entry.actor, entry.action, entry.target, entry.address, entry.detail),
    )


async def note_alone(pool: DatabasePool, entry: LogEntry) -> None:
    """Write an entry in a transaction of its own."""
    async with pool.connection() as connection:
        await note(connection, entry)


async def page(
    pool: DatabasePool, before: int | None, limit: int, wanted: Wanted = EVERYTHING
) -> list[tuple[int, int, LogEntry]]:
    """Entries below an id, newest first: id, time in ms, entry."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            """
            SELECT id, (extract(epoch FROM at) * 1000)::bigint, actor, action, target, address, detail
            FROM gateway.access_log
            WHERE id < %(before)s
              AND (%(actor)s::text IS NULL OR actor = %(actor)s)
              AND (%(action)s::text IS NULL OR action = %(action)s)
              AND (%(target)s::text IS NULL OR target = %(target)s)
              AND (%(from_ms)s::bigint IS NULL OR at >= to_timestamp(%(from_ms)s / 1000.0))
              AND (%(to_ms)s::bigint IS NULL OR at < to_timestamp(%(to_ms)s / 1000.0))
            ORDER BY id DESC LIMIT %(limit)s
            """,
            {"before": before if before is not None else 2**63 - 1, "limit": limit, **asdict(wanted)},
        )
        return [(row[0], row[1], LogEntry(*row[2:])) for row in await cursor.fetchall()]


async def drop_old(pool: DatabasePool) -> None:
    """Drop what is older than a year. Killed in it: the next hour does."""
    async with pool.connection() as connection:
        await drop_rows_before(connection, "gateway.access_log", "at", datetime.now(UTC) - KEPT)
