"""The digest of devices that sent a message, so that any message of a device counts as a sign of life at health."""

import itertools

from kaiser_common.bus.connection import Bus, BusUnavailable
from kaiser_common.contract.schemas.device import AliveDigest
from kaiser_common.contract.subjects import alive_subject
from kaiser_common.runtime.loops import every

_MOST_DEVICES_IN_A_DIGEST = 5000


class PresenceDigest:
    """Collects the time of the newest accepted message of each device and publishes it every few seconds. Killed in
    between: the devices of one digest appear a few seconds later, with their next message.
    """

    def __init__(self, bus: Bus, every_s: float) -> None:
        self._bus = bus
        self._every_s = every_s
        self._devices: dict[tuple[str, str], int] = {}

    def add(self, devices: dict[tuple[str, str], int]) -> None:
        """Note (kaiser_id, esp_id) with the receive time in ms."""
        self._devices.update(devices)

    async def run(self) -> None:
        """Publish a digest in every period in which a device sent a message, until cancelled."""
        await every(self._every_s, self._publish, "digest_delayed", delay_s=self._every_s)

    async def _publish(self) -> None:
        devices, self._devices = self._devices, {}
        try:
            for subject, digest in digests(devices):
                await self._bus.publish(subject, digest.model_dump_json().encode())
        except BusUnavailable:
            self._devices = devices | self._devices
            raise


def digests(devices: dict[tuple[str, str], int]) -> list[tuple[str, AliveDigest]]:
    """Digests with their subjects: one a site, or several where a site has very many devices."""
    sites: dict[str, dict[str, int]] = {}
    for (kaiser_id, esp_id), heard_at in devices.items():
        sites.setdefault(kaiser_id, {})[esp_id] = heard_at
    found = []
    for kaiser_id, of_site in sites.items():
        items = iter(of_site.items())
        while part := dict(itertools.islice(items, _MOST_DEVICES_IN_A_DIGEST)):
            found.append((alive_subject(kaiser_id), AliveDigest(devices=part)))
    return found
