"""The status of the system, requested from all processes, and when each of them started."""

from typing import Annotated

from fastapi import APIRouter, Query
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.api.system import ServiceStarts, SystemStatus
from kaiser_common.contract.schemas.api.times import Milliseconds
from kaiser_common.contract.times import time_of
from kaiser_common.runtime.database import DatabasePool

from kaiser_gateway.api.system_status import Status, without_reasons
from kaiser_gateway.domain.tokens import Identity
from kaiser_gateway.http.auth import Guard
from kaiser_gateway.store import starts


def router(status: Status, pool: DatabasePool, guard: Guard) -> APIRouter:
    """/api/v1/system/status and /api/v1/system/starts."""
    routes = APIRouter(prefix="/api/v1/system", tags=["system"])
    known = guard.knows()
    viewer = guard.needs("viewer")

    @routes.get("/status")
    async def read_system_status(identity: Identity | None = known) -> SystemStatus:
        """Every service: up, version, lag, last error; within 2 s even if some are down. Reasons only with a token."""
        found = await status.current()
        return found if identity is not None else without_reasons(found)

    @routes.get("/starts")
    async def list_service_starts(
        from_: Annotated[Milliseconds, Query(alias="from", description="ms since 1970")],
        to: Annotated[Milliseconds, Query(description="ms since 1970, not included")],
        limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
        caller: Caller = viewer,
    ) -> ServiceStarts:
        """When processes of Kaiser started in a span of time: its deployments and restarts. Kept for a year, at most
        10,000."""
        if from_ >= to:
            raise RpcError(422, Code.VALUE_OUT_OF_RANGE, "from must be before to", "from")
        found = await starts.between(pool, time_of(from_), time_of(to), limit)
        return ServiceStarts(items=found[-limit:], left_out=len(found) > limit)

    return routes
