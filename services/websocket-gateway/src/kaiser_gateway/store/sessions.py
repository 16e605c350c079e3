"""Sessions: sign-ins that are listed, and ended before their tokens expire."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.partitions import drop_rows_before
from kaiser_common.runtime.statements import execute, fetch_all, fetch_one, to_ms
from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row
from sqlalchemy import ColumnElement, delete, func, literal, select
from sqlalchemy.dialects.postgresql import insert

from kaiser_gateway.store import access_log
from kaiser_gateway.store.access_log import LogEntry
from kaiser_gateway.store.tables import ended_sessions, families


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A sign-in that goes on. Times in ms; used_at: of the last refresh; address and agent: of the client."""

    session: str
    username: str
    begun_at: int
    used_at: int
    expires_at: int
    address: str
    agent: str


class Sessions:
    """The sessions of all users. A token outlives its session unless the session was ended here. The ends are kept for
    as long as an access token (`token_minutes`) or a refresh token lives: of a session at an issuer nothing else is
    kept."""

    def __init__(self, pool: DatabasePool, token_minutes: int, refresh_days: int) -> None:
        self._pool = pool
        self._lately = timedelta(minutes=token_minutes + 1)
        self._kept = max(self._lately, timedelta(days=refresh_days, minutes=1))

    async def of(self, username: str) -> list[SignedIn]:
        """The sessions of a user, the one used last in front."""
        c = families.c
        columns = (
            c.family.label("session"),
            c.username,
            to_ms(c.begun_at).label("begun_at"),
            to_ms(c.used_at).label("used_at"),
            to_ms(c.expires_at).label("expires_at"),
            c.address,
            c.agent,
        )
        statement = select(*columns).where(c.username == username, c.expires_at > func.now())
        async with self._pool.connection() as connection:
            return await fetch_all(connection, class_row(SignedIn), statement.order_by(c.used_at.desc()))

    async def end(self, session: str, username: str | None, entry: LogEntry) -> bool:
        """End a session, with its entry in the log; username: of this user only. False when there is none."""
        wanted = families.c.family == session
        if username is not None:
            wanted = wanted & (families.c.username == username)
        async with self._pool.connection() as connection:
            if not await end_families(connection, wanted):
                return False
            await access_log.note(connection, entry)
        return True

    async def end_external(self, family: str) -> None:
        """End a session of a user of the issuer, of which nothing is kept here but its end."""
        async with self._pool.connection() as connection:
            await execute(connection, insert(ended_sessions).values(family=family).on_conflict_do_nothing())

    async def is_ended(self, family: str) -> bool:
        """Whether a session was ended for which a refresh token may still be there."""
        statement = select(literal(True)).where(ended_sessions.c.family == family)
        async with self._pool.connection() as connection:
            return await fetch_one(connection, scalar_row, statement) is not None

    async def ended(self) -> Collection[str]:
        """Sessions that ended so lately that access tokens of them may not have expired."""
        c = ended_sessions.c
        statement = select(c.family).where(c.ended_at > func.now() - literal(self._lately))
        async with self._pool.connection() as connection:
            return frozenset(await fetch_all(connection, scalar_row, statement))

    async def drop_old(self) -> None:
        """Forget the ends that no token can outlive. Killed in it: the next hour does."""
        async with self._pool.connection() as connection:
            await drop_rows_before(connection, "gateway.ended_sessions", "ended_at", datetime.now(UTC) - self._kept)


async def end_families(connection: AsyncConnection[Any], wanted: ColumnElement[bool]) -> int:
    """Delete families, and note that they ended; how many there were."""
    gone = await fetch_all(connection, scalar_row, delete(families).where(wanted).returning(families.c.family))
    if gone:
        add = insert(ended_sessions).values([{"family": family} for family in gone])
        await execute(connection, add.on_conflict_do_nothing())
    return len(gone)
