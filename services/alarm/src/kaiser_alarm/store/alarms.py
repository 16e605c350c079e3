"""The SQL of alarms and their steps."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from kaiser_common.contract.schemas.api.alarms import (
    Alarm,
    AlarmEntry,
    AlarmKindCount,
    AlarmsQuery,
    AlarmStatistics,
)
from kaiser_common.contract.schemas.event import AlarmEvent
from kaiser_common.contract.times import time_of
from kaiser_common.runtime.cursors import parse_cursor
from kaiser_common.runtime.statements import (
    among,
    equal,
    execute_many,
    fetch_all,
    fetch_one,
    from_ms,
    insert_of,
    to_ms,
)
from psycopg.rows import class_row, tuple_row
from psycopg.types.json import Jsonb
from sqlalchemy import Select, false, func, literal, literal_column, select, tuple_

from kaiser_alarm.domain.life import Key, LifeStep
from kaiser_alarm.store import Connection, tables

_TIMES = ("raised_at", "last_raised_at", "acknowledged_at", "cleared_at", "closed_at", "shelved_until")
_COLUMNS = tuple(Alarm.model_fields)
_SELECTED = ", ".join(
    f"(extract(epoch FROM {each}) * 1000)::bigint AS {each}" if each in _TIMES else each for each in _COLUMNS
)
_c = tables.alarms.c
_ADD = insert_of(tables.alarms, _COLUMNS)
_PUT = _ADD.on_conflict_do_update(
    index_elements=[_c.alarm_id], set_={each: _ADD.excluded[each] for each in _COLUMNS if each != "alarm_id"}
)
_ADD_STEP = insert_of(tables.steps, ("alarm_id", "step", "what", "at", "by", "note", "alarm")).on_conflict_do_nothing(
    index_elements=[tables.steps.c.alarm_id, tables.steps.c.step]
)
_SELECT: Select[Any] = select(*(to_ms(_c[each]).label(each) if each in _TIMES else _c[each] for each in _COLUMNS))
_OPEN = _c.state != literal_column("'closed'")  # no parameter, as the partial index has it
_STEPS_SHOWN = 1000


async def open_alarms(connection: Connection) -> dict[Key, Alarm]:
    """All alarms that are not closed."""
    found = await fetch_all(connection, class_row(Alarm), _SELECT.where(_OPEN))
    return {Key(alarm.kind, alarm.source): alarm for alarm in found}


async def locked(connection: Connection, keys: Iterable[Key]) -> dict[Key, Alarm]:
    """Of these conditions the alarms that are not closed, locked until the transaction ends."""
    wanted = list(keys)
    async with connection.cursor(row_factory=class_row(Alarm)) as cursor:
        await cursor.execute(
            f"SELECT {_SELECTED} FROM alarm.alarms WHERE state <> 'closed'"
            " AND (kind, source) IN (SELECT * FROM unnest(%s::text[], %s::text[]))"
            " ORDER BY alarm_id FOR UPDATE",
            ([key.kind for key in wanted], [key.source for key in wanted]),
        )
        return {Key(alarm.kind, alarm.source): alarm for alarm in await cursor.fetchall()}


async def read(connection: Connection, alarm_id: str, *, lock: bool = False) -> Alarm | None:
    """One alarm."""
    statement = _SELECT.where(_c.alarm_id == alarm_id)
    return await fetch_one(connection, class_row(Alarm), statement.with_for_update() if lock else statement)


async def read_several(connection: Connection, alarm_ids: Sequence[str]) -> list[Alarm]:
    """Alarms, in the order of their ids; those that are not there are left out."""
    async with connection.cursor(row_factory=class_row(Alarm)) as cursor:
        statement = f"SELECT {_SELECTED} FROM alarm.alarms WHERE alarm_id = ANY(%s) ORDER BY alarm_id"
        await cursor.execute(statement, (list(alarm_ids),))
        return await cursor.fetchall()


async def note_steps(connection: Connection, steps: Sequence[LifeStep]) -> None:
    """Store steps in order, with the alarms after them. A step that is there already stays as it is."""
    if not steps:
        return
    newest = {step.alarm.alarm_id: step.alarm for step in steps}
    await execute_many(connection, _PUT, [_row(alarm) for alarm in newest.values()])
    added = [
        {
            "alarm_id": step.alarm.alarm_id,
            "step": step.alarm.step,
            "what": step.what,
            "at": _time(step.at),
            "by": step.by,
            "note": step.note,
            "alarm": Jsonb(step.alarm.model_dump()),
        }
        for step in steps
    ]
    await execute_many(connection, _ADD_STEP, added)


async def unpublished(connection: Connection, limit: int) -> list[tuple[int, AlarmEvent]]:
    """Steps whose event is not published yet, oldest first, with their numbers."""
    cursor = await connection.execute(
        "SELECT number, what, (extract(epoch FROM at) * 1000)::bigint, by, alarm FROM alarm.steps"
        " WHERE NOT is_published ORDER BY number LIMIT %s",
        (limit,),
    )
    return [
        (number, AlarmEvent(**{**alarm, "what": what, "by": by, "ts": at}))
        for number, what, at, by, alarm in await cursor.fetchall()
    ]


async def note_published(connection: Connection, numbers: Sequence[int]) -> None:
    """Note that the events of steps are published."""
    await connection.execute("UPDATE alarm.steps SET is_published = true WHERE number = ANY(%s)", (list(numbers),))


async def page(
    connection: Connection, query: AlarmsQuery, now: datetime, devices: Sequence[str] | None = None
) -> list[Alarm]:
    """A page of alarms, the newest raised first, one more than the limit if there are more. devices: of these only."""
    wanted = {_c.severity: query.severity, _c.state: query.state, _c.kind: query.kind, _c.esp_id: query.esp_id}
    statement = _SELECT.where(*equal({**wanted, _c.source: query.source}))
    if devices is not None:
        statement = statement.where(among(_c.esp_id, devices))
    if query.shown != "all":
        statement = statement.where(_OPEN if query.shown == "open" else ~_OPEN)
    if query.shelved is not None:
        statement = statement.where(func.coalesce(_c.shelved_until > now, false()) == query.shelved)
    if query.from_ms is not None:
        statement = statement.where(_c.raised_at >= from_ms(query.from_ms))
    if query.to_ms is not None:
        statement = statement.where(_c.raised_at < from_ms(query.to_ms))
    if query.cursor is not None:
        before_ms, before_id = parse_cursor(query.cursor, int, str)
        statement = statement.where(
            tuple_(_c.raised_at, _c.alarm_id) < tuple_(from_ms(int(before_ms)), literal(before_id))
        )
    statement = statement.order_by(_c.raised_at.desc(), _c.alarm_id.desc()).limit(query.limit + 1)
    return await fetch_all(connection, class_row(Alarm), statement)


async def steps_of(connection: Connection, alarm_id: str) -> list[AlarmEntry]:
    """The last 1,000 steps of an alarm, oldest first."""
    c = tables.steps.c
    statement = select(c.step, c.what, to_ms(c.at), c.by, c.note, c.alarm["severity"].astext, c.alarm["message"].astext)
    statement = statement.where(c.alarm_id == alarm_id).order_by(c.step.desc()).limit(_STEPS_SHOWN)
    found = await fetch_all(connection, tuple_row, statement)
    names = ("step", "what", "at", "by", "note", "severity", "message")
    return [AlarmEntry.model_validate(dict(zip(names, row, strict=True))) for row in reversed(found)]


async def shelves_over(connection: Connection, now: datetime, limit: int) -> list[Alarm]:
    """Alarms whose time on the shelf is over, locked."""
    async with connection.cursor(row_factory=class_row(Alarm)) as cursor:
        await cursor.execute(
            f"SELECT {_SELECTED} FROM alarm.alarms WHERE state <> 'closed' AND shelved_until <= %s"
            " ORDER BY alarm_id LIMIT %s FOR UPDATE",
            (now, limit),
        )
        return await cursor.fetchall()


async def statistics(connection: Connection, now: datetime, since: datetime) -> AlarmStatistics:
    """Open alarms by severity, and the kinds that were raised since a time."""
    cursor = await connection.execute(
        """
        SELECT severity, state, COALESCE(shelved_until > %s, false), count(*) FROM alarm.alarms
        WHERE state <> 'closed' GROUP BY 1, 2, 3
        """,
        (now,),
    )
    counts = {"critical": 0, "warning": 0, "info": 0}
    unacknowledged, shelved, worst = 0, 0, None
    for severity, state, is_shelved, number in await cursor.fetchall():
        if is_shelved:
            shelved += number
            continue
        if state in ("raised", "acknowledged"):
            counts[severity] += number
        if state in ("raised", "cleared"):
            unacknowledged += number
            worst = min((each for each in (worst, severity) if each), key=("critical", "warning", "info").index)
    return AlarmStatistics(
        **counts, unacknowledged=unacknowledged, shelved=shelved, worst=worst, kinds=await _kinds(connection, since)
    )


async def _kinds(connection: Connection, since: datetime) -> list[AlarmKindCount]:
    async with connection.cursor(row_factory=class_row(AlarmKindCount)) as cursor:
        await cursor.execute(
            """
            SELECT kind, severity, count(*) AS alarms, sum(times)::bigint AS times,
                   count(*) FILTER (WHERE state <> 'closed') AS open,
                   avg(extract(epoch FROM acknowledged_at - raised_at))::float8 AS mean_to_acknowledge_s,
                   avg(extract(epoch FROM cleared_at - raised_at))::float8 AS mean_to_clear_s
            FROM alarm.alarms WHERE raised_at >= %s
            GROUP BY kind, severity ORDER BY times DESC, kind, severity LIMIT 200
            """,
            (since,),
        )
        return await cursor.fetchall()


def _row(alarm: Alarm) -> dict[str, Any]:
    found = alarm.model_dump()
    return {**found, **{each: _time(found[each]) for each in _TIMES}, "facts": Jsonb(alarm.facts)}


def _time(ms: int | None) -> datetime | None:
    return None if ms is None else time_of(ms)
