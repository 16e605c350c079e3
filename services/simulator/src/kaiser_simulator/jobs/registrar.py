"""Keeps health's registry in step with the mocks: new mocks are registered, deleted ones are removed."""

import asyncio

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.errors import Code, line_of
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.devices import Device as RegisteredDevice
from kaiser_common.contract.schemas.api.devices import DeviceId, RegisterDevice
from kaiser_common.runtime.database import UNAVAILABLE, DatabasePool

from kaiser_simulator.domain import lifecycle
from kaiser_simulator.domain.device import MockDevice
from kaiser_simulator.domain.reactions import is_zone_id
from kaiser_simulator.store import mocks
from kaiser_simulator.store.changes import Clock, Mocks

log = structlog.get_logger()

NOT_NOW: tuple[type[Exception], ...] = (RpcError, *UNAVAILABLE)
"""The errors of health or the database being unavailable."""

_EVERY_S = 1.0
_WITHIN_S = 3.0
_AT_ONCE = 16
_SIMULATOR = Caller(user="simulator", role="operator")


class Registrar:
    """health away: mocks wait in BOOT and tombstones stay; `run` tries again every second until it is done."""

    def __init__(self, bus: Bus, pool: DatabasePool, mocks: Mocks, clock: Clock) -> None:
        self._bus = bus
        self._pool = pool
        self._mocks = mocks
        self._clock = clock
        self._told = ""

    async def run(self) -> None:
        """Register and remove what is left to do, until cancelled."""
        while True:
            try:
                await self._round()
            except NOT_NOW as error:
                self._tell(line_of(error))
            else:
                self._told = ""
            await asyncio.sleep(_EVERY_S)

    async def register(self, device: MockDevice, caller: Caller = _SIMULATOR) -> None:
        """Have health know a mock, which then boots. One that it knows already is fine. RpcError: not now."""
        request = RegisterDevice(
            esp_id=device.esp_id,
            kaiser_id=device.setup.kaiser_id,
            name=device.setup.name,
            hardware_type="MOCK_ESP32",
            zone_id=device.life.zone_id if is_zone_id(device.life.zone_id) else None,
        )
        try:
            await call(
                self._bus, "health", "register_mock", request, RegisteredDevice, caller=caller, timeout_s=_WITHIN_S
            )
        except RpcError as error:
            if error.problem.status != 409:
                raise
        await self._mocks.change(device.esp_id, lambda device: lifecycle.registered(device, self._clock()))

    async def unregister(self, esp_id: str, caller: Caller = _SIMULATOR) -> None:
        """Have health forget a deleted mock, then forget it too. RpcError: not now."""
        if esp_id in self._mocks.world:
            return
        try:
            await call(
                self._bus, "health", "delete_mock", DeviceId(esp_id=esp_id), Nothing, caller=caller, timeout_s=_WITHIN_S
            )
        except RpcError as error:
            if error.problem.code != Code.ESP_DEVICE_NOT_FOUND:
                raise
        async with self._pool.connection() as connection:
            await mocks.forget(connection, esp_id)

    async def _round(self) -> None:
        waiting = [device for device in self._mocks.world if not device.life.registered]
        for start in range(0, len(waiting), _AT_ONCE):
            async with asyncio.TaskGroup() as tasks:
                for device in waiting[start : start + _AT_ONCE]:
                    tasks.create_task(self._try(device))
        async with self._pool.connection() as connection:
            deleted = await mocks.buried(connection, 1000)
        for esp_id in deleted:
            await self.unregister(esp_id)

    async def _try(self, device: MockDevice) -> None:
        try:
            await self.register(device)
        except NOT_NOW as error:
            self._tell(line_of(error))

    def _tell(self, reason: str) -> None:
        """Once for each reason, not every second."""
        if reason != self._told:
            log.warning("mocks_not_registered", error=reason)
            self._told = reason
