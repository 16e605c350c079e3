"""Registers each TXT with health, so that its climate and brightness are readings of a device.

A TXT that is registered already, or that an operator has rejected, is left as it is. Killed, or health away: it is
asked again; readings begin once the device is registered.
"""

from collections.abc import Callable

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.schemas.api.devices import Device, DeviceId, RegisterDevice
from kaiser_common.runtime.loops import every
from kaiser_factory_dialect.txt_readings import device_of

from kaiser_factory.domain.live import FactoryState

log = structlog.get_logger()

_EVERY_S = 1.0
_CALLER = Caller(user="factory", role="operator")
_HARDWARE = "TXT"


class TxtDevices:
    """Registers the TXTs of an environment, each once: one that an operator deletes comes back with the next start."""

    def __init__(self, bus: Bus, live: Callable[[], FactoryState | None]) -> None:
        self._bus = bus
        self._live = live
        self._known: set[str] = set()

    async def run(self) -> None:
        """Look every second, until cancelled."""
        await every(_EVERY_S, self.once, "txt_devices_postponed")

    async def once(self) -> None:
        """Register what is new. health away, or its database: again with the next look."""
        live = self._live()
        if live is None:
            return
        for txt in sorted(live.txts - self._known):
            device = device_of(txt, live.environment.kind)
            if device is None or await self._is_registered(device, f"TXT {txt}"):
                self._known.add(txt)

    async def _is_registered(self, device: str, name: str) -> bool:
        try:
            await call(self._bus, "health", "read", DeviceId(esp_id=device), Device, caller=_CALLER)
        except RpcError as error:
            if error.problem.status != 404:
                log.warning("txt_not_registered", esp_id=device, reason=error.problem.detail)
                return False
        else:
            return True
        wanted = RegisterDevice(esp_id=device, name=name, hardware_type=_HARDWARE)
        try:
            await call(self._bus, "health", "register", wanted, Device, caller=_CALLER)
        except RpcError as error:
            log.warning("txt_not_registered", esp_id=device, reason=error.problem.detail)
            return error.problem.status == 409
        log.info("txt_registered", esp_id=device)
        return True
