"""The audit log: changes at all services, kept by health; for administrators also sign-ins and changes of users."""

import json
from collections import deque
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, call
from kaiser_common.contract.rpc import GATEWAY
from kaiser_common.contract.schemas.api.devices import AuditEntry, AuditPage, AuditQuery
from kaiser_common.runtime.database import DatabasePool
from pydantic import Field

from kaiser_gateway.api.csv_answers import csv_answer
from kaiser_gateway.http.auth import Guard
from kaiser_gateway.http.problems import CSV_TOO
from kaiser_gateway.store import access_log
from kaiser_gateway.store.access_log import LogEntry, Wanted

_MOST_ID = 2**62
_REFUSED = "_refused"
"""The end of the actions of the gateway's log that were refused."""


class AuditRequest(AuditQuery):
    """Which entries, newest first; the cursor is `next_cursor` of the page before."""

    cursor: str | None = Field(default=None, pattern=r"^[1-9]\d{0,18}(\.[1-9]\d{0,18})?$")  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class ReadPosition:
    """How far a client has read in both logs: entries of lower ids come next. Written as `health.gateway`."""

    changes: int = _MOST_ID
    users: int = _MOST_ID

    @classmethod
    def read(cls, cursor: str | None) -> "ReadPosition":
        changes, _, users = (cursor or "").partition(".")
        return cls(min(int(changes or _MOST_ID), _MOST_ID), min(int(users or _MOST_ID), _MOST_ID))

    def __str__(self) -> str:
        return f"{self.changes}.{self.users}" if self.users < _MOST_ID else str(self.changes)


def router(bus: Bus, pool: DatabasePool, guard: Guard) -> APIRouter:
    """/api/v1/audit."""
    routes = APIRouter(prefix="/api/v1/audit", tags=["audit"])
    operator = guard.needs("operator")

    @routes.get("", response_model=AuditPage, responses=CSV_TOO)
    async def list_audit_entries(
        query: Annotated[AuditRequest, Query()],
        response_format: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
        caller: Caller = operator,
    ) -> AuditPage | Response:
        """Changes that people asked for at any service, newest first; as JSON, or exported as CSV, with the cursor of
        the next page in the header `Kaiser-Next-Cursor`. An administrator sees sign-ins and changes of users too
        (`service` websocket-gateway)."""
        place = ReadPosition.read(query.cursor)
        asked = AuditQuery(**query.model_dump(exclude={"cursor"}), cursor=place.changes)
        page = await call(bus, "health", "audit", asked, AuditPage, caller=caller)
        if caller.role == "admin" and query.service in (None, GATEWAY):
            wanted = Wanted(query.actor, query.action, query.target, query.from_ms, query.to_ms, refused(query))
            found = await access_log.page(pool, place.users, query.limit, wanted)
            page = merge(page, [to_audit_entry(*row) for row in found], place, query.limit)
        if response_format == "json":
            return page
        more = {"Kaiser-Next-Cursor": page.next_cursor} if page.next_cursor else {}
        return await csv_answer(list(AuditEntry.model_fields), map(to_row, page.items), more)

    return routes


def refused(query: AuditRequest) -> bool | None:
    """Of the gateway's log: what was refused, what was done, or (None) both."""
    return None if query.outcome is None else query.outcome == "refused"


def to_audit_entry(number: int, at: int, entry: LogEntry) -> AuditEntry:
    """An entry of the gateway's log as one of the audit log."""
    return AuditEntry(
        id=number,
        at=at,
        actor=entry.actor,
        role="",
        address=entry.address,
        request_id="",
        service=GATEWAY,
        action=entry.action,
        target=entry.target,
        outcome="refused" if entry.action.endswith(_REFUSED) else "done",
        detail=entry.detail,
        before=entry.before,
        after=entry.after,
    )


def merge(changes: AuditPage, users: list[AuditEntry], place: ReadPosition, limit: int) -> AuditPage:
    """At most `limit` entries of both, newest first. `users` has `limit` entries unless it is at its end.

    Health's page may be cut by its size: what lies behind its last entry waits for the next page.
    """
    of_changes, of_users = deque(changes.items), deque(users)
    items: list[AuditEntry] = []
    while len(items) < limit and (of_changes or (of_users and changes.next_cursor is None)):
        take_user = bool(of_users) and (not of_changes or of_users[0].at > of_changes[0].at)
        items.append(of_users.popleft() if take_user else of_changes.popleft())
    after = ReadPosition(
        min([place.changes, *(item.id for item in items if item.service != GATEWAY)]),
        min([place.users, *(item.id for item in items if item.service == GATEWAY)]),
    )
    more = of_changes or of_users or changes.next_cursor is not None or len(users) == limit
    return AuditPage(items=items, next_cursor=str(after) if more else None)


def to_row(entry: AuditEntry) -> list[Any]:
    """An entry as a row of CSV; objects as JSON in their column."""
    return [json.dumps(value) if isinstance(value, dict) else value for value in entry.model_dump().values()]
