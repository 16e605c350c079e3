"""What the health service answers to the gateway: the registry."""

from typing import Any

from kaiser_common.database import DatabasePool
from kaiser_common.errors import Code
from kaiser_common.rpc import Caller, Method, Nothing, RpcError
from kaiser_common.schemas.api.devices import (
    Device,
    DeviceId,
    DevicesPage,
    DevicesQuery,
    PatchDevice,
    RegisterDevice,
)

from kaiser_health import store
from kaiser_health.bucket import DevicesBucket


class RegistryApi:
    """The handlers; the table first, then the bucket."""

    def __init__(self, pool: DatabasePool, bucket: DevicesBucket) -> None:
        self._pool = pool
        self._bucket = bucket

    def methods(self) -> dict[str, Method[Any, Any]]:
        """By the name of the method."""
        return {
            "register": Method(RegisterDevice, self.register),
            "list": Method(DevicesQuery, self.list),
            "read": Method(DeviceId, self.read),
            "patch": Method(PatchDevice, self.patch),
            "delete": Method(DeviceId, self.delete),
            "approve": Method(DeviceId, self.approve),
            "reject": Method(DeviceId, self.reject),
        }

    async def register(self, request: RegisterDevice, caller: Caller) -> Device:
        """Add a device. 409 (5208) when it is there already."""
        async with self._pool.connection() as connection:
            device = await store.register(connection, request)
        if device is None:
            raise RpcError(409, Code.DUPLICATE_ENTRY, f"{request.esp_id} is registered already", "esp_id")
        await self._bucket.put(device)
        return device

    async def list(self, query: DevicesQuery, caller: Caller) -> DevicesPage:
        """A page of devices."""
        async with self._pool.connection() as connection:
            items = await store.page(connection, query)
        more = len(items) == query.limit
        return DevicesPage(items=items, next_cursor=items[-1].esp_id if more else None)

    async def read(self, request: DeviceId, caller: Caller) -> Device:
        """One device. 404 (5001) when it is not there."""
        async with self._pool.connection() as connection:
            return _found(await store.read(connection, request.esp_id), request.esp_id)

    async def patch(self, request: PatchDevice, caller: Caller) -> Device:
        """Change a device's name, hardware type or metadata."""
        async with self._pool.connection() as connection:
            device = _found(await store.patch(connection, request.esp_id, request.patch), request.esp_id)
        await self._bucket.put(device)
        return device

    async def delete(self, request: DeviceId, caller: Caller) -> Nothing:
        """Remove a device: from now on its messages are rejected."""
        async with self._pool.connection() as connection:
            if not await store.delete(connection, request.esp_id):
                raise _unknown(request.esp_id)
        await self._bucket.delete(request.esp_id)
        return Nothing()

    async def approve(self, request: DeviceId, caller: Caller) -> Device:
        """Let a pending or rejected device in."""
        return await self._set_state(request.esp_id, "approved")

    async def reject(self, request: DeviceId, caller: Caller) -> Device:
        """Keep a device out."""
        return await self._set_state(request.esp_id, "rejected")

    async def _set_state(self, esp_id: str, state: str) -> Device:
        async with self._pool.connection() as connection:
            device = _found(await store.set_state(connection, esp_id, state), esp_id)
        await self._bucket.put(device)
        return device


def _found(device: Device | None, esp_id: str) -> Device:
    if device is None:
        raise _unknown(esp_id)
    return device


def _unknown(esp_id: str) -> RpcError:
    return RpcError(404, Code.ESP_DEVICE_NOT_FOUND, f"no device {esp_id}", "esp_id")
