"""The SQL of the command journal: the only writer of `factory.commands`, `factory.order_ids`, `factory.header_ids`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

import msgspec
from kaiser_common.contract.times import ms_of, time_of
from kaiser_common.runtime.statements import among, equal, execute_many, fetch_all, fetch_one, insert_of, row_of
from kaiser_factory_dialect.commands import FactoryCommand
from kaiser_factory_dialect.journal import JournalEntry
from kaiser_factory_dialect.steering import CLEAR
from psycopg.errors import SerializationFailure
from psycopg.rows import scalar_row, tuple_row
from psycopg.types.json import Jsonb
from sqlalchemy import Select, func, select, tuple_

from kaiser_factory.store import Connection, tables

_STEERING = 0x6661_6374
"""The advisory lock under which update ids are given out and commands counted."""
_c = tables.commands.c
_COLUMNS = (
    *("command_id", "env", "epoch", "request_key", "step", "username", "request", "topic", "payload", "free"),
    *("after_action_id", "sequence_id", "state", "queued_at", "entry"),
)
"""In the order in which `_command` takes them."""
_SELECT: Select[Any] = select(*(_c[name] for name in _COLUMNS))
_INSERT = insert_of(tables.commands, (*_COLUMNS, "serial"))
_USE_UP = insert_of(tables.order_ids, ("env", "order_id", "next"))
_USE_UP = _USE_UP.on_conflict_do_update(
    index_elements=["env", "order_id"],
    set_={"next": func.greatest(tables.order_ids.c.next, _USE_UP.excluded.next)},
)

_USE_HEADER = insert_of(tables.header_ids, ("env", "topic", "next"))
_USE_HEADER = _USE_HEADER.on_conflict_do_update(
    index_elements=["env", "topic"],
    set_={"next": func.greatest(tables.header_ids.c.next, _USE_HEADER.excluded.next)},
)


class JournalStale(SerializationFailure):
    """Another process has moved a command since it was read: this one no longer has the lease. Like every lost race of
    transactions it is no fault of a message: what was being stored is tried again."""


@dataclass(frozen=True, slots=True)
class Command:
    """A row of the journal. entry None: a step of a sequence that waits for the one before it.

    stored: its state as this process last saw it in the table; None: it is not written yet. header_id: of a new one
    to a VDA 5050 vehicle; the table has it in the payload alone.
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
    header_id: int | None = None

    @property
    def state(self) -> str:
        if self.entry is not None:
            return self.entry.state
        return "abandoned" if self.abandoned else "waiting"

    @property
    def clears(self) -> bool:
        """Whether it is the empty retained message that deletes what the broker retains."""
        return self.request.get("do") == CLEAR and not self.payload

    @property
    def qos(self) -> Literal[0, 1]:
        """0 where a message was to be sent so; everything else goes out with QoS 1."""
        return 0 if self.request.get("do") == "publish" and self.request.get("qos") == 0 else 1

    def moved(self, entry: JournalEntry) -> "Command":
        """The same command with another entry."""
        return replace(self, entry=entry)

    def kept(self) -> "Command":
        """The same command once the table has it so."""
        return replace(self, stored=self.state)


async def lock(connection: Connection) -> None:
    """Wait for the right to give out update ids, until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_STEERING,))


async def try_lock(connection: Connection) -> bool:
    """Take the lock of `lock` until the transaction ends, if it is free. Then the commands of every earlier request are
    visible, or never will be."""
    return bool(await fetch_one(connection, scalar_row, select(func.pg_try_advisory_xact_lock(_STEERING))))


async def of_request(connection: Connection, env: str, request_key: str) -> list[Command]:
    """The commands that a request with this key became; none: it is new."""
    statement = _SELECT.where(_c.env == env, _c.request_key == request_key).order_by(_c.step)
    return [_command(row) for row in await fetch_all(connection, tuple_row, statement)]


async def next_update_ids(connection: Connection, env: str, order_ids: Iterable[str]) -> dict[str, int]:
    """The next update id of each of these orders that is one of Kaiser's."""
    c = tables.order_ids.c
    statement = select(c.order_id, c.next).where(c.env == env, among(c.order_id, order_ids))
    return dict(await fetch_all(connection, tuple_row, statement))


