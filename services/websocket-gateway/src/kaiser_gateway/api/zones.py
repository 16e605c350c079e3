"""Zones, answered by health; `POST /api/v1/esp/devices/{esp_id}/zone` puts a device into one."""

from typing import Annotated

from fastapi import APIRouter, Path
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.zones import (
    ZONE_ID,
    CreateZone,
    PatchZone,
    Zone,
    ZoneKey,
    ZonePatch,
    ZonesPage,
)

from kaiser_gateway.api.expected import Expected
from kaiser_gateway.http.auth import Guard

ZonePath = Annotated[str, Path(pattern=ZONE_ID, examples=["east"])]


def router(bus: Bus, guard: Guard) -> APIRouter:
    """/api/v1/zones."""
    routes = APIRouter(prefix="/api/v1/zones", tags=["zones"])
    viewer, operator = guard.needs("viewer"), guard.needs("operator")

    @routes.get("")
    async def list_zones(caller: Caller = viewer) -> ZonesPage:
        """All zones, by position and name, each with the number of its devices."""
        return await call(bus, "health", "zones", Nothing(), ZonesPage, caller=caller)

    @routes.post("", status_code=201)
    async def create_zone(body: CreateZone, caller: Caller = operator) -> Zone:
        """Add a zone. 409 (5208) if it is there already."""
        return await call(bus, "health", "create_zone", body, Zone, caller=caller)

    @routes.get("/{zone_id}")
    async def read_zone(zone_id: ZonePath, caller: Caller = viewer) -> Zone:
        """One zone."""
        return await call(bus, "health", "read_zone", ZoneKey(zone_id=zone_id), Zone, caller=caller)

    @routes.patch("/{zone_id}")
    async def change_zone(
        zone_id: ZonePath, body: ZonePatch, expected: Expected = None, caller: Caller = operator
    ) -> Zone:
        """Change name, description or position; what is left out stays as it is."""
        request = PatchZone(zone_id=zone_id, expected=expected, patch=body)
        return await call(bus, "health", "patch_zone", request, Zone, caller=caller)

    @routes.delete("/{zone_id}", status_code=204)
    async def delete_zone(zone_id: ZonePath, expected: Expected = None, caller: Caller = operator) -> None:
        """Remove a zone. 409 (5414) while devices are in it."""
        request = ZoneKey(zone_id=zone_id, expected=expected)
        await call(bus, "health", "delete_zone", request, Nothing, caller=caller)

    return routes
