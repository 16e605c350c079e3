"""The SQL of the command journal: the one writer of `factory.commands` and `factory.order_ids`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import msgspec
from kaiser_factory_dialect.commands import FactoryCommand
from kaiser_factory_dialect.journal import JournalEntry
from psycopg import AsyncConnection
from psycopg.errors import SerializationFailure
from psycopg.types.json import Jsonb

from kaiser_factory.domain.rows import time_of

Connection = AsyncConnection[Any]

_STEERING = 0x6661_6374
"""The advisory lock under which update ids are given out and commands counted."""
_COLUMNS = (
    "command_id, env, epoch, request_key, step, username, request, topic, payload, free, after_action_id, sequence_id,"
    " state, queued_at, entry"
)


class JournalStale(SerializationFailure):
    """Another process has moved a command since it was read: this one no longer has the lease. Like every lost race of
    transactions it is no fault of a message: what was being stored is tried again."""


@dataclass(frozen=True, slots=True)
class Command:
    """A row of the journal. entry None: a step of a sequence that waits for the one before it.

    stored: its state as this process last saw it in the table; None: it is not written yet.
    """

    command_id: str
    env: str
    epoch: int
    request_key: str
    step: int
    user: str
    request: Mapping[str, Any]
    topic: str
    payload: bytes
    command: FactoryCommand
    queued_at: int
    free: bool = False
    after: str | None = None
    sequence_id: str | None = None
    entry: JournalEntry | None = None
    abandoned: bool = False
    stored: str | None = None

    @property
    def state(self) -> str:
        if self.entry is not None:
            return self.entry.state
        return "abandoned" if self.abandoned else "waiting"

    def moved(self, entry: JournalEntry) -> "Command":
        """The same command with another entry."""
        return replace(self, entry=entry)

    def kept(self) -> "Command":
        """The same command once the table has it so."""
        return replace(self, stored=self.state)


async def lock(connection: Connection) -> None:
    """Wait for the right to give out update ids, until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_STEERING,))


async def of_request(connection: Connection, env: str, request_key: str) -> list[Command]:
    """The commands that a request with this key became; none: it is new."""
    cursor = await connection.execute(
        f"SELECT {_COLUMNS} FROM factory.commands WHERE env = %s AND request_key = %s ORDER BY step", (env, request_key)
    )
    return [_command(row) for row in await cursor.fetchall()]


async def next_update_ids(connection: Connection, env: str, order_ids: Iterable[str]) -> dict[str, int]:
    """The next update id of each of these orders that is one of Kaiser's."""
    cursor = await connection.execute(
        "SELECT order_id, next FROM factory.order_ids WHERE env = %s AND order_id = ANY(%s)", (env, list(order_ids))
    )
    return dict(await cursor.fetchall())


async def last_minute(connection: Connection, env: str, now: int) -> int:
    """How many commands were queued in the minute before `now`."""
    cursor = await connection.execute(
        "SELECT count(*) FROM factory.commands WHERE env = %s AND queued_at > %s AND state <> 'waiting'",
        (env, time_of(now - 60_000)),
    )
    row = await cursor.fetchone()
    return int(row[0]) if row is not None else 0


async def insert(connection: Connection, commands: Sequence[Command]) -> None:
    """Write new commands, and use up their update ids for good."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            f"INSERT INTO factory.commands ({_COLUMNS}, serial)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    each.command_id,
                    each.env,
                    each.epoch,
                    each.request_key,
                    each.step,
                    each.user,
                    Jsonb({"request": dict(each.request), "command": msgspec.to_builtins(each.command)}),
                    each.topic,
                    each.payload,
                    each.free,
                    each.after,
                    each.sequence_id,
                    each.state,
                    time_of(each.queued_at),
                    _entry(each.entry),
                    each.command.serial,
                )
                for each in commands
            ],
        )
        numbered = [
            (each.env, each.command.order_id, each.command.order_update_id + 1)
            for each in commands
            if each.command.order_id is not None and each.command.order_update_id is not None
        ]
        if numbered:
            await cursor.executemany(
                "INSERT INTO factory.order_ids (env, order_id, next) VALUES (%s, %s, %s)"
                " ON CONFLICT (env, order_id) DO UPDATE SET next = greatest(order_ids.next, excluded.next)",
                numbered,
            )


async def move(connection: Connection, commands: Sequence[Command]) -> None:
    """Write how far commands came. JournalStale: another process has moved one of them; nothing is written.

    So a process that stood still while another took its lease decides nothing once more, and sends no step again.
    """
    if not commands:
        return
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "UPDATE factory.commands SET state = %s, entry = %s, queued_at = %s WHERE command_id = %s AND state = %s",
            [
                (each.state, _entry(each.entry), time_of(each.queued_at), each.command_id, each.stored)
                for each in commands
            ],
        )
        if cursor.rowcount != len(commands):
            raise JournalStale("another process has moved a command of the journal")


async def open_ones(connection: Connection) -> list[Command]:
    """Commands whose end may be yet to come, and steps that wait, of all environments; oldest first, locked until the
    transaction ends. "sent" is the end of some."""
    cursor = await connection.execute(
        f"SELECT {_COLUMNS} FROM factory.commands"
        " WHERE state IN ('waiting', 'queued', 'sent', 'unconfirmed', 'accepted') ORDER BY queued_at, step FOR UPDATE"
    )
    return [_command(row) for row in await cursor.fetchall()]


async def read(connection: Connection, command_id: str) -> Command | None:
    """One command."""
    cursor = await connection.execute(f"SELECT {_COLUMNS} FROM factory.commands WHERE command_id = %s", (command_id,))
    row = await cursor.fetchone()
    return None if row is None else _command(row)


async def page(
    connection: Connection,
    env: str,
    *,
    state: str | None,
    serial: str | None,
    before: tuple[int, str] | None,
    limit: int,
) -> list[Command]:
    """Commands, newest first."""
    at, command_id = before or (None, None)
    cursor = await connection.execute(
        f"""
        SELECT {_COLUMNS} FROM factory.commands
        WHERE env = %(env)s AND (%(state)s::text IS NULL OR state = %(state)s)
            AND (%(serial)s::text IS NULL OR serial = %(serial)s)
            AND (%(at)s::timestamptz IS NULL OR (queued_at, command_id) < (%(at)s, %(id)s))
        ORDER BY queued_at DESC, command_id DESC LIMIT %(limit)s
        """,
        {
            "env": env,
            "state": state,
            "serial": serial,
            "at": None if at is None else time_of(at),
            "id": command_id,
            "limit": limit,
        },
    )
    return [_command(row) for row in await cursor.fetchall()]


def _entry(entry: JournalEntry | None) -> Jsonb | None:
    return None if entry is None else Jsonb(msgspec.to_builtins(entry))


def _command(row: Sequence[Any]) -> Command:
    (command_id, env, epoch, key, step, user, request, topic, payload, free, after, sequence_id, state, at, entry) = row
    return Command(
        command_id=command_id,
        env=env,
        epoch=epoch,
        request_key=key,
        step=step,
        user=user,
        request=request["request"],
        topic=topic,
        payload=bytes(payload),
        command=msgspec.convert(request["command"], FactoryCommand),
        queued_at=_ms(at),
        free=free,
        after=after,
        sequence_id=sequence_id,
        entry=None if entry is None else msgspec.convert(entry, JournalEntry),
        abandoned=state == "abandoned" and entry is None,
        stored=state,
    )


def _ms(at: datetime) -> int:
    return round(at.astimezone(UTC).timestamp() * 1000)
