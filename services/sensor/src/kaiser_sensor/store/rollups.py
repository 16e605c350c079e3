"""The SQL that maintains rollups on databases without continuous aggregates."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from kaiser_common.runtime.statements import execute
from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert

from kaiser_sensor.domain.rollups import (
    EPOCH,
    HOUR,
    MINUTE,
    Rollup,
    RollupProgress,
    Span,
    ceiling,
    floor,
    merged,
    sliced,
    widened,
)
from kaiser_sensor.store import Connection
from kaiser_sensor.store.tables import rollup_state

UPKEEP = 0x6B736E73
"""The advisory lock of whichever replica does the upkeep; it ends with its transaction, so with its process too."""

SETTLED = timedelta(seconds=15)
"""A span is refreshed this long after its end: late messages are stored by then, and each minute is read once."""

_SPANS_AT_ONCE = 1000
_SLICES_AT_ONCE = 60
"""So a transaction stays short when there is much to do, such as all readings from before there were rollups."""
_AT_MOST = "5min"
"""Time of one statement; upkeep reads more than a request does."""

NOTE = """
        INSERT INTO sensor.rollup_pending (rollup, esp_id, from_at, to_at)
        SELECT %s, span.* FROM unnest(%s::text[], %s::timestamptz[], %s::timestamptz[]) AS span
"""
"""Record spans to refresh; a condition may follow."""

_OF_READINGS = """
    SELECT date_bin('1 minute', time, 'epoch') AS time, esp_id, gpio, sensor_type, address,
           min(value) AS min, max(value) AS max, avg(value) AS avg,
           (array_agg(value ORDER BY time DESC))[1] AS last, count(value) AS count
    FROM sensor.data
    WHERE {where} AND value BETWEEN -1e15 AND 1e15 AND quality NOT IN ('bad', 'error')
    GROUP BY 1, 2, 3, 4, 5
"""
_OF_MINUTES = """
    SELECT date_bin('1 hour', time, 'epoch') AS time, esp_id, gpio, sensor_type, address,
           min(min) AS min, max(max) AS max,
           sum(avg * count) / sum(count) AS avg, (array_agg(last ORDER BY time DESC))[1] AS last,
           sum(count)::bigint AS count
    FROM sensor.rollup_1m WHERE {where} GROUP BY 1, 2, 3, 4, 5
"""
_SOURCES = {MINUTE.name: _OF_READINGS, HOUR.name: _OF_MINUTES}
_NEXT = {MINUTE.name: HOUR}
_COLUMNS = "(time, esp_id, gpio, sensor_type, address, min, max, avg, last, count)"
_ALL_DEVICES = "time >= %(from_at)s AND time < %(to_at)s"
_ONE_DEVICE = "esp_id = span.device AND time >= span.from_at AND time < span.to_at"
_UPSERT = """
    ON CONFLICT (esp_id, gpio, sensor_type, address, time) DO UPDATE
    SET min = excluded.min, max = excluded.max, avg = excluded.avg, last = excluded.last, count = excluded.count
    WHERE kept.count <> excluded.count
