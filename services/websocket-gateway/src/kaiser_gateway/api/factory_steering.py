"""Steering of the factory and its journal, answered by factory; its environment, answered by ingest."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, call
from kaiser_common.contract.schemas.api.factory import (
    SERIAL,
    CommandsPage,
    CommandsQuery,
    EnvironmentStatus,
    FactoryCommandId,
    SteerAnswer,
    SteerPlan,
    SteerRequest,
)
from kaiser_common.contract.schemas.api.system import SwitchProfile
from kaiser_common.contract.schemas.factory import FactoryCommandEntry

from kaiser_gateway.api.factory_environment import environment_of, switch_to
from kaiser_gateway.api.paths import IdempotencyKey
from kaiser_gateway.http.auth import Guard

CommandPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=["9f1b2c3d4e5f60718293a4b5c6d7e8f9"])]
Steering = Annotated[
    dict[str, Any],
    Body(
        description="What is to be done: `do` (navigate, sequence, command, order, cancel, reset, park, charge, pair, "
        "instant, camera, sensor_period, publish) and its fields; see docs/factory.md",
        examples=[{"do": "order", "type": "WHITE"}, {"do": "navigate", "route": "DPS-HBW"}],
    ),
]


def router(bus: Bus, guard: Guard) -> APIRouter:
    """/api/v1/factory: commands, steering and environment."""
    routes = APIRouter(prefix="/api/v1/factory", tags=["factory"])
    viewer, operator, admin = guard.needs("viewer"), guard.needs("operator"), guard.needs("admin")

    @routes.get("/commands")
    async def list_factory_commands(
        state: Annotated[str | None, Query(pattern=r"^[a-z_]{1,16}$")] = None,
        serial: Annotated[str | None, Query(pattern=SERIAL)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[str | None, Query(max_length=300)] = None,
        caller: Caller = viewer,
    ) -> CommandsPage:
        """The journal of what Kaiser sent to the factory, newest first."""
        query = CommandsQuery(state=state, serial=serial, limit=limit, cursor=cursor)
        return await call(bus, "factory", "commands", query, CommandsPage, caller=caller)

    @routes.get("/commands/{command_id}")
    async def read_factory_command(command_id: CommandPath, caller: Caller = viewer) -> FactoryCommandEntry:
        """One command and its state."""
        request = FactoryCommandId(command_id=command_id)
        return await call(bus, "factory", "command", request, FactoryCommandEntry, caller=caller)

    @routes.post("/steering/preview")
    async def preview_steering(body: Steering, caller: Caller = operator) -> SteerPlan:
        """The messages that a request would send, and each check up to the first that fails. Nothing is sent."""
        return await call(bus, "factory", "preview", SteerRequest(request=body), SteerPlan, caller=caller)

    @routes.post("/steering", status_code=202)
    async def steer_factory(
        body: Steering, idempotency_key: IdempotencyKey = None, caller: Caller = operator
    ) -> SteerAnswer:
        """Send a request's messages; the journal and factory_command events report the result of each.

        Checked in this order: environment, role, request (422), serial (404), online (409, 5007), command (422, 5204),
        order (409, 5405), state (409, 5402), update id (409, 5208), rate (429, 5404).
        """
        request = SteerRequest(request=body, idempotency_key=idempotency_key)
        return await call(bus, "factory", "steer", request, SteerAnswer, caller=caller)

    @routes.get("/environment")
    async def read_environment(caller: Caller = viewer) -> EnvironmentStatus:
        """The environment in force and the connection to its broker."""
        return await environment_of(bus, caller)

    @routes.post("/environment")
    async def switch_environment(body: SwitchProfile, caller: Caller = admin) -> EnvironmentStatus:
        """Switch to another environment; 502 if its broker does not come up: the previous one is in force again."""
        return await switch_to(bus, body, caller)

    return routes
