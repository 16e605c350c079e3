"""The KV bucket `devices`: what other services know of the registry, written after the table."""

from collections.abc import Iterable

from kaiser_common.bucket import BucketWriter
from kaiser_common.bus import Bus
from kaiser_common.schemas.api.devices import Device
from kaiser_common.schemas.device import DeviceRecord
from kaiser_common.subjects import DEVICES_BUCKET


def to_value(device: Device) -> bytes:
    """What others need of a device."""
    record = DeviceRecord(
        esp_id=device.esp_id,
        kaiser_id=device.kaiser_id,
        state=device.state,
        online=device.online,
        hardware_type=device.hardware_type,
        name=device.name,
        zone_id=device.zone_id,
    )
    return record.model_dump_json().encode()


class DevicesBucket:
    """Writes the bucket by device."""

    def __init__(self, writer: BucketWriter) -> None:
        self._writer = writer

    @classmethod
    async def open(cls, bus: Bus) -> "DevicesBucket":
        """Bind to the bucket."""
        return cls(await BucketWriter.open(bus, DEVICES_BUCKET))

    async def put(self, device: Device) -> None:
        """Tell the others of a device."""
        await self._writer.put(device.esp_id, to_value(device))

    async def delete(self, esp_id: str) -> None:
        """Tell the others that a device is gone."""
        await self._writer.delete(esp_id)

    async def rebuild(self, devices: Iterable[Device]) -> int:
        """Make the bucket say what the table says; the number of keys that had to change."""
        return await self._writer.rebuild({device.esp_id: to_value(device) for device in devices})
