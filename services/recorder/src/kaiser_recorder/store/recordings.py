"""The SQL of recordings and their messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kaiser_common.contract.schemas.api.recordings import RecordingDetails, RecordingsQuery, SavedRecording, SkippedLine
from kaiser_common.runtime.cursors import parse_cursor
from kaiser_common.runtime.statements import execute, fetch_all, fetch_one, from_ms, to_ms
from kaiser_factory_dialect.recordings import Recorded
from psycopg.rows import class_row, tuple_row
from psycopg.types.json import Jsonb
from sqlalchemy import BigInteger, ColumnElement, Select, cast, literal, literal_column, select, tuple_
from sqlalchemy import insert as insert_into

from kaiser_recorder.store import Connection, tables

_EXPORTED_BYTES = 1_000_000
_EXPORTED_MESSAGES = 2000
_DELETED_AT_ONCE = 5000
_c = tables.recordings.c
_THOUSAND: ColumnElement[int] = literal_column("1000")
_SHOWN: Select[Any] = select(
    _c.recording_id,
    _c.name,
    _c.note,
    _c.source,
    _c.state,
    _c.reason,
    _c.env,
    _c.filters,
    _c.dialects,
    to_ms(_c.created_at).label("created_at"),
    _c.created_by,
    to_ms(_c.ended_at).label("ended_at"),
    cast(_c.first_us / _THOUSAND, BigInteger).label("first_at"),
    cast(_c.last_us / _THOUSAND, BigInteger).label("last_at"),
    _c.messages,
    _c.bytes,
    _c.missing,
    _c.naive,
    _c.bad_lines,
).where(_c.state != literal_column("'deleted'"))


@dataclass(frozen=True, slots=True)
class Active:
    """A recording that is being written from TOPICS: where it goes on, and how many messages it has."""

    recording_id: str
    env: str
    filters: list[str]
    dialects: list[str]
    next_sequence: int | None
    from_at: datetime | None
    messages: int


def size_of(messages: Sequence[Recorded]) -> int:
    """The bytes of messages as they are counted."""
    return sum(len(one.payload) + len(one.topic.encode()) for one in messages)


async def page(connection: Connection, query: RecordingsQuery) -> list[SavedRecording]:
    """A page, the newest first, one more than the limit if there are more."""
    statement = _SHOWN
    if query.cursor is not None:
        before_ms, before_id = parse_cursor(query.cursor, int, str)
        before = tuple_(from_ms(int(before_ms)), literal(before_id))
        statement = statement.where(tuple_(_c.created_at, _c.recording_id) < before)
    statement = statement.order_by(_c.created_at.desc(), _c.recording_id.desc()).limit(query.limit + 1)
    return await fetch_all(connection, class_row(SavedRecording), statement)


async def read(connection: Connection, recording_id: str) -> SavedRecording | None:
    """One recording."""
    return await fetch_one(connection, class_row(SavedRecording), _SHOWN.where(_c.recording_id == recording_id))


async def details(connection: Connection, recording_id: str) -> RecordingDetails | None:
    """A recording with what its file said of itself and the lines that were skipped."""
    recording = await read(connection, recording_id)
    statement = select(_c.meta, _c.skipped).where(_c.recording_id == recording_id)
    row = await fetch_one(connection, tuple_row, statement)
    if recording is None or row is None:
        return None
    skipped = [SkippedLine(line=line, reason=reason) for line, reason in row[1]]
    return RecordingDetails(recording=recording, meta=row[0], skipped=skipped)


async def insert(connection: Connection, recording: SavedRecording, created_at: datetime, **more: Any) -> None:
    """A new recording; more: from_at or next_sequence of one that is written from TOPICS."""
    row = {
        "recording_id": recording.recording_id,
        "name": recording.name,
        "note": recording.note,
        "source": recording.source,
        "state": recording.state,
        "env": recording.env,
        "filters": recording.filters,
        "dialects": recording.dialects,
        "created_at": created_at,
        "created_by": recording.created_by,
        "from_at": more.get("from_at"),
        "next_sequence": more.get("next_sequence"),
    }
    await execute(connection, insert_into(tables.recordings).values(row))


async def active(connection: Connection) -> list[Active]:
    """The recordings that are being written from TOPICS."""
    async with connection.cursor(row_factory=class_row(Active)) as cursor:
        await cursor.execute(
            """
            SELECT recording_id, env, filters, dialects, next_sequence, from_at, messages FROM recorder.recordings
            WHERE state = 'recording' ORDER BY created_at
            """
        )
        return await cursor.fetchall()


async def position(connection: Connection, recording_id: str) -> tuple[int, int | None] | None:
    """How many messages a recording has, and where it goes on; None: it is not being written."""
    cursor = await connection.execute(
        "SELECT messages, next_sequence FROM recorder.recordings WHERE recording_id = %s"
        " AND state IN ('recording', 'importing') FOR UPDATE",
        (recording_id,),
    )
    return await cursor.fetchone()


async def append(
    connection: Connection, recording_id: str, after: int, messages: Sequence[Recorded], next_sequence: int | None
) -> None:
    """Write messages behind number `after`, and where to go on."""
    async with (
        connection.cursor() as cursor,
        cursor.copy(
            "COPY recorder.messages (recording_id, number, at_us, topic, payload, qos, retained) FROM STDIN"
        ) as copy,
    ):
        for number, one in enumerate(messages, start=after + 1):
            await copy.write_row((recording_id, number, one.at_us, one.topic, one.payload, one.qos, one.retained))
    times = [one.at_us for one in messages]
    await connection.execute(
        """
        UPDATE recorder.recordings SET
            messages = %s, bytes = bytes + %s, next_sequence = coalesce(%s, next_sequence),
            first_us = least(first_us, %s), last_us = greatest(last_us, %s)
        WHERE recording_id = %s
        """,
        (
            after + len(messages),
            size_of(messages),
            next_sequence,
            min(times, default=None),
            max(times, default=None),
            recording_id,
        ),
    )


async def note_missing(connection: Connection, recording_id: str, missing: int) -> None:
    """Count messages that TOPICS no longer had."""
    await connection.execute(
        "UPDATE recorder.recordings SET missing = missing + %s WHERE recording_id = %s", (missing, recording_id)
    )


async def note_file(
    connection: Connection,
    recording_id: str,
    *,
    naive: bool,
    bad_lines: int,
    skipped: list[tuple[int, str]],
    meta: str | None,
) -> None:
    """Note what an imported file has beside its messages."""
    await connection.execute(
        "UPDATE recorder.recordings SET naive = %s, bad_lines = %s, skipped = %s, meta = %s WHERE recording_id = %s",
        (naive, bad_lines, Jsonb(skipped), meta, recording_id),
    )


async def finish(connection: Connection, recording_id: str, state: str, now: datetime, reason: str | None) -> bool:
    """A recording that is being written is ready, or has failed. False: it is not being written."""
    cursor = await connection.execute(
        "UPDATE recorder.recordings SET state = %s, reason = %s, ended_at = %s"
        " WHERE recording_id = %s AND state IN ('recording', 'importing')",
        (state, reason, now, recording_id),
    )
    return cursor.rowcount > 0


async def fail_imports(connection: Connection, now: datetime, reason: str) -> None:
    """Imports that a process before this one did not end."""
    await connection.execute(
        "UPDATE recorder.recordings SET state = 'failed', reason = %s, ended_at = %s WHERE state = 'importing'",
        (reason, now),
    )


async def delete(connection: Connection, recording_id: str) -> bool:
    """Have a recording that is not being written removed; `remove_some` does. False: there is none."""
    cursor = await connection.execute(
        "UPDATE recorder.recordings SET state = 'deleted' WHERE recording_id = %s AND state IN ('ready', 'failed')",
        (recording_id,),
    )
    return cursor.rowcount > 0


async def remove_some(connection: Connection) -> bool:
    """Remove some messages of a recording that is deleted or has failed. False: there is nothing to remove."""
    cursor = await connection.execute(
        "SELECT recording_id, state FROM recorder.recordings"
        " WHERE state = 'deleted' OR (state = 'failed' AND messages > 0) LIMIT 1 FOR UPDATE SKIP LOCKED"
    )
    found = await cursor.fetchone()
    if found is None:
        return False
    recording_id, state = found
    cursor = await connection.execute(
        "DELETE FROM recorder.messages WHERE recording_id = %s AND number <="
        " (SELECT min(number) + %s FROM recorder.messages WHERE recording_id = %s)",
        (recording_id, _DELETED_AT_ONCE, recording_id),
    )
    if cursor.rowcount > 0:
        return True
    if state == "deleted":
        await connection.execute("DELETE FROM recorder.recordings WHERE recording_id = %s", (recording_id,))
    else:
        await connection.execute(
            "UPDATE recorder.recordings SET messages = 0, bytes = 0, first_us = NULL, last_us = NULL"
            " WHERE recording_id = %s",
            (recording_id,),
        )
    return True


async def total_bytes(connection: Connection) -> int:
    """The bytes of all recordings that are not deleted."""
    cursor = await connection.execute(
        "SELECT coalesce(sum(bytes), 0)::bigint FROM recorder.recordings WHERE state <> 'deleted'"
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def messages_after(connection: Connection, recording_id: str, after: int) -> list[tuple[int, Recorded]]:
    """The next messages with their numbers: at most 2,000, of about 1 MB together, at least one if there is any."""
    cursor = await connection.execute(
        """
        SELECT number, topic, payload, at_us, qos, retained FROM (
            SELECT number, topic, payload, at_us, qos, retained,
                   sum(octet_length(payload)) OVER (ORDER BY number) - octet_length(payload) AS before
            FROM recorder.messages WHERE recording_id = %s AND number > %s ORDER BY number LIMIT %s
        ) AS next WHERE before < %s ORDER BY number
        """,
        (recording_id, after, _EXPORTED_MESSAGES, _EXPORTED_BYTES),
    )
    return [(row[0], Recorded(*row[1:])) for row in await cursor.fetchall()]
