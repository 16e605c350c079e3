"""The audit log: who did what to which device, and how it was before; written in the transaction of the change."""

from typing import Any

from kaiser_common.bus.rpc import Caller
from kaiser_common.contract.schemas.api.devices import AuditEntry, AuditQuery
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from pydantic import BaseModel

from kaiser_health.store import Connection


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
    await connection.execute(
        "INSERT INTO health.audit_log (actor, role, request_id, action, target, before, after)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (caller.user, caller.role, caller.request_id, action, target, _json(before), _json(after)),
    )


async def page(connection: Connection, query: AuditQuery) -> list[AuditEntry]:
    """Entries before the cursor, newest first."""
    async with connection.cursor(row_factory=class_row(AuditEntry)) as cursor:
        await cursor.execute(
            """
            SELECT id, (extract(epoch FROM at) * 1000)::bigint AS at, actor, role, request_id, action, target,
                   before, after
            FROM health.audit_log
            WHERE (%(cursor)s::bigint IS NULL OR id < %(cursor)s)
              AND (%(actor)s::text IS NULL OR actor = %(actor)s)
              AND (%(action)s::text IS NULL OR action = %(action)s)
              AND (%(target)s::text IS NULL OR target = %(target)s)
              AND (%(from_ms)s::bigint IS NULL OR at >= to_timestamp(%(from_ms)s / 1000.0))
              AND (%(to_ms)s::bigint IS NULL OR at < to_timestamp(%(to_ms)s / 1000.0))
            ORDER BY id DESC LIMIT %(limit)s
            """,
            query.model_dump(),
        )
        return await cursor.fetchall()


def _json(value: BaseModel | dict[str, Any] | None) -> Jsonb | None:
    if value is None:
        return None
    return Jsonb(value.model_dump(mode="json") if isinstance(value, BaseModel) else value)
