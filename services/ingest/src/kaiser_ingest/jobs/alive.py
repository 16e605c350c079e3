"""The digest of devices that sent a message, so that any message of a device counts as a sign of life at health."""

import asyncio
import itertools

import structlog
from kaiser_common.bus.connection import Bus, BusUnavailable
from kaiser_common.contract.schemas.device import AliveDigest
from kaiser_common.contract.subjects import alive_subject

log = structlog.get_logger()

_MOST_DEVICES_IN_A_DIGEST = 5000


class Heard:
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
        while True:
            await asyncio.sleep(self._every_s)
            devices, self._devices = self._devices, {}
            try:
                for subject, digest in digests(devices):
                    await self._bus.publish(subject, digest.model_dump_json().encode())
            except BusUnavailable as error:
                log.warning("digest_delayed", devices=len(devices), reason=str(error))
                self._devices = devices | self._devices


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
