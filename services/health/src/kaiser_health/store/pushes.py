"""The SQL of pushes: what was sent to devices and awaits their answer."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from kaiser_common.bus.rpc import Caller
from kaiser_common.runtime.statements import execute, fetch_one
from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb
from sqlalchemy import select

from kaiser_health.domain.pushes import Push, sets_token
from kaiser_health.store import Connection, audit, registry
from kaiser_health.store.tables import pushes

_DEVICE = Caller(user="device", role="device", request_id="")
_SELECT = """
SELECT push_id, esp_id, kaiser_id, kind, payload, state, tries, next_try_at, created_at, message, failures, ended_at,
       answers
FROM health.pushes
"""


async def add(connection: Connection, push: Push) -> None:
    """Keep a new push."""
    await execute(
        connection,
        pushes.insert().values(
            push_id=push.push_id,
            esp_id=push.esp_id,
            kaiser_id=push.kaiser_id,
            kind=push.kind,
            payload=Jsonb(push.payload),
            state=push.state,
            tries=push.tries,
            next_try_at=push.next_try_at,
            created_at=push.created_at,
        ),
    )


async def pending_of(connection: Connection, esp_ids: Sequence[str]) -> list[Push]:
    """The pushes of devices that await an answer, locked."""
    async with connection.cursor(row_factory=class_row(Push)) as cursor:
        await cursor.execute(
            _SELECT + "WHERE state = 'pending' AND esp_id = ANY(%s) ORDER BY push_id FOR UPDATE", (list(esp_ids),)
        )
        return await cursor.fetchall()


async def concerned(connection: Connection, esp_ids: Sequence[str], push_ids: Sequence[str]) -> list[Push]:
    """As `pending_of`, plus the pushes that are named by their ids, whatever their state."""
    async with connection.cursor(row_factory=class_row(Push)) as cursor:
        await cursor.execute(
            _SELECT + "WHERE (state = 'pending' AND esp_id = ANY(%s)) OR push_id = ANY(%s) ORDER BY push_id FOR UPDATE",
            (list(esp_ids), list(push_ids)),
        )
        return await cursor.fetchall()


async def last_command(connection: Connection, esp_id: str, command: str, since: datetime) -> str | None:
    """The push_id of the newest such command to a device since then, whatever its state."""
    c = pushes.c
    statement = select(c.push_id).where(
        c.esp_id == esp_id,
        c.kind == "command",
        c.payload["command"].astext == command,
        c.created_at >= since,
    )
    return await fetch_one(connection, scalar_row, statement.order_by(c.created_at.desc()).limit(1))


async def overdue(connection: Connection, now: datetime, limit: int = 500) -> list[Push]:
    """Pushes whose answer is late, locked; another replica's are left to it."""
    async with connection.cursor(row_factory=class_row(Push)) as cursor:
        await cursor.execute(
            _SELECT + "WHERE state = 'pending' AND next_try_at <= %s ORDER BY push_id LIMIT %s FOR UPDATE SKIP LOCKED",
            (now, limit),
        )
        return await cursor.fetchall()


async def update(connection: Connection, push: Push) -> None:
    """Store the state of a push."""
    changed = pushes.update().values(
        state=push.state,
        tries=push.tries,
        next_try_at=push.next_try_at,
        message=push.message,
        failures=Jsonb(list(push.failures)),
        ended_at=push.ended_at,
        answers=Jsonb(dict(push.answers)),
        payload=Jsonb(_without_secrets(push)),
    )
    await execute(connection, changed.where(pushes.c.push_id == push.push_id))


async def end(connection: Connection, push: Push) -> bool:
    """Store how a push ended, and what follows from it in the registry and in the audit log.

    True: the device's record has changed, so the bucket has to follow.
    """
    await update(connection, push)
    takes_token = sets_token(push) and push.state == "applied"
    if takes_token:
        await registry.set_token(connection, push.esp_id, str(push.payload["params"].get("token", "")))
    takes_zone = push.kind == "zone" and push.state == "applied"
    if takes_zone:
        zone_id, name = push.payload.get("zone_id") or None, push.payload.get("zone_name")
        await registry.set_zone(connection, push.esp_id, zone_id, name)
    if push.kind == "config":
        after = {"state": push.state, "message": push.message, "failures": list(push.failures)}
        await audit.note(connection, _DEVICE, "config_response", push.esp_id, after=after)
    return takes_token or takes_zone


def _without_secrets(push: Push) -> dict[str, Any]:
    """The stored part of a push: its token is kept only as long as the push may be sent again."""
    if push.state == "pending" or not sets_token(push):
        return push.payload
    return {**push.payload, "params": {}}
