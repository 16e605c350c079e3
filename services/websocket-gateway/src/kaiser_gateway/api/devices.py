"""Devices: the registry, answered by health."""

from typing import Annotated

from fastapi import APIRouter, Query
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, call
from kaiser_common.contract.bounds import MAX_EXACT
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.devices import (
    ApprovedDevice,
    ApproveDevice,
    Device,
    DeviceId,
    DevicePatch,
    DevicesPage,
    DevicesQuery,
    HealthHistory,
    HealthQuery,
    PatchDevice,
    RegisterDevice,
)
from kaiser_common.contract.schemas.api.inspection import PassedMessages, PassedMessagesQuery
from kaiser_common.contract.schemas.api.times import BEFORE_2100_MS

from kaiser_gateway.api.paths import EspId
from kaiser_gateway.http.auth import Guard


def router(bus: Bus, guard: Guard) -> APIRouter:
    """/api/v1/esp/devices."""
    routes = APIRouter(prefix="/api/v1/esp/devices", tags=["devices"])
    viewer, operator = guard.needs("viewer"), guard.needs("operator")

    @routes.get("")
    async def list_devices(query: Annotated[DevicesQuery, Query()], caller: Caller = viewer) -> DevicesPage:
        """Registered and pending devices, by id."""
        return await call(bus, "health", "list", query, DevicesPage, caller=caller)

    @routes.post("", status_code=201)
    async def register_device(body: RegisterDevice, caller: Caller = operator) -> Device:
        """Register a device; from now on its messages are accepted."""
        return await call(bus, "health", "register", body, Device, caller=caller)

    @routes.get("/{esp_id}")
    async def read_device(esp_id: EspId, caller: Caller = viewer) -> Device:
        """One device."""
        return await call(bus, "health", "read", DeviceId(esp_id=esp_id), Device, caller=caller)

    @routes.patch("/{esp_id}")
    async def change_device(esp_id: EspId, body: DevicePatch, caller: Caller = operator) -> Device:
        """Change name, hardware type, metadata or heartbeat timeout; what is left out stays as it is, null resets."""
        return await call(bus, "health", "patch", PatchDevice(esp_id=esp_id, patch=body), Device, caller=caller)

    @routes.delete("/{esp_id}", status_code=204)
    async def delete_device(esp_id: EspId, caller: Caller = operator) -> None:
        """Remove a device; from now on its messages are rejected. Its data stays stored."""
        await call(bus, "health", "delete", DeviceId(esp_id=esp_id), Nothing, caller=caller)

    @routes.post("/{esp_id}/approve")
    async def approve_device(esp_id: EspId, replay: bool = False, caller: Caller = operator) -> ApprovedDevice:
        """Approve a device; `replay` also replays its messages that were rejected in the last days."""
        request = ApproveDevice(esp_id=esp_id, replay=replay)
        return await call(bus, "health", "approve", request, ApprovedDevice, caller=caller, timeout_s=60.0)

    @routes.post("/{esp_id}/reject")
    async def reject_device(esp_id: EspId, caller: Caller = operator) -> Device:
        """Reject a device: from now on its messages are rejected."""
        return await call(bus, "health", "reject", DeviceId(esp_id=esp_id), Device, caller=caller)

    @routes.get("/{esp_id}/health")
    async def read_device_health(
        esp_id: EspId,
        from_: Annotated[int | None, Query(alias="from", ge=0, le=BEFORE_2100_MS, description="ms since 1970")] = None,
        to: Annotated[int | None, Query(ge=0, le=BEFORE_2100_MS, description="ms since 1970, not included")] = None,
        bucket_s: Annotated[int, Query(ge=60, le=86_400)] = 3600,
        caller: Caller = viewer,
    ) -> HealthHistory:
        """Memory, signal and uptime over time; the last day when no time is given."""
        query = HealthQuery(esp_id=esp_id, from_ms=from_, to_ms=to, bucket_s=bucket_s)
        return await call(bus, "health", "history", query, HealthHistory, caller=caller)

    @routes.get("/{esp_id}/messages")
    async def list_device_messages(
        esp_id: EspId,
        after: Annotated[int, Query(ge=0, le=MAX_EXACT, description="`seq` of the last message that is known")] = 0,
        caller: Caller = operator,
    ) -> PassedMessages:
        """Messages that the device sent over MQTT, with ingest's verdict, and messages that were sent to it, oldest
        first. Messages are kept from the first of these requests on, until 10 minutes after the last."""
        query = PassedMessagesQuery(esp_id=esp_id, after=after)
        return await call(bus, "ingest", "device_messages", query, PassedMessages, caller=caller)

    return routes
