"""Limits of sensors, answered by alarm."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.alarms import (
    LimitsBody,
    LimitsKey,
    LimitsPage,
    LimitsQuery,
    PutLimits,
    SensorLimits,
)
from kaiser_common.contract.schemas.api.devices import ESP_ID
from kaiser_common.contract.schemas.api.sensors import SENSOR_TYPE, Address

from kaiser_gateway.api.paths import EspId, Gpio
from kaiser_gateway.http.auth import Guard

TypePath = Annotated[str, Path(pattern=SENSOR_TYPE, max_length=50, examples=["ds18b20"])]
AddressQuery = Annotated[Address, Query(description="of a sensor that shares its pin with others of its type")]


def router(bus: Bus, guard: Guard) -> APIRouter:
    """/api/v1/alarms/limits."""
    routes = APIRouter(prefix="/api/v1/alarms/limits", tags=["alarms"])
    viewer, operator = guard.needs("viewer"), guard.needs("operator")

    @routes.get("")
    async def list_limits(
        esp_id: Annotated[str | None, Query(pattern=ESP_ID)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[str | None, Query(max_length=300)] = None,
        caller: Caller = viewer,
    ) -> LimitsPage:
        """Limits by sensor."""
        query = LimitsQuery(esp_id=esp_id, limit=limit, cursor=cursor)
        return await call(bus, "alarm", "limits", query, LimitsPage, caller=caller)

    @routes.get("/{esp_id}/{gpio}/{sensor_type}")
    async def read_limits(
        esp_id: EspId, gpio: Gpio, sensor_type: TypePath, address: AddressQuery = "", caller: Caller = viewer
    ) -> SensorLimits:
        """The limits of a sensor."""
        key = LimitsKey(esp_id=esp_id, gpio=gpio, sensor_type=sensor_type, address=address)
        return await call(bus, "alarm", "read_limits", key, SensorLimits, caller=caller)

    @routes.put("/{esp_id}/{gpio}/{sensor_type}")
    async def put_limits(
        esp_id: EspId,
        gpio: Gpio,
        sensor_type: TypePath,
        body: LimitsBody,
        address: AddressQuery = "",
        caller: Caller = operator,
    ) -> SensorLimits:
        """Set the limits of a sensor as a whole. 422 names the fields that contradict each other."""
        key = LimitsKey(esp_id=esp_id, gpio=gpio, sensor_type=sensor_type, address=address)
        return await call(bus, "alarm", "put_limits", PutLimits(sensor=key, limits=body), SensorLimits, caller=caller)

    @routes.delete("/{esp_id}/{gpio}/{sensor_type}", status_code=204)
    async def delete_limits(
        esp_id: EspId, gpio: Gpio, sensor_type: TypePath, address: AddressQuery = "", caller: Caller = operator
    ) -> None:
        """Remove the limits of a sensor; an alarm that they raised is cleared."""
        key = LimitsKey(esp_id=esp_id, gpio=gpio, sensor_type=sensor_type, address=address)
        await call(bus, "alarm", "delete_limits", key, Nothing, caller=caller)

    return routes
