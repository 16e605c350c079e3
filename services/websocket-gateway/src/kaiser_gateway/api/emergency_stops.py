"""Emergency stops, answered by actuator."""

from typing import Annotated

from fastapi import APIRouter, Query
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, call
from kaiser_common.contract.schemas.api.actuators import ClearEmergency, Emergencies, EmergenciesQuery, EmergencyStop

from kaiser_gateway.api.paths import ShortText
from kaiser_gateway.http.auth import Guard

_CLEAR_TIMEOUT_S = 25.0
"""A clear waits up to 5 s until a device takes it and 15 s for its confirmation."""


def router(bus: Bus, stops: Bus, guard: Guard) -> APIRouter:
    """/api/v1/actuators, as far as it stops them. stops: the connection for emergency stops."""
    routes = APIRouter(prefix="/api/v1/actuators", tags=["actuators"])
    viewer, operator = guard.needs("viewer"), guard.needs("operator")
    urgent = guard.needs("operator", limited=False)

    @routes.get("/emergencies")
    async def list_emergency_stops(
        esp_id: ShortText = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
        caller: Caller = viewer,
    ) -> Emergencies:
        """The emergency stops in force: of everything first, then the oldest; `total` counts all of them."""
        query = EmergenciesQuery(esp_id=esp_id, limit=limit, cursor=cursor)
        return await call(bus, "actuator", "emergencies", query, Emergencies, caller=caller)

    @routes.post("/emergency_stop")
    async def raise_emergency_stop(body: EmergencyStop, caller: Caller = urgent) -> Emergencies:
        """Stop one actuator, one device, or (no esp_id) everything, now; never held back by the rate limit.

        Commands are refused with 423 until it is cleared.
        """
        return await call(stops, "actuator", "emergency_stop", body, Emergencies, caller=caller)

    @routes.post("/clear_emergency")
    async def clear_emergency_stop(body: ClearEmergency, caller: Caller = operator) -> Emergencies:
        """Allow commands again; this switches nothing on. One actuator is free immediately. A device must confirm, at
        the earliest 5 s after the stop: the answer waits for it. 409 if another stop was raised since (`ids`), 504
        (5403) if the device did not confirm: its stop stays in force. The stop of everything needs `{"all": true}`.
        """
        return await call(
            bus, "actuator", "clear_emergency", body, Emergencies, caller=caller, timeout_s=_CLEAR_TIMEOUT_S
        )

    return routes
