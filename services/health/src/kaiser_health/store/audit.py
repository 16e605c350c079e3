"""The audit log: who changed what, from where, and the values before and after.

Health's own entries are written in the transaction of the change; those of other services arrive on the stream AUDIT.
"""

from collections.abc import Iterable
from typing import Any

from kaiser_common.bus.rpc import Caller
from kaiser_common.contract.schemas.api.devices import AuditEntry, AuditQuery
from kaiser_common.contract.schemas.audit import AuditRecord
from kaiser_common.contract.times import time_of
from kaiser_common.runtime.statements import equal, execute, execute_many, fetch_all, from_ms, to_ms
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from pydantic import BaseModel
from sqlalchemy import bindparam, select
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
        address=caller.address,
        action=action,
        target=target,
        before=_json(before),
        after=_json(after),
    )
    await execute(connection, entry.inline())


async def store(connection: Connection, records: Iterable[AuditRecord]) -> None:
    """Store records of changes. Of one key the outcome stays, whichever record comes first or again."""
    names = (*AuditRecord.model_fields,)
    add = insert(audit_log).inline().values({name: bindparam(name) for name in names})
    ended = {name: add.excluded[name] for name in ("outcome", "detail", "target", "before", "after")}
    upsert = add.on_conflict_do_update(index_elements=[_c.key], set_=ended, where=_c.outcome == "begun")
    await execute_many(connection, upsert, [_row(record) for record in records])


async def page(connection: Connection, query: AuditQuery) -> list[AuditEntry]:
    """Entries before the cursor, newest first."""
    at = to_ms(_c.at).label("at")
    own = (_c.actor, _c.role, _c.address, _c.request_id, _c.service, _c.action, _c.target)
    statement = select(_c.id, at, *own, _c.outcome, _c.detail, _c.before, _c.after)
    wanted = {_c.actor: query.actor, _c.service: query.service, _c.action: query.action, _c.target: query.target}
    statement = statement.where(*equal({**wanted, _c.outcome: query.outcome}))
    if query.cursor is not None:
        statement = statement.where(_c.id < query.cursor)
    if query.from_ms is not None:
        statement = statement.where(_c.at >= from_ms(query.from_ms))
    if query.to_ms is not None:
        statement = statement.where(_c.at < from_ms(query.to_ms))
    return await fetch_all(connection, class_row(AuditEntry), statement.order_by(_c.id.desc()).limit(query.limit))


def _row(record: AuditRecord) -> dict[str, Any]:
    given = record.model_dump(exclude={"at", "before", "after"})
    return {**given, "at": time_of(record.at), "before": _json(record.before), "after": _json(record.after)}


def _json(value: BaseModel | dict[str, Any] | None) -> Jsonb | None:
    if value is None:
        return None
    return Jsonb(value.model_dump(mode="json") if isinstance(value, BaseModel) else value)
