"""The devices of the KV bucket `devices`, and the data source of each one's readings."""

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.mirror import Mirror
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.subjects import DEVICES_BUCKET

from kaiser_sensor.domain.rows import DataSource, data_source


class Devices:
    """The registry by esp_id; run `keep` as a task."""

    def __init__(self, bus: Bus) -> None:
        self._mirror: Mirror[DeviceRecord] = Mirror(bus, DEVICES_BUCKET, DeviceRecord.model_validate_json)
        self._mirror.on_change(self._changed)
        self._sources: dict[str, DataSource] = {}

    async def keep(self) -> None:
        """Follow the bucket, until cancelled."""
        await self._mirror.keep()

    async def ready(self, timeout_s: float) -> None:
        """Wait until it was read once. TimeoutError."""
        await self._mirror.ready(timeout_s)

    def get(self, esp_id: str) -> DeviceRecord | None:
        """A device; None for one that is not registered."""
        return self._mirror.get(esp_id)

    def is_registered(self, esp_id: str) -> bool:
        """Whether a device is in the registry."""
        return esp_id in self._mirror

    def offline_since(self, esp_id: str) -> int | None:
        """Time of the last message of an offline device (ms); None if it is online or has never sent a message."""
        record = self._mirror.get(esp_id)
        return None if record is None or record.online else record.offline_since

    def zone_of(self, esp_id: str) -> str | None:
        """The zone of a device; None for none."""
        record = self._mirror.get(esp_id)
        return None if record is None else record.zone_id or None

    def source_of(self, esp_id: str) -> DataSource:
        """Where a device's readings come from."""
        return self._sources.get(esp_id) or data_source(esp_id, None)

    def _changed(self, esp_id: str, record: DeviceRecord | None) -> None:
        if record is None:
            self._sources.pop(esp_id, None)
        else:
            self._sources[esp_id] = data_source(esp_id, record.hardware_type)
