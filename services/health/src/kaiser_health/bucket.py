"""The KV bucket `devices`: what other services know of the registry, written after the table."""

from collections.abc import Iterable

import structlog
from kaiser_common.bus import Bus
from kaiser_common.schemas.api.devices import Device
from kaiser_common.schemas.device import DeviceRecord
from kaiser_common.subjects import DEVICES_BUCKET
from nats.js.errors import NotFoundError
from nats.js.kv import KeyValue

log = structlog.get_logger()


def to_record(device: Device) -> DeviceRecord:
    """What others need of a device."""
    return DeviceRecord(
        esp_id=device.esp_id,
        kaiser_id=device.kaiser_id,
        state=device.state,
        online=device.online,
        hardware_type=device.hardware_type,
        name=device.name,
        zone_id=device.zone_id,
    )


class DevicesBucket:
    """Writes the bucket. Killed between table and bucket: the next start writes the bucket from the table."""

    def __init__(self, kv: KeyValue) -> None:
        self._kv = kv

    @classmethod
    async def open(cls, bus: Bus) -> "DevicesBucket":
        return cls(await bus.jetstream.key_value(DEVICES_BUCKET.name))

    async def put(self, device: Device) -> None:
        """Tell the others of a device."""
        await self._kv.put(device.esp_id, to_record(device).model_dump_json().encode())

    async def delete(self, esp_id: str) -> None:
        """Tell the others that a device is gone."""
        await self._kv.delete(esp_id)

    async def rebuild(self, devices: Iterable[Device]) -> int:
        """Make the bucket say what the table says; the number of keys that had to change."""
        wanted = {device.esp_id: to_record(device).model_dump_json().encode() for device in devices}
        changed = 0
        for key in await self._keys():
            if key not in wanted:
                await self._kv.delete(key)
                changed += 1
        for key, value in wanted.items():
            if await self._get(key) != value:
                await self._kv.put(key, value)
                changed += 1
        log.info("devices_bucket_checked", devices=len(wanted), changed=changed)
        return changed

    async def _keys(self) -> list[str]:
        watcher = await self._kv.watchall(ignore_deletes=True, meta_only=True)
        keys = []
        async for entry in watcher:
            if entry is None:
                break
            keys.append(entry.key)
        await watcher.stop()  # type: ignore[no-untyped-call]
        return keys

    async def _get(self, key: str) -> bytes | None:
        try:
            return (await self._kv.get(key)).value
        except NotFoundError:
            return None
