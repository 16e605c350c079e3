"""The address of a device (site, id, emergency token), even if the device is not in the registry."""

from collections.abc import Mapping
from typing import NamedTuple

from kaiser_common.contract.schemas.device import DeviceRecord

_DEFAULT_SITE = "god"
_REMEMBERED = 20_000


class Address(NamedTuple):
    """A device under its site, with the token that its emergency topic asks for."""

    kaiser_id: str
    esp_id: str
    token: str


class Addresses:
    """From the registry. A device that is missing there is reached under the site of its last message, else under the
    default site, with the firmware's default token: its esp_id."""

    def __init__(self, devices: Mapping[str, DeviceRecord]) -> None:
        self._devices = devices
        self._sites: dict[str, str] = {}

    def heard(self, esp_id: str, kaiser_id: str) -> None:
        """Remember the site of a message; of the last 20,000 devices."""
        if self._sites.pop(esp_id, None) is None and len(self._sites) >= _REMEMBERED:
            del self._sites[next(iter(self._sites))]
        self._sites[esp_id] = kaiser_id

    def of(self, esp_id: str) -> Address:
        """The address of a device."""
        device = self._devices.get(esp_id)
        if device is None:
            return Address(self._sites.get(esp_id, _DEFAULT_SITE), esp_id, esp_id)
        return Address(device.kaiser_id, esp_id, device.emergency_token or esp_id)

    def is_let_in(self, esp_id: str) -> bool:
        """Whether a device is registered and approved: ingest rejects the messages of any other (5001)."""
        device = self._devices.get(esp_id)
        return device is not None and device.state == "approved"

    def all(self) -> list[Address]:
        """Every device of the registry, and those beyond it that sent something."""
        return [self.of(esp_id) for esp_id in {**self._sites, **self._devices}]
