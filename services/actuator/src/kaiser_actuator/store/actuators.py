"""The SQL of actuators with their open commands: locked, read whole, written back where they changed."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from kaiser_common.contract.schemas.api.actuators import ACTUATOR_TYPE, ActuatorSettings
from kaiser_common.runtime.statements import equal, execute, fetch_all, fetch_one, row_of
from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb
from pydantic import ValidationError
from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from kaiser_actuator.domain.commands import CommandRecord
from kaiser_actuator.domain.unit import GUARD_WAITS, DurationGuard, Unit
from kaiser_actuator.store import Connection, command_records, tables

Key = tuple[str, int]
OTHER = "other"
"""The type of an actuator whose own is no valid name."""

_a = tables.actuators.c
_COLUMNS = (
    *("esp_id", "gpio", "kaiser_id", "settings", "registered", "state", "value", "reported_at", "last_error"),
    *("guard_command_id", "guard_since", "guard_due_at", "guard_tries", "on_since", "last_state"),
)
"""In the order in which `_to_unit` takes them."""
_UNIT = ", ".join(f"a.{name}" for name in _COLUMNS)
_IN_ORDER = 'ORDER BY a.esp_id COLLATE "C", a.gpio'
"""The order in which every transaction locks actuators: that of `sorted` in Python too, whatever the database's own."""
_SELECT: Select[Any] = select(*(_a[name] for name in _COLUMNS))


async def lock(connection: Connection, keys: Iterable[Key]) -> dict[Key, Unit]:
    """Lock actuators for this transaction and read them; always in the order of their keys, so that replicas wait for
    each other and never for good."""
    wanted = sorted(set(keys))
    cursor = await connection.execute(
        f"""
        SELECT {_UNIT} FROM actuator.actuators a
        JOIN unnest(%s::text[], %s::int[]) AS w (esp_id, gpio) USING (esp_id, gpio)
        {_IN_ORDER} FOR UPDATE OF a
        """,
        ([esp_id for esp_id, _ in wanted], [gpio for _, gpio in wanted]),
    )
    return await _with_commands(connection, await cursor.fetchall())


async def lock_device(connection: Connection, esp_id: str) -> dict[Key, Unit]:
    """Lock and read all actuators of a device."""
    cursor = await connection.execute(
        f"SELECT {_UNIT} FROM actuator.actuators a WHERE esp_id = %s ORDER BY gpio FOR UPDATE", (esp_id,)
    )
    return await _with_commands(connection, await cursor.fetchall())


async def lock_covered(connection: Connection, esp_id: str | None, gpio: int | None) -> dict[Key, Unit]:
    """Lock the actuators under a stop, and read those that are on, unheard of, or have an open command. A command that
    is being admitted is stored before its actuator can be locked, also one of an actuator that is off: the second
    statement sees it. Of an actuator that was added in between, which is not locked, nothing is read."""
    cursor = await connection.execute(
        f"""
        SELECT a.esp_id, a.gpio FROM actuator.actuators a
        WHERE (%(esp_id)s::text IS NULL OR a.esp_id = %(esp_id)s) AND (%(gpio)s::int IS NULL OR a.gpio = %(gpio)s)
        {_IN_ORDER} FOR UPDATE
        """,
        {"esp_id": esp_id, "gpio": gpio},
    )
    locked = await cursor.fetchall()
    cursor = await connection.execute(
        f"""
        SELECT {_UNIT} FROM actuator.actuators a
        JOIN unnest(%s::text[], %s::int[]) AS l (esp_id, gpio) USING (esp_id, gpio)
        WHERE state IS DISTINCT FROM false OR EXISTS (
            SELECT 1 FROM actuator.commands c
            WHERE c.esp_id = a.esp_id AND c.gpio = a.gpio AND c.state IN ('queued', 'sent'))
        {_IN_ORDER}
        """,
        ([row[0] for row in locked], [row[1] for row in locked]),
    )
    return await _with_commands(connection, await cursor.fetchall())


