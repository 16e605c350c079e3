"""Requests about mocks."""

import asyncio
import secrets
from dataclasses import replace

import structlog
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.mock import (
    CreateMock,
    CreateMocks,
    Mock,
    MockId,
    MockMessages,
    MockMessagesQuery,
    MocksCreated,
    MocksPage,
    MocksQuery,
    SetEmergency,
    SetFaults,
    SetState,
)

from kaiser_simulator.api.access import Access
from kaiser_simulator.domain import lifecycle, payloads
from kaiser_simulator.domain.actuators import Reaction
from kaiser_simulator.domain.device import Life, MockDevice, Setup, is_connected
from kaiser_simulator.domain.emergencies import pressed, released
from kaiser_simulator.jobs.registrar import NOT_NOW, Registrar
from kaiser_simulator.store.changes import Clock, Mocks

log = structlog.get_logger()

_PARTS_OF_A_PAGE = 4000
"""Sensors and actuators; more would not fit in a message of the bus."""


class MockApi:
    """The handlers. Every change is in the table before it is answered."""

    def __init__(self, mocks: Mocks, registrar: Registrar, clock: Clock, most: int) -> None:
        self._access = Access(mocks, clock)
        self._mocks = mocks
        self._registrar = registrar
        self._clock = clock
        self._most = most

    async def list_mocks(self, query: MocksQuery, caller: Caller) -> MocksPage:
        """A page of mocks, by id, without their CSVs; shorter than asked where they have very many parts."""
        after = query.cursor or ""
        devices = sorted((device for device in self._mocks.world if device.esp_id > after), key=lambda d: d.esp_id)
        page = devices[: query.limit]
        items: list[Mock] = []
        parts = 0
        for device in page:
            if device.esp_id in self._mocks.world:  # one may be deleted while this lets readings pass
                items.append(self._access.view(device, brief=True))
                parts += len(device.setup.sensors) + len(device.setup.actuators)
            await asyncio.sleep(0)
            if parts > _PARTS_OF_A_PAGE:
                break
        more = bool(items) and items[-1].esp_id != devices[-1].esp_id
        return MocksPage(items=items, next_cursor=items[-1].esp_id if more else None)

    async def read(self, request: MockId, caller: Caller) -> Mock:
        """One mock."""
        return self._access.view(self._access.found(request.esp_id))

    async def create(self, request: CreateMock, caller: Caller) -> Mock:
        """Make a mock; 409 (5208) when the id is taken. health away: it is made, and boots once health is back."""
        device = self._new(request)
        self._check_room(1)
        if not await self._mocks.add([device]):
            raise RpcError(409, Code.DUPLICATE_ENTRY, f"{device.esp_id} exists already", "esp_id")
        log.info("mock_created", esp_id=device.esp_id, user=caller.user)
        return await self._registered(device.esp_id, caller)

    async def create_many(self, request: CreateMocks, caller: Caller) -> MocksCreated:
        """Make many mocks; they boot as health takes them in, within seconds."""
        devices = []
        for each in request.devices:
            devices.append(self._new(each))
            await asyncio.sleep(0)
        ids = [device.esp_id for device in devices]
        if len(set(ids)) < len(ids):
            raise RpcError(422, Code.DUPLICATE_ENTRY, "an esp_id is listed twice", "devices")
        taken = sorted(esp_id for esp_id in ids if esp_id in self._mocks.world)
        if taken and not request.skip_existing:
            raise RpcError(409, Code.DUPLICATE_ENTRY, f"{', '.join(taken[:5])} exist already", "esp_id")
        self._check_room(len(ids) - len(taken))
        added = await self._mocks.add(devices)
        log.info("mocks_created", count=len(added), user=caller.user)
        return MocksCreated(esp_ids=[device.esp_id for device in added])

    async def delete(self, request: MockId, caller: Caller) -> Nothing:
        """Remove a mock, here and from the registry. Its data stays stored."""
        self._access.found(request.esp_id)
        await self._mocks.delete(request.esp_id)
        log.info("mock_deleted", esp_id=request.esp_id, user=caller.user)
        try:
            await self._registrar.unregister(request.esp_id, caller)
        except NOT_NOW as error:
            log.warning("mock_not_unregistered", esp_id=request.esp_id, error=str(error), next="tried again")
        return Nothing()

    async def start(self, request: MockId, caller: Caller) -> Mock:
        """Power on."""
        await self._access.changed(request.esp_id, lambda device: lifecycle.started(device, self._clock()))
        return await self._registered(request.esp_id, caller)

    async def stop(self, request: MockId, caller: Caller) -> Mock:
        """Power off: the broker publishes the device's will."""
        return await self._access.changed(request.esp_id, lambda device: lifecycle.stopped(device, self._clock()))

    async def heartbeat(self, request: MockId, caller: Caller) -> Mock:
        """Send a heartbeat now. 409 (5007) without a connection."""

        def change(device: MockDevice) -> Reaction:
            if not is_connected(device):
                raise RpcError(409, Code.ESP_OFFLINE, f"{device.esp_id} is not connected")
            beat = payloads.heartbeat(device, self._clock())
            return Reaction(device, (replace(beat, transient=False),))

        return await self._access.changed(request.esp_id, change)

    async def state(self, request: SetState, caller: Caller) -> Mock:
        """Put a running mock in a state."""

        def change(device: MockDevice) -> Reaction:
            if not (device.life.running and device.life.registered):
                raise RpcError(409, Code.ESP_OFFLINE, f"{device.esp_id} is not running: start it first")
            return lifecycle.with_state(device, request.request.state, request.request.reason, self._clock())

        return await self._access.changed(request.esp_id, change)

    async def faults(self, request: SetFaults, caller: Caller) -> Mock:
        """Put other faults in the place of those in force."""
        return await self._access.changed(
            request.esp_id, lambda device: lifecycle.with_faults(device, request.faults, self._clock())
        )

    async def emergency(self, request: SetEmergency, caller: Caller) -> Mock:
        """Press the red button at the device, or release it."""

        def change(device: MockDevice) -> Reaction:
            if request.request.action == "clear":
                return released(device, self._clock())
            return pressed(device, request.request.reason, self._clock())

        return await self._access.changed(request.esp_id, change)

    async def messages(self, query: MockMessagesQuery, caller: Caller) -> MockMessages:
        """The last messages of a mock."""
        self._access.found(query.esp_id)
        return MockMessages(items=self._mocks.world.messages(query.esp_id, query.limit))

    def _new(self, request: CreateMock) -> MockDevice:
        """The mock as it begins. 422 where a pattern cannot be made, or a pin has two uses."""
        used = {actuator.gpio for actuator in request.actuators} & {sensor.gpio for sensor in request.sensors}
        if used:
            text = f"gpio {min(used)} is a sensor's and an actuator's"
            raise RpcError(422, Code.INVALID_GPIO, text, "actuators")
        setup = Setup(
            esp_id=request.esp_id or f"MOCK_{secrets.token_hex(4).upper()}",
            kaiser_id=request.kaiser_id,
            name=request.name,
            firmware=request.firmware,
            firmware_version=request.firmware_version,
            heartbeat_interval_s=request.heartbeat_interval_s,
            sensors=[*request.sensors],
            actuators=[*request.actuators],
        )
        device = MockDevice(setup=setup, life=Life(zone_id=request.zone_id, faults=request.faults))
        self._access.check(device)
        return lifecycle.started(device, self._clock()).device if request.auto_start else device

    def _check_room(self, more: int) -> None:
        if len(self._mocks.world) + more > self._most:
            raise RpcError(409, Code.VALUE_OUT_OF_RANGE, f"at most {self._most} mocks (KAISER_SIMULATOR_MOCKS_MAX)")

    async def _registered(self, esp_id: str, caller: Caller) -> Mock:
        device = self._access.found(esp_id)
        if not device.life.registered:
            try:
                await self._registrar.register(device, caller)
            except NOT_NOW as error:
                log.warning("mock_not_registered", esp_id=esp_id, error=str(error), next="tried again")
        return self._access.view(self._access.found(esp_id))
