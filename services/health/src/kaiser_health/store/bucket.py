"""The KV bucket `devices`: what other services know of the registry, written after the table."""

import asyncio
from collections.abc import Iterable, Sequence

import structlog
from kaiser_common.bus.bucket import BucketWriter
from kaiser_common.bus.connection import Bus
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.subjects import DEVICES_BUCKET
from kaiser_common.runtime.database import DatabasePool
from nats.errors import Error as NatsError

from kaiser_health.store import Connection, registry
from kaiser_health.store.registry import Registered

log = structlog.get_logger()

_AT_ONCE = 50


def to_value(device: Registered) -> bytes:
    """The record of a device for other services."""
    record = DeviceRecord(
        esp_id=device.esp_id,
        kaiser_id=device.kaiser_id,
        state=device.state,
        online=device.online,
        hardware_type=device.hardware_type,
        name=device.name,
        zone_id=device.zone_id,
        kaiser_id_fixed=device.kaiser_id_fixed,
        generation=device.generation,
        emergency_token=device.emergency_token,
        boot=device.boot,
        offline_since=None if device.online else device.last_seen,
        away_at=device.away_at,
        approved_at=device.approved_at,
    )
    return record.model_dump_json().encode()


class DevicesBucket:
    """Writes the bucket by device. `mend`, which the sweep calls, repeats writes that failed."""

    def __init__(self, writer: BucketWriter) -> None:
        self._writer = writer
        self._stale = False

    @classmethod
    async def open(cls, bus: Bus) -> "DevicesBucket":
        """Bind to the bucket."""
        return cls(await BucketWriter.open(bus, DEVICES_BUCKET))

    async def put(self, device: Registered) -> None:
        """Write a device's record. Raises nats errors: for a caller whose work is repeated."""
        await self._writer.put(device.esp_id, to_value(device))

    async def put_all(self, devices: Sequence[Registered]) -> None:
        """As `put`, fifty at a time: after an outage a whole fleet comes online together."""
        for start in range(0, len(devices), _AT_ONCE):
            await asyncio.gather(*(self.put(device) for device in devices[start : start + _AT_ONCE]))

    async def put_or_later(self, device: Registered) -> None:
        """Write the record of a committed change; if NATS is unavailable, the write is late but not lost."""
        try:
            await self.put(device)
        except (NatsError, TimeoutError) as error:
            self._late(device.esp_id, error)

    async def delete_or_later(self, esp_id: str) -> None:
        """Delete a device's record; if NATS is unavailable, the deletion is late but not lost."""
        try:
            await self._writer.delete(esp_id)
        except (NatsError, TimeoutError) as error:
            self._late(esp_id, error)

    async def mend(self, connection: Connection) -> None:
        """Make the bucket equal to the table, if a write failed before or the bucket was created again. If the bucket
        is missing or NATS unavailable, the next call does it.
        """
        try:
            if self._stale or await self._writer.is_another():
                await self.rebuild(await registry.all_devices(connection))
                self._stale = False
        except (NatsError, TimeoutError) as error:
            log.warning("bucket_repair_postponed", reason=str(error) or type(error).__name__, hint="run migrate")

    def _late(self, esp_id: str, error: Exception) -> None:
        self._stale = True
        log.warning("device_notified_late", esp_id=esp_id, error=str(error) or type(error).__name__)

    async def rebuild(self, devices: Iterable[Registered]) -> int:
        """Make the bucket say what the table says; the number of keys that had to change."""
        return await self._writer.rebuild({device.esp_id: to_value(device) for device in devices})


async def rebuild(bucket: DevicesBucket, pool: DatabasePool) -> None:
    """Make the bucket say what the table says, at the start of the service."""
    async with pool.connection() as connection:
        devices = await registry.all_devices(connection)
    await bucket.rebuild(devices)
