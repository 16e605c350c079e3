"""The status of the system, requested from all processes."""

from fastapi import APIRouter
from kaiser_common.contract.schemas.api.system import SystemStatus

from kaiser_gateway.api.system_status import Status, without_reasons
from kaiser_gateway.domain.tokens import Identity
from kaiser_gateway.http.auth import Guard


def router(status: Status, guard: Guard) -> APIRouter:
    """/api/v1/system/status."""
    routes = APIRouter(prefix="/api/v1/system", tags=["system"])
    known = guard.knows()

    @routes.get("/status")
    async def read_system_status(identity: Identity | None = known) -> SystemStatus:
        """Every service: up, version, lag, last error; within 2 s even if some are down. Reasons only with a token."""
        found = await status.current()
        return found if identity is not None else without_reasons(found)

    return routes
