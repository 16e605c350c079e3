"""Actuators and commands to them, answered by actuator."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.actuators import (
    ACTUATOR_TYPE,
    Actuator,
    ActuatorBody,
    ActuatorKey,
    ActuatorPatch,
    ActuatorSettings,
    ActuatorsPage,
    ActuatorsQuery,
    ActuatorsShown,
    CommandRequest,
    CommandStatus,
    HistoryPage,
    HistoryQuery,
    PatchActuator,
    PutActuator,
    SendCommand,
)
from kaiser_common.contract.schemas.api.devices import ESP_ID
from kaiser_common.contract.schemas.api.times import Milliseconds

from kaiser_gateway.api.paths import EspId, Gpio, IdempotencyKey, ShortText
from kaiser_gateway.http.auth import Guard


def router(bus: Bus, guard: Guard) -> APIRouter:
    """/api/v1/actuators."""
    routes = APIRouter(prefix="/api/v1/actuators", tags=["actuators"])
    viewer, operator = guard.needs("viewer"), guard.needs("operator")

    @routes.get("")
    async def list_actuators(
        esp_id: Annotated[str | None, Query(pattern=ESP_ID)] = None,
        actuator_type: Annotated[str | None, Query(pattern=ACTUATOR_TYPE)] = None,
        zone_id: ShortText = None,
        state: Annotated[ActuatorsShown | None, Query(description="failed: with an error in the last report")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
        caller: Caller = viewer,
    ) -> ActuatorsPage:
        """Actuators by device and gpio, each with its last known state. With a type, a zone or a state a page may have
        fewer items than the limit and a cursor still."""
        query = ActuatorsQuery(
            esp_id=esp_id, actuator_type=actuator_type, zone_id=zone_id, state=state, limit=limit, cursor=cursor
        )
        return await call(bus, "actuator", "list", query, ActuatorsPage, caller=caller)

    @routes.get("/{esp_id}/{gpio}")
    async def read_actuator(esp_id: EspId, gpio: Gpio, caller: Caller = viewer) -> Actuator:
        """One actuator."""
        return await call(bus, "actuator", "read", ActuatorKey(esp_id=esp_id, gpio=gpio), Actuator, caller=caller)

    @routes.put("/{esp_id}/{gpio}")
    async def configure_actuator(esp_id: EspId, gpio: Gpio, body: ActuatorBody, caller: Caller = operator) -> Actuator:
        """Register an actuator, or change it."""
        settings = ActuatorSettings.model_validate(body.model_dump())
        request = PutActuator(esp_id=esp_id, gpio=gpio, settings=settings)
        return await call(bus, "actuator", "put", request, Actuator, caller=caller)

    @routes.patch("/{esp_id}/{gpio}")
    async def change_actuator(esp_id: EspId, gpio: Gpio, body: ActuatorPatch, caller: Caller = operator) -> Actuator:
        """Change some settings of an actuator; the others stay as they are. 404 for one that is not set up."""
        request = PatchActuator(esp_id=esp_id, gpio=gpio, patch=body)
        return await call(bus, "actuator", "patch", request, Actuator, caller=caller)

    @routes.delete("/{esp_id}/{gpio}", status_code=204)
    async def delete_actuator(esp_id: EspId, gpio: Gpio, caller: Caller = operator) -> None:
        """Forget an actuator's settings; its history stays."""
        await call(bus, "actuator", "delete", ActuatorKey(esp_id=esp_id, gpio=gpio), Nothing, caller=caller)

    @routes.get("/{esp_id}/{gpio}/history")
    async def list_actuator_history(
        esp_id: EspId,
        gpio: Gpio,
        from_: Annotated[Milliseconds | None, Query(alias="from", description="ms since 1970")] = None,
        to: Annotated[Milliseconds | None, Query(description="ms since 1970, not included")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
        caller: Caller = viewer,
    ) -> HistoryPage:
        """States, commands, responses, alerts and stops, newest first; of the last day when no time is given."""
        query = HistoryQuery(esp_id=esp_id, gpio=gpio, from_ms=from_, to_ms=to, limit=limit, cursor=cursor)
        return await call(bus, "actuator", "history", query, HistoryPage, caller=caller)

    @routes.post("/{esp_id}/{gpio}/command", status_code=202)
    async def send_command(
        esp_id: EspId,
        gpio: Gpio,
        body: CommandRequest,
        response: Response,
        idempotency_key: IdempotencyKey = None,
        caller: Caller = operator,
    ) -> CommandStatus:
        """Send a command; GET /api/v1/commands/{command_id} and an actuator_response event report its result. 409
        (5007) if the device is offline and `queue` is not set, 423 under an emergency stop, 429 (5404) if there are too
        many commands. OFF passes each of these: `state_reason` says if it was sent to a device that is offline.
        """
        request = SendCommand(esp_id=esp_id, gpio=gpio, request=body, idempotency_key=idempotency_key)
        status = await call(bus, "actuator", "command", request, CommandStatus, caller=caller)
        response.headers["Location"] = f"/api/v1/commands/{status.command_id}"
        return status

    return routes
