"""Commands to actuators, answered by actuator."""

from typing import Annotated

from fastapi import APIRouter, Path
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, call
from kaiser_common.contract.schemas.api.actuators import CommandId, CommandStatus

from kaiser_gateway.http.auth import Guard


def router(bus: Bus, guard: Guard) -> APIRouter:
    """/api/v1/commands."""
    routes = APIRouter(prefix="/api/v1/commands", tags=["actuators"])
    viewer = guard.needs("viewer")

    @routes.get("/{command_id}")
    async def read_command(
        command_id: Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=["7f3b2c51"])],
        caller: Caller = viewer,
    ) -> CommandStatus:
        """A command and its state."""
        request = CommandId(command_id=command_id)
        return await call(bus, "actuator", "read_command", request, CommandStatus, caller=caller)

    return routes