"""


async def kept_by_service(connection: Connection) -> bool:
    """Whether rollups are tables that the service refreshes; continuous aggregates are views."""
    cursor = await connection.execute("SELECT relkind FROM pg_class WHERE oid = 'sensor.rollup_1m'::regclass")
    row = await cursor.fetchone()
    return row is not None and row[0] != "v"


async def lock(connection: Connection, key: int = UPKEEP) -> bool:
    """Take a lock for the rest of the transaction; False while another replica has it."""
    cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (key,))
    row = await cursor.fetchone()
    await connection.execute(f"SET LOCAL statement_timeout = '{_AT_MOST}'")
    return row is not None and bool(row[0])


async def note(connection: Connection, rollup: Rollup, spans: Sequence[Span]) -> None:
    """Record spans to refresh, in the transaction that made them out of date, so that a reader of a span sees its
    readings."""
    if spans:
        await connection.execute(NOTE, note_values(rollup, spans))


def note_values(rollup: Rollup, spans: Sequence[Span]) -> tuple[Any, ...]:
    """The parameters of NOTE."""
    return (
        rollup.name,
        [span.esp_id for span in spans],
        [span.from_at for span in spans],
        [span.to_at for span in spans],
    )


async def refresh(connection: Connection, rollup: Rollup, now: datetime, oldest: datetime) -> bool:
    """Refresh ended spans that are out of date, in the caller's transaction; True if more are left. The rest of a span
    that has not ended waits. Spans older than `oldest` are deleted instead: their readings may be dropped already, and
    a rollup of the remaining ones would be wrong.
    """
    over = floor(now - SETTLED, rollup.width)
    cursor = await connection.execute(
        """
        SELECT id, from_at, to_at, esp_id FROM sensor.rollup_pending
        WHERE rollup = %s AND from_at < %s ORDER BY from_at, id LIMIT %s
        """,
        (rollup.name, over, _SPANS_AT_ONCE),
    )
    due = await cursor.fetchall()
    noted = merged(Span(from_at, to_at, esp_id) for _, from_at, to_at, esp_id in due)
    begin = ceiling(oldest, rollup.width)
    cut = [Span(max(span.from_at, begin), min(span.to_at, over), span.esp_id) for span in noted]
    spans = [span for span in cut if span.from_at < span.to_at]
    await note(connection, rollup, [Span(over, span.to_at, span.esp_id) for span in noted if span.to_at > over])
    slices = [part for span in spans if span.esp_id is None for part in sliced(span, rollup.slice)]
    devices = [span for span in spans if span.esp_id is not None]
    later = slices[_SLICES_AT_ONCE:]
    for part in slices[:_SLICES_AT_ONCE]:
        await _refresh_all(connection, rollup, part)
    await _refresh_devices(connection, rollup, devices)
    await note(connection, rollup, merged(later))
    following = _NEXT.get(rollup.name)
    if following is not None:
        done = [*slices[:_SLICES_AT_ONCE], *devices]
        await _note_once(connection, following, merged(widened(span, following.width) for span in done))
    await connection.execute("DELETE FROM sensor.rollup_pending WHERE id = ANY(%s)", ([row[0] for row in due],))
    await _note_complete(connection, rollup, over)
    return len(due) == _SPANS_AT_ONCE or bool(later)


async def progress(
    connection: Connection, rollup: Rollup, esp_id: str, asked: Span, oldest: datetime
) -> RollupProgress:
    """How far a rollup kept by the service is with a device's part of what is asked; `oldest` as in `refresh`."""
    end = await complete_to(connection, rollup)
    cursor = await connection.execute(
        """
        SELECT greatest(from_at, %(oldest)s), to_at FROM sensor.rollup_pending
        WHERE rollup = ANY(%(rollups)s) AND from_at < %(to_at)s AND to_at > greatest(%(from_at)s, %(oldest)s)
          AND (esp_id IS NULL OR esp_id = %(esp_id)s)
        """,
        {
            "rollups": [MINUTE.name] if rollup is MINUTE else [MINUTE.name, rollup.name],
            "from_at": asked.from_at,
            "to_at": min(end, asked.to_at),
            "oldest": ceiling(oldest, rollup.width),
            "esp_id": esp_id,
        },
    )
    return RollupProgress(end, [Span(*row) for row in await cursor.fetchall()])


async def complete_to(connection: Connection, rollup: Rollup) -> datetime:
    """The time before which a rollup kept by the service has all but what came late since its last refresh."""
    cursor = await connection.execute("SELECT complete_to FROM sensor.rollup_state WHERE rollup = %s", (rollup.name,))
    row = await cursor.fetchone()
    return EPOCH if row is None else row[0]


async def _refresh_all(connection: Connection, rollup: Rollup, span: Span) -> None:
    await connection.execute(
        f"INSERT INTO {rollup.table} AS kept {_COLUMNS} {_SOURCES[rollup.name].format(where=_ALL_DEVICES)} {_UPSERT}",
        {"from_at": span.from_at, "to_at": span.to_at},
    )


async def _refresh_devices(connection: Connection, rollup: Rollup, spans: Sequence[Span]) -> None:
    if not spans:
        return
    await connection.execute(
        f"""
        INSERT INTO {rollup.table} AS kept {_COLUMNS}
        SELECT part.* FROM unnest(%(devices)s::text[], %(from)s::timestamptz[], %(to)s::timestamptz[])
            AS span (device, from_at, to_at)
        CROSS JOIN LATERAL ({_SOURCES[rollup.name].format(where=_ONE_DEVICE)}) AS part {_UPSERT}
        """,
        {
            "devices": [span.esp_id for span in spans],
            "from": [span.from_at for span in spans],
            "to": [span.to_at for span in spans],
        },
    )


async def _note_once(connection: Connection, rollup: Rollup, spans: Sequence[Span]) -> None:
    """As `note`, but not what waits already: the running hour is touched every minute."""
    cursor = await connection.execute(
        "SELECT from_at, to_at, esp_id FROM sensor.rollup_pending WHERE rollup = %s", (rollup.name,)
    )
    waiting = {Span(*row) for row in await cursor.fetchall()}
    await note(connection, rollup, [span for span in spans if span not in waiting])


async def _note_complete(connection: Connection, rollup: Rollup, over: datetime) -> None:
    """Mark ended spans that do not wait as complete; hours only as far as the minutes from which they are computed."""
    limits = [over]
    if rollup is HOUR:
        limits.append(floor(await complete_to(connection, MINUTE), HOUR.width))
    cursor = await connection.execute(
        "SELECT min(from_at) FROM sensor.rollup_pending WHERE rollup = %s AND from_at < %s", (rollup.name, over)
    )
    row = await cursor.fetchone()
    if row is not None and row[0] is not None:
        limits.append(row[0])
    add = insert(rollup_state).values(rollup=rollup.name, complete_to=min(limits))
    later = func.greatest(rollup_state.c.complete_to, add.excluded.complete_to)
    await execute(connection, add.on_conflict_do_update(index_elements=["rollup"], set_={"complete_to": later}))
