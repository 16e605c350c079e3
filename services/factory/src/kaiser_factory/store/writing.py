"""Writes rows of messages in the caller's transaction; writing a message twice changes nothing."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from kaiser_common.contract.times import time_of
from kaiser_common.runtime.statements import among, columns_of, execute, execute_many, insert_all_of, insert_of
from kaiser_factory_dialect.ccu_messages import FINAL_ORDERS, StockItem
from kaiser_factory_dialect.messages import QualityCheck
from kaiser_factory_dialect.timeline import order_row
from sqlalchemy import bindparam, exists, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from kaiser_factory.domain.rows import ActionTimes, Past, Rows, record_of
from kaiser_factory.store import Connection
from kaiser_factory.store.tables import orders, quality, steps, stock, stock_changes, transitions

_PICTURES_KEPT = 200
_FINAL = sorted(FINAL_ORDERS)

_TRANSITION = ("time", "env", "serial", "what", "value", "action_id", "command", "result", "length_mm")
_ADD_TRANSITIONS = insert_all_of(transitions, _TRANSITION).on_conflict_do_nothing()

_STEP = ("env", "action_id", "serial", "agv", "command", "running_at", "finished_at", "result", "changed_at")
_ADD_STEPS = insert_all_of(steps, _STEP)
_PUT_STEPS = _ADD_STEPS.on_conflict_do_update(
    index_elements=[steps.c.env, steps.c.action_id],
    set_={
        "command": func.coalesce(_ADD_STEPS.excluded.command, steps.c.command),
        "running_at": func.least(steps.c.running_at, _ADD_STEPS.excluded.running_at),
        "finished_at": func.least(steps.c.finished_at, _ADD_STEPS.excluded.finished_at),
        "result": func.coalesce(_ADD_STEPS.excluded.result, steps.c.result),
        "changed_at": func.greatest(steps.c.changed_at, _ADD_STEPS.excluded.changed_at),
    },
)

_ORDER_CHANGES = (
    *("type", "order_type", "state", "workpiece_id", "request_id", "started_at", "stopped_at", "lead_ms"),
    *("changed_at", "skew_ms", "record"),
)
_ADD_ORDER = insert_of(orders, ("env", "order_id", "first_seen_at", *_ORDER_CHANGES))
_PUT_ORDER = _ADD_ORDER.on_conflict_do_update(
    index_elements=[orders.c.env, orders.c.order_id],
    set_={name: _ADD_ORDER.excluded[name] for name in _ORDER_CHANGES},
    where=or_(~among(orders.c.state, _FINAL), among(_ADD_ORDER.excluded.state, _FINAL)),
)

_CHECK = ("env", "time", "txt", "num", "result", "classification", "mime", "bytes", "picture")
_ADD_CHECK = insert_of(quality, _CHECK).on_conflict_do_nothing(
    index_elements=[quality.c.env, quality.c.txt, quality.c.time]
)

_BAY = ("env", "hbw", "location")
_CONTENT = ("type", "workpiece_id", "state")
_given = {name: bindparam(name, type_=stock.c[name].type) for name in (*_BAY, *_CONTENT, "changed_at")}
_AS_BEFORE = exists().where(
    *(stock.c[name] == _given[name] for name in _BAY),
    tuple_(*(stock.c[name] for name in _CONTENT)).is_not_distinct_from(tuple_(*(_given[name] for name in _CONTENT))),
)
_ADD_STOCK_CHANGE = (
    insert(stock_changes)
    .from_select([*_BAY, *_CONTENT, "time"], select(*_given.values()).where(~_AS_BEFORE))
    .on_conflict_do_nothing()
)
_ADD_BAY = insert_of(stock, _given)
_PUT_BAY = _ADD_BAY.on_conflict_do_update(
    index_elements=[stock.c[name] for name in _BAY],
    set_={name: _ADD_BAY.excluded[name] for name in (*_CONTENT, "changed_at")},
    where=stock.c.changed_at <= _ADD_BAY.excluded.changed_at,
)


async def write(connection: Connection, rows: Rows, past: Past) -> None:
    """Write what a batch of messages adds."""
    if rows.transitions:
        await execute(connection, _ADD_TRANSITIONS, columns_of(_TRANSITION, rows.transitions))
    if rows.steps:
        put = [_step(rows.env, *each) for each in sorted(rows.steps.items())]
        await execute(connection, _PUT_STEPS, columns_of(_STEP, put))
    if rows.orders:
        await execute_many(connection, _PUT_ORDER, _orders(rows, past))
    if rows.quality:
        await _write_checks(connection, rows.env, rows.quality)
    for at, items in rows.stock:
        await _write_stock(connection, rows.env, at, items)
    if rows.reset_at is not None:
        await _cancel_others(connection, rows.env, rows.reset_at, rows.orders)


def _step(env: str, action_id: str, step: ActionTimes) -> tuple[Any, ...]:
    """The row of a step, in the order of _STEP."""
    return (
        env,
        action_id,
        step.serial,
        step.agv,
        step.command,
        step.running_at,
        step.finished_at,
        step.result,
        step.at,
    )


def _orders(rows: Rows, past: Past) -> Iterable[dict[str, Any]]:
    skew = past.factory.clocks.skew_ms("ccu")
    for order_id, record in sorted(rows.orders.items()):
        found = order_row(record, record.first_seen)
        yield {
            "env": rows.env,
            "order_id": order_id,
            "type": found.type,
            "order_type": found.order_type,
            "state": found.state,
            "workpiece_id": found.workpiece_id,
            "request_id": found.request_id,
            "started_at": None if found.started is None else time_of(found.started + (skew or 0)),
            "stopped_at": None if found.stopped is None else time_of(found.stopped + (skew or 0)),
            "lead_ms": found.lead_ms,
            "first_seen_at": time_of(record.first_seen),
            "changed_at": rows.changed_at[order_id],
            "skew_ms": skew,
            "record": record_of(record),
        }


async def _write_checks(connection: Connection, env: str, checks: Sequence[QualityCheck]) -> None:
    """Add quality checks; only the newest keep their picture."""
    added = [
        {
            "env": env,
            "time": time_of(one.ts),
            "txt": one.serial or "",
            "num": one.num,
            "result": one.result,
            "classification": one.classification,
            "mime": one.mime,
            "bytes": one.bytes,
            "picture": one.picture,
        }
        for one in checks
    ]
    await execute_many(connection, _ADD_CHECK, added)
    await drop_old_pictures(connection, env)


async def drop_old_pictures(connection: Connection, env: str) -> None:
    """Leave their picture to the newest checks of an environment only."""
    newest = quality.alias("newest")
    kept = select(newest.c.quality_id).where(newest.c.env == env).order_by(newest.c.quality_id.desc())
    old = quality.c.quality_id.not_in(kept.limit(_PICTURES_KEPT))
    drop = update(quality).where(quality.c.env == env, quality.c.picture.is_not(None), old).values(picture=None)
    await execute(connection, drop)


async def _write_stock(connection: Connection, env: str, at: datetime, items: Iterable[StockItem]) -> None:
    """Replace the bays of the stores that a message lists; a bay with another content is a change."""
    bays = [
        {
            "env": env,
            "hbw": item.hbw or "",
            "location": item.location,
            "type": item.type,
            "workpiece_id": item.id,
            "state": item.state,
            "changed_at": at,
        }
        for item in items
    ]
    await execute_many(connection, _ADD_STOCK_CHANGE, bays)
    await execute_many(connection, _PUT_BAY, bays)


async def _cancel_others(connection: Connection, env: str, at: datetime, order_ids: Iterable[str]) -> None:
    """Cancel the open orders that a reset has ended; not those of the same batch, which came after it."""
    c = orders.c
    ended = update(orders).where(c.env == env, ~among(c.state, _FINAL), ~among(c.order_id, sorted(order_ids)))
    await execute(connection, ended.values(state="CANCELLED", changed_at=at))
