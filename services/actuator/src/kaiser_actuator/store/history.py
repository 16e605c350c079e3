"""The SQL of what happened to actuators."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from kaiser_common.contract.schemas.api.actuators import HistoryItem
from kaiser_common.runtime.database import copy_upsert
from psycopg.rows import class_row

from kaiser_actuator.store import Connection


class HistoryEntry(NamedTuple):
    """A line of history; `key` tells two of one kind at one time apart, so that a repeated message adds nothing."""

    time: datetime
    esp_id: str
    gpio: int
    kind: str
    key: str
    state: bool | None = None
    value: float | None = None
    command: str | None = None
    command_id: str | None = None
    success: bool | None = None
    alert_type: str | None = None
    message: str | None = None
    actor: str | None = None


async def add(connection: Connection, entries: Sequence[HistoryEntry]) -> int:
    """Store entries; how many were new."""
    return await copy_upsert(connection, "actuator.history", HistoryEntry._fields, entries) if entries else 0


async def is_new(connection: Connection, entry: HistoryEntry) -> bool:
    """Store an entry; False if it was there."""
    return await add(connection, [entry]) == 1


async def page(
    connection: Connection,
    esp_id: str,
    gpio: int,
    start: datetime,
    end: datetime,
    before: tuple[datetime, str, str] | None,
    limit: int,
) -> list[tuple[HistoryItem, str]]:
    """Entries in [start, end), newest first, before the cursor; each with its key."""
    async with connection.cursor(row_factory=class_row(_Row)) as cursor:
        await cursor.execute(
            """
            SELECT (extract(epoch FROM time) * 1000)::bigint AS ts, kind, key, state, value, command, command_id,
                   success, alert_type, message, actor
            FROM actuator.history
            WHERE esp_id = %(esp_id)s AND gpio = %(gpio)s AND time >= %(start)s AND time < %(end)s
              AND (%(time)s::timestamptz IS NULL OR (time, kind, key) < (%(time)s, %(kind)s::text, %(key)s::text))
            ORDER BY time DESC, kind DESC, key DESC LIMIT %(limit)s
            """,
            {
                "esp_id": esp_id,
                "gpio": gpio,
                "start": start,
                "end": end,
                "time": before[0] if before else None,
                "kind": before[1] if before else None,
                "key": before[2] if before else None,
                "limit": limit,
            },
        )
        return [(HistoryItem.model_validate(row._asdict()), row.key) for row in await cursor.fetchall()]


class _Row(NamedTuple):
    ts: int
    kind: str
    key: str
    state: bool | None
    value: float | None
    command: str | None
    command_id: str | None
    success: bool | None
    alert_type: str | None
    message: str | None
    actor: str | None
