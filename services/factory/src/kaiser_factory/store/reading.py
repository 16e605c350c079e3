"""The queries of orders, workpieces, quality and figures; nothing is written here."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from kaiser_common.contract.schemas.api.factory import FactoryStep, FactoryTimeline, QualityItem, StockChange
from kaiser_common.contract.schemas.factory import FactoryOrder
from kaiser_factory_dialect.timeline import order_row, timeline_of
from kaiser_factory_dialect.world import Factory, Progress
from psycopg import AsyncConnection

from kaiser_factory.domain.rows import record_from, time_of

Connection = AsyncConnection[Any]

_ORDER = "order_id, state, skew_ms, changed_at, record"
_QUALITY = "quality_id, time, txt, num, result, classification, mime, bytes, picture IS NOT NULL"


async def orders(
    connection: Connection, env: str, state: str | None, before: tuple[int, str] | None, limit: int, now: int
) -> list[tuple[int, FactoryOrder]]:
    """Orders, newest first, each with the time (ms) that it was first seen."""
    at, order_id = before or (None, None)
    cursor = await connection.execute(
        f"""
        SELECT first_seen_at, {_ORDER} FROM factory.orders
        WHERE env = %(env)s AND (%(state)s::text IS NULL OR state = %(state)s)
            AND (%(at)s::timestamptz IS NULL OR (first_seen_at, order_id) < (%(at)s, %(id)s))
        ORDER BY first_seen_at DESC, order_id DESC LIMIT %(limit)s
        """,
        {
            "env": env,
            "state": state,
            "at": None if at is None else time_of(at),
            "id": order_id,
            "limit": limit,
        },
    )
    return [(ms(first), _order(env, rest, now)) for first, *rest in await cursor.fetchall()]


async def timeline(connection: Connection, env: str, order_id: str, now: int) -> FactoryTimeline | None:
    """An order with its steps; None: it is not known."""
    cursor = await connection.execute(
        f"SELECT {_ORDER} FROM factory.orders WHERE env = %s AND order_id = %s", (env, order_id)
    )
    row = await cursor.fetchone()
    return None if row is None else await _timeline(connection, env, row, now)


async def of_workpiece(connection: Connection, env: str, workpiece_id: str, now: int) -> list[FactoryTimeline]:
    """The orders of a workpiece, oldest first, at most 20."""
    cursor = await connection.execute(
        f"SELECT {_ORDER} FROM factory.orders WHERE env = %s AND workpiece_id = %s ORDER BY first_seen_at LIMIT 20",
        (env, workpiece_id),
    )
    return [await _timeline(connection, env, row, now) for row in await cursor.fetchall()]


async def stock_of_workpiece(connection: Connection, env: str, workpiece_id: str) -> list[StockChange]:
    """Where a workpiece was stored, oldest first, at most 200 changes."""
    cursor = await connection.execute(
        "SELECT hbw, location, time, type, workpiece_id, state FROM factory.stock_changes"
        " WHERE env = %s AND workpiece_id = %s ORDER BY time LIMIT 200",
        (env, workpiece_id),
    )
    return [
        StockChange(hbw=hbw, location=location, at=ms(at), type=kind, workpiece_id=one, state=state)
        async for hbw, location, at, kind, one, state in cursor
    ]


async def quality(connection: Connection, env: str, before: int | None, limit: int) -> list[QualityItem]:
    """Checks of quality, newest first."""
    cursor = await connection.execute(
        f"SELECT {_QUALITY} FROM factory.quality WHERE env = %s AND quality_id < %s ORDER BY quality_id DESC LIMIT %s",
        (env, before or 2**62, limit),
    )
    return [_quality_item(row) for row in await cursor.fetchall()]


async def quality_between(connection: Connection, env: str, start: datetime, end: datetime) -> list[QualityItem]:
    """Checks of quality that were reported in a span, oldest first, at most 20."""
    cursor = await connection.execute(
        f"SELECT {_QUALITY} FROM factory.quality WHERE env = %s AND time >= %s AND time < %s ORDER BY time LIMIT 20",
        (env, start, end),
    )
    return [_quality_item(row) for row in await cursor.fetchall()]


def _quality_item(row: Sequence[Any]) -> QualityItem:
    quality_id, at, txt, num, result, classification, mime, size, kept = row
    return QualityItem(
        quality_id=quality_id,
        at=ms(at),
        txt=txt,
        num=num,
        result=result,
        classification=classification,
        mime=mime,
        bytes=size,
        has_picture=kept,
    )


async def picture(connection: Connection, env: str, quality_id: int) -> tuple[str, bytes] | None:
    """The type and bytes of a picture; None: there is none."""
    cursor = await connection.execute(
        "SELECT mime, picture FROM factory.quality WHERE env = %s AND quality_id = %s AND picture IS NOT NULL",
        (env, quality_id),
    )
    row = await cursor.fetchone()
    return None if row is None else (row[0], bytes(row[1]))


async def series(
    connection: Connection, env: str, what: str, start: datetime, end: datetime
) -> list[tuple[str, datetime, str, float | None]]:
    """Transitions of a kind in a window: serial, time, value, length; and of each serial the last one before."""
    cursor = await connection.execute(
        """
        (SELECT DISTINCT ON (serial) serial, time, value, length_mm FROM factory.transitions
         WHERE env = %(env)s AND what = %(what)s AND time < %(start)s AND time > %(start)s - interval '7 days'
         ORDER BY serial, time DESC)
        UNION ALL
        SELECT serial, time, value, length_mm FROM factory.transitions
        WHERE env = %(env)s AND what = %(what)s AND time >= %(start)s AND time < %(end)s
        ORDER BY serial, time LIMIT 500000
        """,
        {"env": env, "what": what, "start": start, "end": end},
    )
    return await cursor.fetchall()


async def actions(connection: Connection, env: str, start: datetime, end: datetime) -> list[tuple[str, str, float]]:
    """Finished actions of modules in a window: serial, command and duration in s."""
    cursor = await connection.execute(
        """
        SELECT serial, command, extract(epoch FROM finished_at - running_at)::float8 FROM factory.steps
        WHERE env = %s AND command IS NOT NULL AND finished_at >= %s AND finished_at < %s AND running_at < finished_at
        LIMIT 500000
        """,
        (env, start, end),
    )
    return await cursor.fetchall()


async def checks(connection: Connection, env: str, start: datetime, end: datetime) -> tuple[int, int]:
    """How many checks of quality there were in a window, and how many passed."""
    cursor = await connection.execute(
        "SELECT count(*), count(*) FILTER (WHERE result = 'PASSED') FROM factory.quality"
        " WHERE env = %s AND time >= %s AND time < %s",
        (env, start, end),
    )
    row = await cursor.fetchone()
    return (0, 0) if row is None else (row[0], row[1])


async def samples(
    connection: Connection, env: str, start: datetime, end: datetime
) -> list[tuple[str, datetime, bool | None, bool | None]]:
    """Samples of AGVs in a window: serial, time, driving, charging."""
    cursor = await connection.execute(
        "SELECT serial, time, driving, charging FROM factory.samples WHERE env = %s AND time >= %s AND time < %s"
        " ORDER BY serial, time LIMIT 500000",
        (env, start, end),
    )
    return await cursor.fetchall()


async def ends(connection: Connection, env: str, start: datetime, end: datetime) -> list[tuple[str, int | None]]:
    """Orders that came to an end in a window: state and lead time in ms."""
    cursor = await connection.execute(
        "SELECT state, lead_ms FROM factory.orders WHERE env = %s AND changed_at >= %s AND changed_at < %s"
        " AND state IN ('FINISHED', 'ERROR', 'CANCELLED') LIMIT 100000",
        (env, start, end),
    )
    return await cursor.fetchall()


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
    cursor = await connection.execute(
        "SELECT action_id, serial, agv, command, running_at, finished_at, result FROM factory.steps"
        " WHERE env = %s AND action_id = ANY(%s)",
        (env, [step.id for step in record.order.steps]),
    )
    factory = Factory()
    async for action_id, serial, agv, command, running_at, finished_at, result in cursor:
        factory.progress[action_id] = Progress(
            serial, agv, command, _ms_or_none(running_at), _ms_or_none(finished_at), result
        )
    steps = []
    for one in timeline_of(factory, record.order):
        fields = {name: getattr(one, name) for name in one.__struct_fields__}
        for name in ("started", "stopped"):
            if fields[name] is not None and skew is not None:
                fields[name] += skew
        steps.append(FactoryStep(**fields))
    return FactoryTimeline(order=_order(env, row, now), steps=steps)


def ms(at: datetime) -> int:
    """A time of PostgreSQL in ms."""
    return round(at.astimezone(UTC).timestamp() * 1000)


def _ms_or_none(at: datetime | None) -> int | None:
    return None if at is None else ms(at)
