"""The SQL of what happened to actuators."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from kaiser_common.contract.schemas.api.actuators import HistoryItem
from kaiser_common.runtime.statements import fetch_all, row_of, to_ms
from kaiser_common.runtime.upsert import copy_upsert
from psycopg.rows import class_row
from sqlalchemy import Select, select, tuple_

from kaiser_actuator.store import Connection, tables

_c = tables.history.c
_ROW: Select[Any] = select(
    to_ms(_c.time).label("ts"),
    _c.kind,
    _c.key,
    _c.state,
    _c.value,
    _c.command,
    _c.command_id,
    _c.success,
    _c.alert_type,
    _c.message,
    _c.actor,
)


class HistoryEntry(NamedTuple):
    """A line of history; `key` distinguishes two lines of one kind at one time, so that a repeated message adds
    nothing."""

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
    statement = _ROW.where(_c.esp_id == esp_id, _c.gpio == gpio, _c.time >= start, _c.time < end)
    if before is not None:
        statement = statement.where(tuple_(_c.time, _c.kind, _c.key) < row_of(*before))
    statement = statement.order_by(_c.time.desc(), _c.kind.desc(), _c.key.desc()).limit(limit)
    found = await fetch_all(connection, class_row(_Row), statement)
    return [(HistoryItem.model_validate(row._asdict()), row.key) for row in found]


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
