"""The log of sign-ins and user changes: who, what, about whom, from which address; kept for a year."""

import asyncio
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import structlog
from kaiser_common.runtime.database import UNAVAILABLE, DatabasePool
from kaiser_common.runtime.partitions import drop_rows_before
from kaiser_common.runtime.statements import equal, execute, fetch_all, from_ms, to_ms
from psycopg import AsyncConnection
from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb
from sqlalchemy import func, insert, literal_column, select, true

from kaiser_gateway.domain.limits import source_of
from kaiser_gateway.domain.signing_in import MOST_KNOWN, Place
from kaiser_gateway.store.tables import access_log, users

log = structlog.get_logger()

KEPT = timedelta(days=365)
AT_THE_ISSUER = ", at the issuer"
"""The end of the detail of a sign-in at the OpenID Connect issuer, whose names are not those of our users."""
_LOOKED_AT = 200
_NOTE_WITHIN_S = 2.0
_NOT_NOTED: tuple[type[Exception], ...] = (TimeoutError, *UNAVAILABLE)


AccessAction = Literal[
    "sign_in",
    "sign_in_refused",
    "refresh_refused",
    "sign_out",
    "end_session",
    "set_password",
    "set_user",
    "delete_user",
    "clear_messages",
]
"""The actions in the access log; the console has a word for each, and docs/audit.md lists them."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """before, after: of a changed user."""

    actor: str
    action: AccessAction
    target: str
    address: str
    detail: str = ""
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries: of an actor, an action, a target; from `from_ms` to before `to_ms`; refused
    ones, or those that were not. None: all."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    refused: bool | None = None


EVERYTHING = Wanted()


async def note(connection: AsyncConnection[Any], entry: LogEntry) -> None:
    """Write an entry in the transaction of the change that it records."""
    changed = {
        name: None if value is None else Jsonb(value)
        for name, value in (("before", entry.before), ("after", entry.after))
    }
    await execute(connection, insert(access_log).inline().values({**asdict(entry), **changed}))


async def note_alone(pool: DatabasePool, entry: LogEntry) -> None:
    """Write an entry in a transaction of its own."""
    async with pool.connection() as connection:
        await note(connection, entry)


async def note_soon(pool: DatabasePool, entry: LogEntry) -> None:
    """The same; a database that does not take it delays a sign-in by 2 s at most, and the entry is only logged."""
    try:
        async with asyncio.timeout(_NOTE_WITHIN_S):
            await note_alone(pool, entry)
    except _NOT_NOTED as error:
        log.warning("access_not_logged", action=entry.action, error=str(error) or type(error).__name__)


async def page(
    pool: DatabasePool, before: int | None, limit: int, wanted: Wanted = EVERYTHING
) -> list[tuple[int, int, LogEntry]]:
    """Entries below an id, newest first: id, time in ms, entry."""
    c = access_log.c
    statement = select(c.id, to_ms(c.at), c.actor, c.action, c.target, c.address, c.detail, c.before, c.after)
    statement = statement.where(*equal({c.actor: wanted.actor, c.action: wanted.action, c.target: wanted.target}))
    if before is not None:
        statement = statement.where(c.id < before)
    if wanted.from_ms is not None:
        statement = statement.where(c.at >= from_ms(wanted.from_ms))
    if wanted.to_ms is not None:
        statement = statement.where(c.at < from_ms(wanted.to_ms))
    if wanted.refused is not None:
        statement = statement.where(c.action.like("%_refused") == wanted.refused)
    async with pool.connection() as connection:
        found = await fetch_all(connection, tuple_row, statement.order_by(c.id.desc()).limit(limit))
    return [(row[0], row[1], LogEntry(*row[2:])) for row in found]


async def places(pool: DatabasePool) -> list[Place]:
    """Where each user of ours signed in, by the last 200 times of each; the newest first, at most MOST_KNOWN."""
    c, name = access_log.c, users.c.username
    is_sign_in = c.action == literal_column("'sign_in'")  # a parameter would not match the condition of the index
    of_user = select(c.id, c.address).where(is_sign_in, c.actor == name, c.detail.not_like(f"%{AT_THE_ISSUER}"))
    newest = of_user.order_by(c.id.desc()).limit(_LOOKED_AT).lateral("newest")
    statement = select(name, newest.c.address).join_from(users, newest, true()).group_by(name, newest.c.address)
    async with pool.connection() as connection:
        last_first = statement.order_by(func.max(newest.c.id).desc()).limit(MOST_KNOWN)
        found = await fetch_all(connection, tuple_row, last_first)
    return [(username, source_of(address)) for username, address in found]


async def drop_old(pool: DatabasePool) -> None:
    """Drop what is older than a year. Killed in it: the next hour does."""
    async with pool.connection() as connection:
        await drop_rows_before(connection, "gateway.access_log", "at", datetime.now(UTC) - KEPT)