async def next_header_ids(connection: Connection, env: str, topics: Iterable[str]) -> dict[str, int]:
    """The number of the next message on each of these topics of VDA 5050 vehicles that was sent to before."""
    c = tables.header_ids.c
    statement = select(c.topic, c.next).where(c.env == env, among(c.topic, topics))
    return dict(await fetch_all(connection, tuple_row, statement))


async def last_minute(connection: Connection, env: str, now: int) -> int:
    """How many commands were queued in the minute before `now`."""
    statement = select(func.count()).where(_c.env == env, _c.queued_at > time_of(now - 60_000), _c.state != "waiting")
    return await fetch_one(connection, scalar_row, statement) or 0


async def insert(connection: Connection, commands: Sequence[Command]) -> None:
    """Write new commands. Their update ids and header ids are never used again."""
    await execute_many(connection, _INSERT, [_row(each) for each in commands])
    numbered = [
        {"env": each.env, "order_id": each.command.order_id, "next": each.command.order_update_id + 1}
        for each in commands
        if each.command.order_id is not None and each.command.order_update_id is not None
    ]
    if numbered:
        await execute_many(connection, _USE_UP, numbered)
    headed = [
        {"env": each.env, "topic": each.topic, "next": each.header_id + 1}
        for each in commands
        if each.header_id is not None
    ]
    if headed:
        await execute_many(connection, _USE_HEADER, headed)


async def move(connection: Connection, commands: Sequence[Command]) -> None:
    """Write how far commands came. JournalStale: another process has moved one of them; nothing is written.

    So a process that stood still while another took its lease decides nothing once more, and sends no step again.
    """
    if not commands:
        return
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "UPDATE factory.commands SET state = %s, entry = %s, queued_at = %s, changed_at = now()"
            " WHERE command_id = %s AND state = %s",
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
        f"SELECT {', '.join(_COLUMNS)} FROM factory.commands"
        " WHERE state IN ('waiting', 'queued', 'sent', 'unconfirmed', 'accepted') ORDER BY queued_at, step FOR UPDATE"
    )
    return [_command(row) for row in await cursor.fetchall()]


async def changed_lately(connection: Connection, within: timedelta, limit: int) -> list[Command]:
    """The commands of all environments that were written within that time, by the clock of the database; the newest of
    more than `limit`, oldest first."""
    statement = _SELECT.where(_c.changed_at > func.now() - within).order_by(_c.changed_at.desc()).limit(limit)
    return [_command(row) for row in reversed(await fetch_all(connection, tuple_row, statement))]


async def read(connection: Connection, command_id: str) -> Command | None:
    """One command."""
    row = await fetch_one(connection, tuple_row, _SELECT.where(_c.command_id == command_id))
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
    statement = _SELECT.where(_c.env == env, *equal({_c.state: state, _c.serial: serial}))
    if before is not None:
        at, command_id = before
        statement = statement.where(tuple_(_c.queued_at, _c.command_id) < row_of(time_of(at), command_id))
    statement = statement.order_by(_c.queued_at.desc(), _c.command_id.desc()).limit(limit)
    return [_command(row) for row in await fetch_all(connection, tuple_row, statement)]


def _row(command: Command) -> dict[str, Any]:
    return {
        "command_id": command.command_id,
        "env": command.env,
        "epoch": command.epoch,
        "request_key": command.request_key,
        "step": command.step,
        "username": command.user,
        "request": Jsonb({"request": dict(command.request), "command": msgspec.to_builtins(command.command)}),
        "topic": command.topic,
        "payload": command.payload,
        "free": command.free,
        "after_action_id": command.after,
        "sequence_id": command.sequence_id,
        "state": command.state,
        "queued_at": time_of(command.queued_at),
        "entry": _entry(command.entry),
        "serial": command.command.serial,
    }


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
        queued_at=ms_of(at),
        free=free,
        after=after,
        sequence_id=sequence_id,
        entry=None if entry is None else msgspec.convert(entry, JournalEntry),
        abandoned=state == "abandoned" and entry is None,
        stored=state,
    )
