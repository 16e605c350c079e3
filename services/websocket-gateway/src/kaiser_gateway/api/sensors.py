"""Sensors: latest readings and history, answered by sensor."""

from typing import Annotated

from fastapi import APIRouter, Query
from kaiser_common.bus import Bus
from kaiser_common.rpc import Caller, call
from kaiser_common.schemas.api.devices import ESP_ID
from kaiser_common.schemas.api.sensors import LatestQuery, ReadingsPage, ReadingsQuery

from kaiser_gateway.auth import Guard


def router(bus: Bus, guard: Guard) -> APIRouter:
    """/api/v1/sensors."""
    routes = APIRouter(prefix="/api/v1/sensors", tags=["sensors"])
    viewer = guard.needs("viewer")

    @routes.get("/latest")
    async def latest(
        esp_id: Annotated[str | None, Query(pattern=ESP_ID)] = None, caller: Caller = viewer
    ) -> ReadingsPage:
        """The newest reading of each sensor, of one device or of all."""
        return await call(bus, "sensor", "latest", LatestQuery(esp_id=esp_id), ReadingsPage, caller=caller)

    @routes.get("/data")
    async def data(
        esp_id: Annotated[str, Query(pattern=ESP_ID)],
        gpio: Annotated[int | None, Query(ge=0, le=48)] = None,
        sensor_type: Annotated[str | None, Query(max_length=64, pattern=r"^[^\x00]*$")] = None,
        from_: Annotated[int | None, Query(alias="from", description="ms since 1970")] = None,
        to: Annotated[int | None, Query(description="ms since 1970, not included")] = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
        caller: Caller = viewer,
    ) -> ReadingsPage:
        """Readings of a device, oldest first; the last day when no time is given."""
        query = ReadingsQuery(
            esp_id=esp_id,
            gpio=gpio,
            sensor_type=sensor_type,
            from_ms=from_,
            to_ms=to,
            limit=limit,
            cursor=cursor,
        )
        return await call(bus, "sensor", "data", query, ReadingsPage, caller=caller)

    return routes
