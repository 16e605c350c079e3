"""The queries of orders, workpieces and quality; nothing is written here."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from kaiser_common.contract.schemas.api.factory import FactoryStep, FactoryTimeline, QualityItem, StockChange
from kaiser_common.contract.schemas.factory import FactoryOrder
from kaiser_common.contract.times import ms_of, time_of
from kaiser_common.runtime.statements import among, equal, fetch_all, fetch_one, row_of
from kaiser_factory_dialect.ccu_messages import FINAL_ORDERS
from kaiser_factory_dialect.timeline import order_row, timeline_of
from kaiser_factory_dialect.world import Factory, Progress
from psycopg.rows import tuple_row
from sqlalchemy import select, tuple_

from kaiser_factory.domain.drives import PARTS, DriveTransition, parts_of
from kaiser_factory.domain.rows import record_from
from kaiser_factory.store import Connection, tables

_orders = tables.orders.c
_ORDER = (_orders.order_id, _orders.state, _orders.skew_ms, _orders.changed_at, _orders.record)
_checks = tables.quality.c
_QUALITY = (
    *(_checks.quality_id, _checks.time, _checks.txt, _checks.num, _checks.result, _checks.classification),
    *(_checks.mime, _checks.bytes, _checks.picture.is_not(None)),
)


async def orders(
    connection: Connection, env: str, state: str | None, before: tuple[int, str] | None, limit: int, now: int
) -> list[tuple[int, FactoryOrder]]:
    """Orders, newest first, each with the time (ms) that it was first seen."""
    statement = select(_orders.first_seen_at, *_ORDER).where(_orders.env == env, *equal({_orders.state: state}))
    if before is not None:
        at, order_id = before
        statement = statement.where(tuple_(_orders.first_seen_at, _orders.order_id) < row_of(time_of(at), order_id))
    statement = statement.order_by(_orders.first_seen_at.desc(), _orders.order_id.desc()).limit(limit)
    found = await fetch_all(connection, tuple_row, statement)
    return [(ms_of(first), _order(env, rest, now)) for first, *rest in found]


async def timeline(connection: Connection, env: str, order_id: str, now: int) -> FactoryTimeline | None:
    """An order with its steps; None: it is not known."""
    statement = select(*_ORDER).where(_orders.env == env, _orders.order_id == order_id)
    row = await fetch_one(connection, tuple_row, statement)
    return None if row is None else await _timeline(connection, env, row, now)


async def of_workpiece(connection: Connection, env: str, workpiece_id: str, now: int) -> list[FactoryTimeline]:
    """The orders of a workpiece, oldest first, at most 20."""
    statement = select(*_ORDER).where(_orders.env == env, _orders.workpiece_id == workpiece_id)
    found = await fetch_all(connection, tuple_row, statement.order_by(_orders.first_seen_at).limit(20))
    return [await _timeline(connection, env, row, now) for row in found]


async def stock_of_workpiece(connection: Connection, env: str, workpiece_id: str) -> list[StockChange]:
    """Where a workpiece was stored, oldest first, at most 200 changes."""
    c = tables.stock_changes.c
    statement = select(c.hbw, c.location, c.time, c.type, c.workpiece_id, c.state)
    statement = statement.where(c.env == env, c.workpiece_id == workpiece_id).order_by(c.time).limit(200)
    return [
        StockChange(hbw=hbw, location=location, at=ms_of(at), type=kind, workpiece_id=one, state=state)
        for hbw, location, at, kind, one, state in await fetch_all(connection, tuple_row, statement)
    ]


async def quality(connection: Connection, env: str, before: int | None, limit: int) -> list[QualityItem]:
    """Checks of quality, newest first."""
    statement = select(*_QUALITY).where(_checks.env == env)
    if before is not None:
        statement = statement.where(_checks.quality_id < min(before, 2**62))
    found = await fetch_all(connection, tuple_row, statement.order_by(_checks.quality_id.desc()).limit(limit))
    return [_quality_item(row) for row in found]


async def quality_between(connection: Connection, env: str, start: datetime, end: datetime) -> list[QualityItem]:
    """Checks of quality that were reported in a span, oldest first, at most 20."""
    statement = select(*_QUALITY).where(_checks.env == env, _checks.time >= start, _checks.time < end)
    found = await fetch_all(connection, tuple_row, statement.order_by(_checks.time).limit(20))
    return [_quality_item(row) for row in found]


def _quality_item(row: Sequence[Any]) -> QualityItem:
    quality_id, at, txt, num, result, classification, mime, size, kept = row
    return QualityItem(
        quality_id=quality_id,
        at=ms_of(at),
        txt=txt,
        num=num,
        result=result,
        classification=classification,
        mime=mime,
        bytes=size,
        has_picture=kept,
    )


async def picture(connection: Connection, env: str, quality_id: int) -> tuple[str, bytes] | None:
    """The type and bytes of a picture; None if there is no picture."""
    statement = select(_checks.mime, _checks.picture)
    statement = statement.where(_checks.env == env, _checks.quality_id == quality_id, _checks.picture.is_not(None))
    row = await fetch_one(connection, tuple_row, statement)
    return None if row is None else (row[0], bytes(row[1]))


def _order(env: str, row: Sequence[Any], now: int) -> FactoryOrder:
    order_id, state, skew, _, record = row
    found = order_row(record_from(record), now)
    fields = {name: getattr(found, name) for name in found.__struct_fields__ if name != "steps"}
    for name in ("requested", "received", "started", "stopped"):
        if fields[name] is not None and skew is not None:
            fields[name] += skew
    fields |= {"order_id": order_id, "state": state}
    return FactoryOrder(env=env, corrected=skew is not None, ts=now, **fields)


async def _timeline(connection: Connection, env: str, row: Sequence[Any], now: int) -> FactoryTimeline:
    record, skew = record_from(row[4]), row[2]
    c = tables.steps.c
    statement = select(c.action_id, c.serial, c.agv, c.command, c.running_at, c.finished_at, c.result)
    statement = statement.where(c.env == env, among(c.action_id, [step.id for step in record.order.steps]))
    factory = Factory()
    for action_id, serial, agv, command, running_at, finished_at, result in await fetch_all(
        connection, tuple_row, statement
    ):
        factory.progress[action_id] = Progress(
            serial, agv, command, _ms_or_none(running_at), _ms_or_none(finished_at), result
        )
    agvs = sorted({one.serial for one in factory.progress.values() if one.agv})
    until = row[3] if record.order.state in FINAL_ORDERS else time_of(now)
    drives = parts_of(await _drives(connection, env, agvs, time_of(record.first_seen), until)) if agvs else {}
    steps = []
    for one in timeline_of(factory, record.order):
        fields = {name: getattr(one, name) for name in one.__struct_fields__}
        fields["parts"] = drives.get(one.id, [])
        for name in ("started", "stopped"):
            if fields[name] is not None and skew is not None:
                fields[name] += skew
        steps.append(FactoryStep(**fields))
    return FactoryTimeline(order=_order(env, row, now), steps=steps)


async def _drives(
    connection: Connection, env: str, agvs: Sequence[str], start: datetime, end: datetime
) -> list[DriveTransition]:
    """The actions of AGVs at nodes in a span, by AGV and time."""
    cursor = await connection.execute(
        """
        SELECT serial, time, value, action_id, command FROM factory.transitions
        WHERE env = %s AND what = 'action' AND serial = ANY(%s) AND time >= %s AND time <= %s AND command = ANY(%s)
        ORDER BY serial, time LIMIT 20000
        """,
        (env, list(agvs), start, end, sorted(PARTS)),
    )
    return [
        DriveTransition(serial, ms_of(at), state, action_id, command)
        for serial, at, state, action_id, command in await cursor.fetchall()
    ]


def _ms_or_none(at: datetime | None) -> int | None:
    return None if at is None else ms_of(at)
