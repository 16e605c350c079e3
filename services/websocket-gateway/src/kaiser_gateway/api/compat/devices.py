"""Routes of devices and their zones, in AutomationOne's form."""

from fastapi import APIRouter

from kaiser_gateway.api.compat.asking import Given, OldId, Own, PageNumber, PageSize
from kaiser_gateway.domain.compat import devices
from kaiser_gateway.domain.compat.common import Json, paged

_ALL = "/esp/devices"
_ONLINE = {"online": True, "offline": False}


def router() -> APIRouter:
    """/compat/v1/esp/devices and /compat/v1/zone/devices."""
    routes = APIRouter(prefix="/compat/v1")

    @routes.get("/esp/devices")
    async def list_devices(
        own: Own,
        zone_id: str | None = None,
        status: str | None = None,
        hardware_type: str | None = None,
        page: PageNumber = 1,
        page_size: PageSize = 100,
    ) -> Json:
        found = await own.every(_ALL, {"zone_id": zone_id, "online": _ONLINE.get(status or "")})
        wanted = [one for one in found if hardware_type in (None, one["hardware_type"])]
        zones = await own.zone_names()
        return paged([devices.device(one, zones) for one in wanted], page, page_size)

    @routes.post("/esp/devices", status_code=201)
    async def register(body: Given, own: Own) -> Json:
        return devices.device(await own.ask("POST", _ALL, body=devices.registration(body)), await own.zone_names())

    @routes.get("/esp/devices/{esp_id}")
    async def read(esp_id: OldId, own: Own) -> Json:
        return devices.device(await own.ask("GET", f"{_ALL}/{esp_id}"), await own.zone_names())

    @routes.patch("/esp/devices/{esp_id}")
    async def change(esp_id: OldId, body: Given, own: Own) -> Json:
        return devices.device(
            await own.ask("PATCH", f"{_ALL}/{esp_id}", body=devices.change(body)), await own.zone_names()
        )

    @routes.delete("/esp/devices/{esp_id}", status_code=204)
    async def delete(esp_id: OldId, own: Own) -> None:
        await own.ask("DELETE", f"{_ALL}/{esp_id}")

    @routes.get("/esp/devices/{esp_id}/health")
    async def read_health(esp_id: OldId, own: Own) -> Json:
        return devices.health(await own.ask("GET", f"{_ALL}/{esp_id}"))

    @routes.post("/esp/devices/{esp_id}/config")
    async def push_config(esp_id: OldId, own: Own) -> Json:
        await own.ask("POST", f"{_ALL}/{esp_id}/config", body={})
        return {"success": True, "device_id": esp_id, "config_sent": True, "config_acknowledged": False}

    @routes.get("/zone/devices/{esp_id}")
    async def read_zone(esp_id: OldId, own: Own) -> Json:
        return devices.zone(await own.ask("GET", f"{_ALL}/{esp_id}"), await own.zone_names())

    @routes.post("/zone/devices/{esp_id}/assign")
    async def assign_zone(esp_id: OldId, body: Given, own: Own) -> Json:
        names = ("zone_id", "master_zone_id", "zone_name")
        zone = {name: body[name] for name in names if body.get(name)}
        found = await own.ask("GET", f"{_ALL}/{esp_id}")
        await own.ask("POST", f"{_ALL}/{esp_id}/zone", body=zone)
        return devices.assigned(found, zone)

    @routes.delete("/zone/devices/{esp_id}/zone")
    async def remove_zone(esp_id: OldId, own: Own) -> Json:
        found = await own.ask("GET", f"{_ALL}/{esp_id}")
        await own.ask("POST", f"{_ALL}/{esp_id}/zone", body={"zone_id": None})
        return devices.removed(found)

    return routes
