"""The audit log, answered by health."""

import json
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from kaiser_common.bus import Bus
from kaiser_common.rpc import Caller, call
from kaiser_common.schemas.api.devices import AuditEntry, AuditPage, AuditQuery

from kaiser_gateway import csv_text
from kaiser_gateway.auth import Guard
from kaiser_gateway.problems import CSV_TOO


def router(bus: Bus, guard: Guard) -> APIRouter:
    """/api/v1/audit."""
    routes = APIRouter(prefix="/api/v1/audit", tags=["audit"])
    operator = guard.needs("operator")

    @routes.get("", response_model=AuditPage, responses=CSV_TOO)
    async def list_entries(
        query: Annotated[AuditQuery, Query()],
        response_format: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
        caller: Caller = operator,
    ) -> AuditPage | Response:
        """Who did what, newest first; as JSON, or to export as CSV."""
        page = await call(bus, "health", "audit", query, AuditPage, caller=caller)
        return page if response_format == "json" else Response(to_csv(page), media_type="text/csv")

    return routes


def to_csv(page: AuditPage) -> str:
    """The page as CSV with a header; objects as JSON in their column."""
    return csv_text.to_csv(
        list(AuditEntry.model_fields),
        (
            [json.dumps(value) if isinstance(value, dict) else value for value in entry.model_dump().values()]
            for entry in page.items
        ),
    )
