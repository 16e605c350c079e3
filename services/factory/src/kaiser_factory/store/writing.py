"""Writes rows of messages in the caller's transaction; writing a message twice changes nothing."""

from collections.abc import Iterable
from typing import Any

from kaiser_common.contract.times import time_of
from kaiser_factory_dialect.ccu_messages import FINAL_ORDERS
from kaiser_factory_dialect.timeline import order_row

from kaiser_factory.domain.rows import Past, Rows, record_of
from kaiser_factory.store import Connection

_PICTURES_KEPT = 200


async def write(connection: Connection, rows: Rows, past: Past) -> None:
    """Write what a batch of messages adds."""
    async with connection.cursor() as cursor:
        if rows.transitions:
            await cursor.executemany(
                "INSERT INTO factory.transitions"
                " (time, env, serial, what, value, action_id, command, result, length_mm)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                rows.transitions,
            )
        if rows.steps:
            await cursor.executemany(
                """
                INSERT INTO factory.steps
                    (env, action_id, serial, agv, command, running_at, finished_at, result, changed_at)
                VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
                ON CONFLICT (env, action_id) DO UPDATE SET
                    command = coalesce(excluded.command, steps.command),
                    running_at = least(steps.running_at, excluded.running_at),
                    finished_at = least(steps.finished_at, excluded.finished_at),
                    result = coalesce(excluded.result, steps.result),
                    changed_at = greatest(steps.changed_at, excluded.changed_at)
                """,
                [
                    (
                        rows.env,
                        action_id,
                        step.serial,
                        step.agv,
                        step.command,
                        step.running_at,
                        step.finished_at,
                        step.result,
                        step.at,
                    )
                    for action_id, step in sorted(rows.steps.items())
                ],
            )
        if rows.orders:
            await cursor.executemany(_PUT_ORDER, list(_orders(rows, past)))
        if rows.quality:
            await cursor.executemany(
                "INSERT INTO factory.quality (env, time, txt, num, result, classification, mime, bytes, picture)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (env, txt, time) DO NOTHING",
                [
                    (
                        rows.env,
                        time_of(one.ts),
                        one.serial or "",
                        one.num,
                        one.result,
                        one.classification,
                        one.mime,
                        one.bytes,
                        one.picture,
                    )
                    for one in rows.quality
                ],
            )
            await cursor.execute(
                """
                UPDATE factory.quality SET picture = NULL
                WHERE env = %s AND picture IS NOT NULL AND quality_id NOT IN (
                    SELECT quality_id FROM factory.quality WHERE env = %s ORDER BY quality_id DESC LIMIT %s)
                """,
                (rows.env, rows.env, _PICTURES_KEPT),
            )
    for at, items in rows.stock:
        await _write_stock(connection, rows.env, at, items)
    if rows.reset_at is not None:
        await connection.execute(
            "UPDATE factory.orders SET state = 'CANCELLED', changed_at = %s"
            " WHERE env = %s AND state <> ALL(%s) AND order_id <> ALL(%s)",
            (rows.reset_at, rows.env, sorted(FINAL_ORDERS), sorted(rows.orders)),
        )


_PUT_ORDER = """
    INSERT INTO factory.orders (env, order_id, type, order_type, state, workpiece_id, request_id, started_at,
        stopped_at, lead_ms, first_seen_at, changed_at, skew_ms, record)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (env, order_id) DO UPDATE SET
        type = excluded.type, order_type = excluded.order_type, state = excluded.state,
        workpiece_id = excluded.workpiece_id, request_id = excluded.request_id, started_at = excluded.started_at,
        stopped_at = excluded.stopped_at, lead_ms = excluded.lead_ms, changed_at = excluded.changed_at,
        skew_ms = excluded.skew_ms, record = excluded.record
    WHERE orders.state <> ALL(ARRAY['FINISHED', 'CANCELLED', 'ERROR'])
        OR excluded.state = ANY(ARRAY['FINISHED', 'CANCELLED', 'ERROR'])
"""


def _orders(rows: Rows, past: Past) -> Iterable[tuple[Any, ...]]:
    skew = past.factory.clocks.skew_ms("ccu")
    for order_id, record in sorted(rows.orders.items()):
        found = order_row(record, record.first_seen)
        at = rows.changed_at[order_id]
        started = None if found.started is None else time_of(found.started + (skew or 0))
        stopped = None if found.stopped is None else time_of(found.stopped + (skew or 0))
        yield (
            rows.env,
            order_id,
            found.type,
            found.order_type,
            found.state,
            found.workpiece_id,
            found.request_id,
            started,
            stopped,
            found.lead_ms,
            time_of(record.first_seen),
            at,
            skew,
            record_of(record),
        )


async def _write_stock(connection: Connection, env: str, at: Any, items: Iterable[Any]) -> None:
    """Replace the bays of the stores that a message lists; what is another is a change."""
    listed = [(item.hbw or "", item.location, item.type, item.id, item.state) for item in items]
    async with connection.cursor() as cursor:
        await cursor.executemany(
            """
            INSERT INTO factory.stock_changes (env, hbw, location, time, type, workpiece_id, state)
            SELECT %(env)s, %(hbw)s, %(location)s, %(at)s, %(type)s::text, %(id)s::text, %(state)s::text
            WHERE NOT EXISTS (
                SELECT FROM factory.stock WHERE env = %(env)s AND hbw = %(hbw)s AND location = %(location)s
                AND (type, workpiece_id, state)
                    IS NOT DISTINCT FROM (%(type)s::text, %(id)s::text, %(state)s::text))
            ON CONFLICT DO NOTHING
            """,
            [_stock(env, at, each) for each in listed],
        )
        await cursor.executemany(
            """
            INSERT INTO factory.stock (env, hbw, location, type, workpiece_id, state, changed_at)
            VALUES (%(env)s, %(hbw)s, %(location)s, %(type)s, %(id)s, %(state)s, %(at)s)
            ON CONFLICT (env, hbw, location) DO UPDATE SET type = excluded.type,
                workpiece_id = excluded.workpiece_id, state = excluded.state, changed_at = excluded.changed_at
            WHERE stock.changed_at <= excluded.changed_at
            """,
            [_stock(env, at, each) for each in listed],
        )


def _stock(env: str, at: Any, bay: tuple[str, str, str | None, str | None, str | None]) -> dict[str, Any]:
    hbw, location, kind, workpiece_id, state = bay
    return {"env": env, "at": at, "hbw": hbw, "location": location, "type": kind, "id": workpiece_id, "state": state}
