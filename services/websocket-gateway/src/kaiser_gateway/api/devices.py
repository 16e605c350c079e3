"""Devices: the registry, answered by health."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from kaiser_common.bus import Bus
from kaiser_common.rpc import Caller, Nothing, call
from kaiser_common.schemas.api.devices import (
    ESP_ID,
    Device,
    DeviceId,
    DevicePatch,
    DevicesPage,
    DevicesQuery,
    PatchDevice,
    RegisterDevice,
)

from kaiser_gateway.auth import Guard

EspId = Annotated[str, Path(pattern=ESP_ID, examples=["ESP_0A1B2C3D"])]


def router(bus: Bus, guard: Guard) -> APIRouter:
    """/api/v1/esp/devices."""
    routes = APIRouter(prefix="/api/v1/esp/devices", tags=["devices"])
    viewer, operator = guard.needs("viewer"), guard.needs("operator")

    @routes.get("")
    async def list_devices(query: Annotated[DevicesQuery, Query()], caller: Caller = viewer) -> DevicesPage:
        """Registered and pending devices, by id."""
        return await call(bus, "health", "list", query, DevicesPage, caller=caller)

    @routes.post("", status_code=201)
    async def register(body: RegisterDevice, caller: Caller = operator) -> Device:
        """Register a device; from now on its messages are taken."""
        return await call(bus, "health", "register", body, Device, caller=caller)

    @routes.get("/{esp_id}")
    async def read(esp_id: EspId, caller: Caller = viewer) -> Device:
        """One device."""
        return await call(bus, "health", "read", DeviceId(esp_id=esp_id), Device, caller=caller)

    @routes.patch("/{esp_id}")
    async def patch(esp_id: EspId, body: DevicePatch, caller: Caller = operator) -> Device:
        """Change name, hardware type or metadata."""
        return await call(bus, "health", "patch", PatchDevice(esp_id=esp_id, patch=body), Device, caller=caller)

    @routes.delete("/{esp_id}", status_code=204)
    async def delete(esp_id: EspId, caller: Caller = operator) -> None:
        """Remove a device; from now on its messages are rejected. What it sent stays stored."""
        await call(bus, "health", "delete", DeviceId(esp_id=esp_id), Nothing, caller=caller)

    @routes.post("/{esp_id}/approve")
    async def approve(esp_id: EspId, caller: Caller = operator) -> Device:
        """Let a pending or rejected device in."""
        return await call(bus, "health", "approve", DeviceId(esp_id=esp_id), Device, caller=caller)

    @routes.post("/{esp_id}/reject")
    async def reject(esp_id: EspId, caller: Caller = operator) -> Device:
        """Keep a device out."""
        return await call(bus, "health", "reject", DeviceId(esp_id=esp_id), Device, caller=caller)

    return routes
