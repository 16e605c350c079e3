"""The audit log: who did what to which device, and how it was before; written in the transaction of the change."""

from typing import Any

from kaiser_common.bus.rpc import Caller
from kaiser_common.contract.schemas.api.devices import AuditEntry, AuditQuery
from kaiser_common.runtime.statements import equal, execute, fetch_all, from_ms, to_ms
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from kaiser_health.store import Connection
from kaiser_health.store.tables import audit_log

_c = audit_log.c


async def note(
    connection: Connection,
    caller: Caller,
    action: str,
    target: str,
    *,
    before: BaseModel | dict[str, Any] | None = None,
    after: BaseModel | dict[str, Any] | None = None,
) -> None:
    """Add an entry."""
    entry = insert(audit_log).values(
        actor=caller.user,
        role=caller.role,
        request_id=caller.request_id,
        action=action,
        target=target,
        before=_json(before),
        after=_json(after),
    )
    await execute(connection, entry.inline())


async def page(connection: Connection, query: AuditQuery) -> list[AuditEntry]:
    """Entries before the cursor, newest first."""
    at = to_ms(_c.at).label("at")
    statement = select(_c.id, at, _c.actor, _c.role, _c.request_id, _c.action, _c.target, _c.before, _c.after)
    statement = statement.where(*equal({_c.actor: query.actor, _c.action: query.action, _c.target: query.target}))
    if query.cursor is not None:
        statement = statement.where(_c.id < query.cursor)
    if query.from_ms is not None:
        statement = statement.where(_c.at >= from_ms(query.from_ms))
    if query.to_ms is not None:
        statement = statement.where(_c.at < from_ms(query.to_ms))
    return await fetch_all(connection, class_row(AuditEntry), statement.order_by(_c.id.desc()).limit(query.limit))


def _json(value: BaseModel | dict[str, Any] | None) -> Jsonb | None:
    if value is None:
        return None
    return Jsonb(value.model_dump(mode="json") if isinstance(value, BaseModel) else value)