async def lock_due(
    connection: Connection, now: datetime, heard: datetime, online: Sequence[str], at_most: int = 500
) -> dict[Key, Unit]:
    """Lock and read actuators with due work: a deadline is over (a sent command's by `heard`), a guard is due, or a
    command waits for a device that is online now. Rows that another replica holds are skipped."""
    cursor = await connection.execute(
        """
        SELECT esp_id, gpio FROM actuator.commands
              WHERE state IN ('queued', 'sent') AND deadline_at <= %(now)s
              AND (dispatched_at IS NULL OR deadline_at <= %(heard)s)
        UNION SELECT esp_id, gpio FROM actuator.actuators WHERE guard_due_at <= %(now)s
        UNION SELECT esp_id, gpio FROM actuator.commands
              WHERE state = 'queued' AND dispatched_at IS NULL AND esp_id = ANY(%(online)s)
        LIMIT %(at_most)s
        """,
        {"now": now, "heard": heard, "online": list(online), "at_most": at_most},
    )
    due = await cursor.fetchall()
    if not due:
        return {}
    cursor = await connection.execute(
        f"""
        SELECT {_UNIT} FROM actuator.actuators a
        JOIN unnest(%s::text[], %s::int[]) AS w (esp_id, gpio) USING (esp_id, gpio)
        {_IN_ORDER} FOR UPDATE OF a SKIP LOCKED
        """,
        ([esp_id for esp_id, _ in due], [gpio for _, gpio in due]),
    )
    return await _with_commands(connection, await cursor.fetchall())


async def devices_with_actuators(connection: Connection) -> set[str]:
    """Every device that has an actuator, registered or reported."""
    cursor = await connection.execute("SELECT DISTINCT esp_id FROM actuator.actuators")
    return {row[0] for row in await cursor.fetchall()}


async def pins(connection: Connection, esp_id: str) -> list[Key]:
    """The actuators of a device."""
    cursor = await connection.execute("SELECT esp_id, gpio FROM actuator.actuators WHERE esp_id = %s", (esp_id,))
    return [(row[0], row[1]) for row in await cursor.fetchall()]


async def count_by_device(connection: Connection) -> list[tuple[str, bool | None, int]]:
    """For each device how many of its actuators are in each stored state."""
    cursor = await connection.execute("SELECT esp_id, state, count(*) FROM actuator.actuators GROUP BY esp_id, state")
    return [(row[0], row[1], row[2]) for row in await cursor.fetchall()]


async def forget_states(connection: Connection, lost: Mapping[str, datetime]) -> None:
    """The states of devices that went away, by when: unknown, unless they have reported since."""
    await connection.execute(
        f"""
        WITH locked AS MATERIALIZED (
            SELECT a.esp_id, a.gpio FROM actuator.actuators a
            JOIN unnest(%s::text[], %s::timestamptz[]) AS l (esp_id, at) USING (esp_id)
            WHERE a.state IS NOT NULL AND a.reported_at <= l.at {_IN_ORDER} FOR UPDATE OF a)
        UPDATE actuator.actuators a SET state = NULL, value = NULL
        FROM locked WHERE a.esp_id = locked.esp_id AND a.gpio = locked.gpio
        """,
        (list(lost), list(lost.values())),
    )


async def wake_guards(connection: Connection, esp_ids: Sequence[str], now: datetime) -> None:
    """Make ended and paused guards due immediately for devices that came online."""
    await connection.execute(
        f"""
        WITH locked AS MATERIALIZED (
            SELECT a.esp_id, a.gpio FROM actuator.actuators a
            WHERE a.esp_id = ANY(%s) AND a.guard_due_at IS NOT NULL AND a.guard_tries <> 0 {_IN_ORDER} FOR UPDATE)
        UPDATE actuator.actuators a SET guard_due_at = %s, guard_tries = %s
        FROM locked WHERE a.esp_id = locked.esp_id AND a.gpio = locked.gpio
        """,
        (list(esp_ids), now, GUARD_WAITS),
    )


async def add_unregistered(connection: Connection, found: Sequence[tuple[str, int, str, str]]) -> list[Key]:
    """Add actuators that devices reported, (esp_id, gpio, kaiser_id, actuator_type) each; those that were not there."""
    found = [
        (esp_id, gpio, kaiser_id, kind if re.fullmatch(ACTUATOR_TYPE, kind) else OTHER)
        for esp_id, gpio, kaiser_id, kind in found
    ]
    cursor = await connection.execute(
        """
        INSERT INTO actuator.actuators (esp_id, gpio, kaiser_id, registered, settings)
        SELECT esp_id, gpio, kaiser_id, false, jsonb_build_object('actuator_type', type)
        FROM unnest(%s::text[], %s::int[], %s::text[], %s::text[]) AS f (esp_id, gpio, kaiser_id, type)
        ORDER BY esp_id, gpio ON CONFLICT DO NOTHING RETURNING esp_id, gpio
        """,
        [list(column) for column in zip(*found, strict=True)],
    )
    return [(row[0], row[1]) for row in await cursor.fetchall()]


