"""The registry of devices as ingest follows it in KV: who is approved, under which site, and who is offline."""

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.mirror import Mirror
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.subjects import DEVICES_BUCKET
from kaiser_common.runtime.loops import until_done

from kaiser_ingest.domain.presence import Presence

log = structlog.get_logger()


class KnownDevices:
    """The devices that are registered and approved, with the site that each must speak under, the generation of
    every firmware, and who is offline; kept current from KV."""

    def __init__(self, bus: Bus) -> None:
        self.sites: dict[str, str | None] = {}
        self.generations: dict[str, str] = {}
        self.presence = Presence()
        self.mirror: Mirror[DeviceRecord] = Mirror(bus, DEVICES_BUCKET, DeviceRecord.model_validate_json)
        self.mirror.on_change(self._changed)

    async def ready(self) -> None:
        """Wait until the registry was read once, with a log line every half minute."""
        await until_done(self.mirror.ready, "devices_not_read_yet")
        log.info("devices_read", approved=len(self.sites))

    def _changed(self, esp_id: str, record: DeviceRecord | None) -> None:
        self.presence.registered(esp_id, record)
        if record is None:
            self.generations.pop(esp_id, None)
        else:
            self.generations[esp_id] = record.generation
        if record is not None and record.state == "approved":
            self.sites[esp_id] = record.kaiser_id if record.kaiser_id_fixed else None
        else:
            self.sites.pop(esp_id, None)
