"""Which devices are offline, as ingest sees it: offline in the registry, and no message received since; pure."""

from collections.abc import Iterable

from kaiser_common.contract.schemas.device import DeviceRecord


class Presence:
    """The registered devices that went offline and have sent nothing since. health learns from ingest that a device is
    back, so ingest has always received a message from a device before it counts as online. Bounded by the registry.
    """

    def __init__(self) -> None:
        self._online: dict[str, bool] = {}
        self._offline: set[str] = set()

    def registered(self, esp_id: str, record: DeviceRecord | None) -> None:
        """Note a device's record, or its end. A record that is offline as before says nothing new."""
        if record is None:
            self._online.pop(esp_id, None)
            self._offline.discard(esp_id)
            return
        before = self._online.get(esp_id, True)
        self._online[esp_id] = record.online
        if record.online:
            self._offline.discard(esp_id)
        elif before:
            self._offline.add(esp_id)

    def heard(self, esp_ids: Iterable[str]) -> None:
        """Note the devices of accepted messages, wills left out."""
        self._offline.difference_update(esp_ids)

    def is_offline(self, esp_id: str) -> bool:
        """True for a device that no command may be sent to."""
        return esp_id in self._offline