async def save(connection: Connection, before: Unit, after: Unit, timeout: timedelta) -> None:
    """Write what changed of an actuator and its commands; one that was not there before is stored."""
    if _columns(before) != _columns(after):
        await connection.execute(
            """
            UPDATE actuator.actuators SET state = %s, value = %s, reported_at = %s, last_error = %s,
                guard_command_id = %s, guard_since = %s, guard_due_at = %s, guard_tries = %s, on_since = %s,
                last_state = %s
            WHERE esp_id = %s AND gpio = %s
            """,
            (*_columns(after), after.esp_id, after.gpio),
        )
    known = {each.command_id: each for each in before.open}
    for command in (*after.open, *after.ended):
        if command.command_id not in known:
            await command_records.add(connection, command, timeout)
        elif known[command.command_id] != command:
            await command_records.update(connection, command, timeout)


async def _with_commands(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> dict[Key, Unit]:
    if not rows:
        return {}
    open_commands = await command_records.open_of(connection, [(row[0], row[1]) for row in rows])
    return {(row[0], row[1]): _to_unit(row, open_commands.get((row[0], row[1]), [])) for row in rows}


def _to_unit(row: tuple[Any, ...], open_commands: Sequence[CommandRecord]) -> Unit:
    esp_id, gpio, kaiser_id, settings, registered, state, value, reported_at, error, *rest = row
    command_id, since, due, tries, on_since, last_state = rest
    return Unit(
        esp_id=esp_id,
        gpio=gpio,
        kaiser_id=kaiser_id,
        settings=_to_settings(settings),
        registered=registered,
        on_since=on_since,
        state=state,
        last_state=last_state,
        value=value,
        reported_at=reported_at,
        last_error=error,
        guard=DurationGuard(command_id, since, due, tries) if due is not None else None,
        open=tuple(open_commands),
    )


def _columns(unit: Unit) -> tuple[Any, ...]:
    guard = unit.guard
    watched = (guard.command_id, guard.since, guard.due_at, guard.tries) if guard else (None, None, None, 0)
    return (unit.state, unit.value, unit.reported_at, unit.last_error, *watched, unit.on_since, unit.last_state)


def _to_settings(stored: dict[str, Any]) -> ActuatorSettings:
    """Settings as they are stored, whatever version wrote them: what is not valid any more is left at its default, an
    odd type is `other`, so that one row never makes a list unreadable."""
    try:
        return ActuatorSettings.model_validate(stored)
    except ValidationError as error:
        odd = {each["loc"][0] if each["loc"] else "min_value" for each in error.errors(include_url=False)}
    kept = {name: value for name, value in stored.items() if name not in odd}
    if "min_value" in odd:
        kept.pop("max_value", None)
    return ActuatorSettings.model_validate({**kept, **({"actuator_type": OTHER} if "actuator_type" in odd else {})})


async def put_settings(
    connection: Connection, esp_id: str, gpio: int, kaiser_id: str, settings: ActuatorSettings
) -> None:
    """Register an actuator, or change its settings."""
    put = insert(tables.actuators).values(
        esp_id=esp_id,
        gpio=gpio,
        kaiser_id=kaiser_id,
        registered=True,
        settings=Jsonb(settings.model_dump(mode="json")),
    )
    changed = {name: put.excluded[name] for name in ("registered", "kaiser_id", "settings")}
    await execute(connection, put.on_conflict_do_update(index_elements=[_a.esp_id, _a.gpio], set_=changed))


async def delete(connection: Connection, esp_id: str, gpio: int) -> bool:
    """Remove an actuator; False if there was none."""
    cursor = await execute(connection, tables.actuators.delete().where(_a.esp_id == esp_id, _a.gpio == gpio))
    return cursor.rowcount == 1


async def page(
    connection: Connection, esp_id: str | None, after: Key | None, limit: int, actuator_type: str | None = None
) -> list[Unit]:
    """Actuators in the order of their keys. Of the type `other` all are given, because those of an odd type are of it
    too."""
    statement = _SELECT.where(*equal({_a.esp_id: esp_id}))
    if actuator_type not in (None, OTHER):
        stored = func.coalesce(_a.settings.op("->>")("actuator_type"), ActuatorSettings().actuator_type)
        statement = statement.where(stored == actuator_type)
    if after is not None:
        statement = statement.where(tuple_(_a.esp_id, _a.gpio) > row_of(*after))
    found = await fetch_all(connection, tuple_row, statement.order_by(_a.esp_id, _a.gpio).limit(limit))
    return [_to_unit(row, ()) for row in found]


async def read(connection: Connection, esp_id: str, gpio: int) -> Unit | None:
    """One actuator, without its commands."""
    row = await fetch_one(connection, tuple_row, _SELECT.where(_a.esp_id == esp_id, _a.gpio == gpio))
    return _to_unit(row, ()) if row else None
