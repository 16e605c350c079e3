"""The SQL of alarms and their steps."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from kaiser_common.contract.schemas.api.alarms import (
    Alarm,
    AlarmEntry,
    AlarmKindCount,
    AlarmsQuery,
    AlarmStatistics,
)
from kaiser_common.contract.schemas.event import AlarmEvent
from kaiser_common.runtime.cursors import parse_cursor
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from kaiser_alarm.domain.life import Key, LifeStep
from kaiser_alarm.store import Connection

_TIMES = ("raised_at", "last_raised_at", "acknowledged_at", "cleared_at", "closed_at", "shelved_until")
_COLUMNS = tuple(Alarm.model_fields)
_SELECTED = ", ".join(
    f"(extract(epoch FROM {each}) * 1000)::bigint AS {each}" if each in _TIMES else each for each in _COLUMNS
)
_UPSERT = f"""
    INSERT INTO alarm.alarms ({", ".join(_COLUMNS)}) VALUES ({", ".join(f"%({each})s" for each in _COLUMNS)})
    ON CONFLICT (alarm_id) DO UPDATE SET {", ".join(f"{each} = excluded.{each}" for each in _COLUMNS[1:])}
"""
_STEPS_SHOWN = 1000


async def open_alarms(connection: Connection) -> dict[Key, Alarm]:
    """All alarms that are not closed."""
    async with connection.cursor(row_factory=class_row(Alarm)) as cursor:
        await cursor.execute(f"SELECT {_SELECTED} FROM alarm.alarms WHERE state <> 'closed'")
        return {Key(alarm.kind, alarm.source): alarm for alarm in await cursor.fetchall()}


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
    async with connection.cursor(row_factory=class_row(Alarm)) as cursor:
        suffix = " FOR UPDATE" if lock else ""
        await cursor.execute(
            f"SELECT {_SELECTED} FROM alarm.alarms WHERE alarm_id = %s{suffix}",
            (alarm_id,),
        )
        return await cursor.fetchone()


async def note_steps(connection: Connection, steps: Sequence[LifeStep]) -> None:
    """Store steps in order, with the alarms after them. A step that is there already stays as it is."""
    if not steps:
        return
    newest = {step.alarm.alarm_id: step.alarm for step in steps}
    async with connection.cursor() as cursor:
        await cursor.executemany(_UPSERT, [_row(alarm) for alarm in newest.values()])
        await cursor.executemany(
            "INSERT INTO alarm.steps (alarm_id, step, what, at, by, note, alarm) VALUES (%s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (alarm_id, step) DO NOTHING",
            [
                (
                    step.alarm.alarm_id,
                    step.alarm.step,
                    step.what,
                    _time(step.at),
                    step.by,
                    step.note,
                    Jsonb(step.alarm.model_dump()),
                )
                for step in steps
            ],
        )


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


async def page(connection: Connection, query: AlarmsQuery, now: datetime) -> list[Alarm]:
    """A page of alarms, the newest raised first, one more than the limit if there are more."""
    before: dict[str, Any] = {"before_ms": None, "before_id": None}
    if query.cursor is not None:
        before["before_ms"], before["before_id"] = parse_cursor(query.cursor, int, str)
    async with connection.cursor(row_factory=class_row(Alarm)) as cursor:
        await cursor.execute(
            f"""
            SELECT {_SELECTED} FROM alarm.alarms
            WHERE (%(shown)s = 'all' OR (state = 'closed') = (%(shown)s = 'closed'))
              AND (%(severity)s::text IS NULL OR severity = %(severity)s)
              AND (%(state)s::text IS NULL OR state = %(state)s)
              AND (%(kind)s::text IS NULL OR kind = %(kind)s)
              AND (%(esp_id)s::text IS NULL OR esp_id = %(esp_id)s)
              AND (%(shelved)s::bool IS NULL OR COALESCE(shelved_until > %(now)s, false) = %(shelved)s)
              AND (%(from_ms)s::bigint IS NULL OR raised_at >= to_timestamp(%(from_ms)s / 1000.0))
              AND (%(to_ms)s::bigint IS NULL OR raised_at < to_timestamp(%(to_ms)s / 1000.0))
              AND (%(before_ms)s::bigint IS NULL OR
                   (raised_at, alarm_id) < (to_timestamp(%(before_ms)s / 1000.0), %(before_id)s))
            ORDER BY raised_at DESC, alarm_id DESC LIMIT %(most)s
            """,
            {**query.model_dump(), **before, "now": now, "most": query.limit + 1},
        )
        return await cursor.fetchall()


async def steps_of(connection: Connection, alarm_id: str) -> list[AlarmEntry]:
    """The last 1,000 steps of an alarm, oldest first."""
    cursor = await connection.execute(
        "SELECT step, what, (extract(epoch FROM at) * 1000)::bigint, by, note, alarm->>'severity', alarm->>'message'"
        " FROM alarm.steps WHERE alarm_id = %s ORDER BY step DESC LIMIT %s",
        (alarm_id, _STEPS_SHOWN),
    )
    names = ("step", "what", "at", "by", "note", "severity", "message")
    return [AlarmEntry.model_validate(dict(zip(names, row, strict=True))) for row in reversed(await cursor.fetchall())]


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
    return {**found, **{each: _time(found[each]) for each in _TIMES}}


def _time(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)
