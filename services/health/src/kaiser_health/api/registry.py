"""Requests of the gateway: the registry, health history, the audit log."""

import json
from datetime import timedelta
from typing import Any, TypeVar

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.devices import (
    MAX_METADATA_BYTES,
    ApprovedDevice,
    ApproveDevice,
    AuditPage,
    AuditQuery,
    Device,
    DeviceId,
    DevicesPage,
    DevicesQuery,
    DeviceState,
    HealthBucket,
    HealthHistory,
    HealthQuery,
    PatchDevice,
    RegisterDevice,
)
from kaiser_common.contract.schemas.api.patches import merged
from kaiser_common.contract.times import ms_of, time_of
from kaiser_common.contract.topics import MOCK_PREFIX
from kaiser_common.runtime.database import DatabasePool
from pydantic import BaseModel

from kaiser_health.api.replay import Replayed, replay
from kaiser_health.domain.decode import Clock
from kaiser_health.store import audit, heartbeats, registry
from kaiser_health.store.bucket import DevicesBucket
from kaiser_health.store.registry import Registered

RowT = TypeVar("RowT", bound=BaseModel)

MOST_PAGE_BYTES = 1_000_000
"""Well below what NATS carries in one message."""


class DeviceRegistryApi:
    """The handlers; the table first, then the bucket. Killed between: the next start writes the bucket. NATS away
    between: the sweep does."""

    def __init__(self, pool: DatabasePool, bus: Bus, bucket: DevicesBucket, clock: Clock) -> None:
        self._pool = pool
        self._bus = bus
        self._bucket = bucket
        self._clock = clock

    async def register(self, request: RegisterDevice, caller: Caller) -> Device:
        """Add a device, or approve a pending one with what is given. 409 (5208) when it is approved already."""
        async with self._pool.connection() as connection:
            device = await registry.register(connection, request)
            if device is None:
                raise RpcError(409, Code.DUPLICATE_ENTRY, f"{request.esp_id} is registered already", "esp_id")
            await audit.note(connection, caller, "register_device", device.esp_id, after=device)
        await self._bucket.put_or_later(device)
        return device

    async def register_mock(self, request: RegisterDevice, caller: Caller) -> Device:
        """As `register`, for a mock device. 403 (5405) for another: the simulator registers none."""
        _check_mock(request.esp_id)
        return await self.register(request, caller)

    async def list_devices(self, query: DevicesQuery, caller: Caller) -> DevicesPage:
        """A page of devices."""
        async with self._pool.reading() as connection:
            found = await registry.page(connection, query)
        items = within(found, MOST_PAGE_BYTES)
        more = len(found) == query.limit or len(items) < len(found)
        return DevicesPage(items=list(items), next_cursor=items[-1].esp_id if more else None)

    async def read(self, request: DeviceId, caller: Caller) -> Device:
        """One device. 404 (5001) when it is not there."""
        async with self._pool.reading() as connection:
            return _found(await registry.read(connection, request.esp_id), request.esp_id)

    async def patch(self, request: PatchDevice, caller: Caller) -> Device:
        """Change a device's name, hardware type, metadata or timeout: what is given alone. null resets a name and a
        timeout."""
        async with self._pool.connection() as connection:
            before = _found(await registry.locked(connection, request.esp_id), request.esp_id)
            values = request.patch.model_dump()
            if "metadata" in values:
                values["metadata"] = _metadata(before.metadata, request.patch.metadata)
            device = _found(await registry.change(connection, request.esp_id, values), request.esp_id)
            await audit.note(connection, caller, "patch_device", device.esp_id, before=before, after=device)
        await self._bucket.put_or_later(device)
        return device

    async def delete(self, request: DeviceId, caller: Caller) -> Nothing:
        """Remove a device: from now on its messages are rejected."""
        async with self._pool.connection() as connection:
            before = _found(await registry.read(connection, request.esp_id), request.esp_id)
            await registry.delete(connection, request.esp_id)
            await audit.note(connection, caller, "delete_device", request.esp_id, before=before)
        await self._bucket.delete_or_later(request.esp_id)
        return Nothing()

    async def delete_mock(self, request: DeviceId, caller: Caller) -> Nothing:
        """As `delete`, for a mock device. 403 (5405) for another: the simulator removes none."""
        _check_mock(request.esp_id)
        return await self.delete(request, caller)

    async def approve(self, request: ApproveDevice, caller: Caller) -> ApprovedDevice:
        """Let a pending or rejected device in; with `replay` what REJECTED keeps of it is taken in after all."""
        device = await self._set_state(request.esp_id, "approved", caller)
        replayed = await replay(self._bus, request.esp_id, caller) if request.replay else Replayed(0, True)
        return ApprovedDevice(**device.model_dump(), replayed=replayed.messages, replay_complete=replayed.complete)

    async def reject(self, request: DeviceId, caller: Caller) -> Device:
        """Keep a device out."""
        return await self._set_state(request.esp_id, "rejected", caller)

    async def history(self, query: HealthQuery, caller: Caller) -> HealthHistory:
        """Heartbeats of a device by bucket; buckets without heartbeats are left out."""
        to_at = time_of(query.to_ms) if query.to_ms is not None else self._clock()
        from_at = time_of(query.from_ms) if query.from_ms is not None else to_at - timedelta(days=1)
        async with self._pool.reading() as connection:
            _found(await registry.read(connection, query.esp_id), query.esp_id)
            rows = await heartbeats.history(connection, query.esp_id, from_at, to_at, query.bucket_s)
        return HealthHistory(
            items=[
                HealthBucket(
                    ts=ms_of(row[0]),
                    heartbeats=row[1],
                    uptime=row[2],
                    heap_free=row[3],
                    heap_free_min=row[4],
                    wifi_rssi=row[5],
                )
                for row in rows
            ]
        )

    async def audit(self, query: AuditQuery, caller: Caller) -> AuditPage:
        """A page of the audit log, newest first."""
        async with self._pool.reading() as connection:
            found = await audit.page(connection, query)
        items = within(found, MOST_PAGE_BYTES)
        more = len(found) == query.limit or len(items) < len(found)
        return AuditPage(items=items, next_cursor=str(items[-1].id) if more else None)

    async def _set_state(self, esp_id: str, state: DeviceState, caller: Caller) -> Device:
        action = "approve_device" if state == "approved" else "reject_device"
        async with self._pool.connection() as connection:
            before = _found(await registry.read(connection, esp_id), esp_id)
            if before.state == state:
                raise RpcError(409, Code.STATE_CHANGED, f"{esp_id} is {state} already", "esp_id")
            device = _found(await registry.set_state(connection, esp_id, state), esp_id)
            await audit.note(connection, caller, action, esp_id, before=before, after=device)
        await self._bucket.put_or_later(device)
        return device


def within(rows: list[RowT], most_bytes: int) -> list[RowT]:
    """The first rows that fit into this many bytes of JSON, but at least one."""
    size = 0
    for place, row in enumerate(rows):
        size += len(row.model_dump_json().encode())
        if size > most_bytes and place:
            return rows[:place]
    return rows


def _metadata(before: dict[str, Any], patch: dict[str, Any] | None) -> dict[str, Any]:
    """Metadata after a patch. RpcError 422 if it became too large."""
    after = {} if patch is None else merged(before, patch)
    if len(json.dumps(after)) > MAX_METADATA_BYTES:
        text = f"metadata is at most {MAX_METADATA_BYTES} bytes of JSON"
        raise RpcError(422, Code.VALUE_OUT_OF_RANGE, text, "metadata")
    return after


def _check_mock(esp_id: str) -> None:
    if not esp_id.startswith(MOCK_PREFIX):
        raise RpcError(403, Code.PERMISSION_DENIED, f"{esp_id} is not a mock device", "esp_id")


def _found(device: Registered | None, esp_id: str) -> Registered:
    if device is None:
        raise RpcError(404, Code.ESP_DEVICE_NOT_FOUND, f"no device {esp_id}", "esp_id")
    return device
