"""What the simulator answers to the gateway."""

import asyncio
import secrets
from dataclasses import replace
from typing import Any

import structlog
from kaiser_common.errors import Code
from kaiser_common.rpc import Caller, Method, Nothing, RpcError
from kaiser_common.schemas.actuator import Emergency
from kaiser_common.schemas.api.mock import (
    AddActuator,
    AddSensor,
    CreateMock,
    CreateMocks,
    Mock,
    MockActuators,
    MockId,
    MockMessages,
    MockMessagesQuery,
    MockPin,
    MocksCreated,
    MockSensor,
    MocksPage,
    MocksQuery,
    SensorValue,
    SetEmergency,
    SetFaults,
    SetState,
    SetValues,
)

from kaiser_simulator import lifecycle, payloads
from kaiser_simulator.actuators import Reaction, on_emergency
from kaiser_simulator.device import Device, Life, Setup, is_connected, measures, paused, sensor_key
from kaiser_simulator.mocks import Change, Clock, Mocks
from kaiser_simulator.orders import with_actuator, with_sensor
from kaiser_simulator.registrar import NOT_NOW, Registrar
from kaiser_simulator.views import to_actuators, to_mock

log = structlog.get_logger()


class MockApi:
    """The handlers. Every change is in the table before it is answered."""

    def __init__(self, mocks: Mocks, registrar: Registrar, clock: Clock, most: int) -> None:
        self._mocks = mocks
        self._registrar = registrar
        self._clock = clock
        self._most = most

    def methods(self) -> dict[str, Method[Any, Any]]:
        """By the name of the method."""
        return {
            "list": Method(MocksQuery, self.list_mocks),
            "read": Method(MockId, self.read),
            "create": Method(CreateMock, self.create),
            "create_many": Method(CreateMocks, self.create_many),
            "delete": Method(MockId, self.delete),
            "start": Method(MockId, self.start),
            "stop": Method(MockId, self.stop),
            "heartbeat": Method(MockId, self.heartbeat),
            "state": Method(SetState, self.state),
            "faults": Method(SetFaults, self.faults),
            "add_sensor": Method(AddSensor, self.add_sensor),
            "remove_sensor": Method(MockPin, self.remove_sensor),
            "set_values": Method(SetValues, self.set_values),
            "clear_value": Method(MockPin, self.clear_value),
            "add_actuator": Method(AddActuator, self.add_actuator),
            "remove_actuator": Method(MockPin, self.remove_actuator),
            "actuators": Method(MockId, self.actuators),
            "emergency": Method(SetEmergency, self.emergency),
            "messages": Method(MockMessagesQuery, self.messages),
        }

    async def list_mocks(self, query: MocksQuery, caller: Caller) -> MocksPage:
        """A page of mocks, by id."""
        after = query.cursor or ""
        devices = sorted((device for device in self._mocks.world if device.esp_id > after), key=lambda d: d.esp_id)
        page = devices[: query.limit]
        items = []
        for device in page:
            if device.esp_id in self._mocks.world:  # one may be deleted while this lets readings pass
                items.append(self._view(device))
            await asyncio.sleep(0)
        return MocksPage(items=items, next_cursor=page[-1].esp_id if len(devices) > query.limit else None)

    async def read(self, request: MockId, caller: Caller) -> Mock:
        """One mock."""
        return self._view(self._found(request.esp_id))

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
        devices = [self._new(each) for each in request.devices]
        ids = [device.esp_id for device in devices]
        if len(set(ids)) < len(ids):
            raise RpcError(422, Code.DUPLICATE_ENTRY, "the same esp_id twice", "devices")
        taken = sorted(esp_id for esp_id in ids if esp_id in self._mocks.world)
        if taken and not request.skip_existing:
            raise RpcError(409, Code.DUPLICATE_ENTRY, f"{', '.join(taken[:5])} exist already", "esp_id")
        self._check_room(len(ids) - len(taken))
        added = await self._mocks.add(devices)
        log.info("mocks_created", count=len(added), user=caller.user)
        return MocksCreated(esp_ids=[device.esp_id for device in added])

    async def delete(self, request: MockId, caller: Caller) -> Nothing:
        """Remove a mock, here and from the registry. What it sent stays stored."""
        self._found(request.esp_id)
        await self._mocks.delete(request.esp_id)
        log.info("mock_deleted", esp_id=request.esp_id, user=caller.user)
        try:
            await self._registrar.unregister(request.esp_id, caller)
        except NOT_NOW as error:
            log.warning("mock_not_unregistered", esp_id=request.esp_id, error=str(error), next="tried again")
        return Nothing()

    async def start(self, request: MockId, caller: Caller) -> Mock:
        """Power on."""
        await self._changed(request.esp_id, lambda device: lifecycle.started(device, self._clock()))
        return await self._registered(request.esp_id, caller)

    async def stop(self, request: MockId, caller: Caller) -> Mock:
        """Power off: the broker tells the device's will."""
        return await self._changed(request.esp_id, lambda device: lifecycle.stopped(device, self._clock()))

    async def heartbeat(self, request: MockId, caller: Caller) -> Mock:
        """Send a heartbeat now. 409 (5007) without a connection."""

        def change(device: Device) -> Reaction:
            if not is_connected(device):
                raise RpcError(409, Code.ESP_OFFLINE, f"{device.esp_id} is not connected")
            beat = payloads.heartbeat(device, self._clock())
            return Reaction(device, (replace(beat, transient=False),))

        return await self._changed(request.esp_id, change)

    async def state(self, request: SetState, caller: Caller) -> Mock:
        """Put a running mock in a state."""

        def change(device: Device) -> Reaction:
            if not (device.life.running and device.life.registered):
                raise RpcError(409, Code.ESP_OFFLINE, f"{device.esp_id} does not run")
            return lifecycle.with_state(device, request.request.state, request.request.reason, self._clock())

        return await self._changed(request.esp_id, change)

    async def faults(self, request: SetFaults, caller: Caller) -> Mock:
        """Put other faults in the place of those in force."""
        return await self._changed(
            request.esp_id, lambda device: lifecycle.with_faults(device, request.faults, self._clock())
        )

    async def add_sensor(self, request: AddSensor, caller: Caller) -> Mock:
        """Add a sensor, or put it in the place of its like."""

        def change(device: Device) -> Reaction:
            if device.actuator(request.sensor.gpio) is not None:
                raise RpcError(409, Code.DUPLICATE_ENTRY, f"gpio {request.sensor.gpio} has an actuator", "gpio")
            after = with_sensor(device, request.sensor, self._clock()).with_sensor_life(request.sensor, active=True)
            self._check(after)
            return Reaction(after)

        return await self._changed(request.esp_id, change)

    async def remove_sensor(self, request: MockPin, caller: Caller) -> Mock:
        """Remove the sensors at a gpio, or one of them."""

        def change(device: Device) -> Reaction:
            gone = _sensors(device, request)
            kept = {key: life for key, life in device.life.sensors.items() if key not in map(_key, gone)}
            sensors = [sensor for sensor in device.setup.sensors if sensor not in gone]
            return Reaction(paused(device, gone, self._clock()).set_up(sensors=sensors).lived(sensors=kept))

        return await self._changed(request.esp_id, change)

    async def set_values(self, request: SetValues, caller: Caller) -> Mock:
        """Have sensors measure these values until the override is removed, all or none."""
        values = request.request.values

        def change(device: Device) -> Reaction:
            told = []
            for each in values:
                sensor = _one_sensor(device, each)
                override = {"override": round(each.value, 2), "override_quality": each.quality}
                device = device.with_sensor_life(sensor, **override)
                told += [sensor] if each.publish and measures(device) else []
            now_ms = self._clock()
            return Reaction(device, tuple(self._mocks.world.measure(device, sensor, now_ms) for sensor in told))

        return await self._changed(request.esp_id, change)

    async def clear_value(self, request: MockPin, caller: Caller) -> Mock:
        """Let the sensors at a gpio follow their pattern again."""

        def change(device: Device) -> Reaction:
            for sensor in _sensors(device, request):
                device = device.with_sensor_life(sensor, override=None, override_quality=None)
            return Reaction(device)

        return await self._changed(request.esp_id, change)

    async def add_actuator(self, request: AddActuator, caller: Caller) -> Mock:
        """Add an actuator, or put it in the place of the one at its gpio."""
        gpio = request.actuator.gpio

        def change(device: Device) -> Reaction:
            if device.sensors_at(gpio):
                raise RpcError(409, Code.DUPLICATE_ENTRY, f"gpio {gpio} has a sensor", "gpio")
            after = with_actuator(device, request.actuator)
            return Reaction(after, (payloads.actuator_status(after, request.actuator, self._clock()),))

        return await self._changed(request.esp_id, change)

    async def remove_actuator(self, request: MockPin, caller: Caller) -> Mock:
        """Remove an actuator."""

        def change(device: Device) -> Reaction:
            if device.actuator(request.gpio) is None:
                raise RpcError(404, Code.INVALID_GPIO, f"no actuator at gpio {request.gpio}", "gpio")
            kept = [actuator for actuator in device.setup.actuators if actuator.gpio != request.gpio]
            lives = {gpio: life for gpio, life in device.life.actuators.items() if gpio != request.gpio}
            return Reaction(device.set_up(actuators=kept).lived(actuators=lives))

        return await self._changed(request.esp_id, change)

    async def actuators(self, request: MockId, caller: Caller) -> MockActuators:
        """The actuators of a mock as the device has them."""
        return MockActuators(items=to_actuators(self._found(request.esp_id), self._clock()))

    async def emergency(self, request: SetEmergency, caller: Caller) -> Mock:
        """Press the red button at the device, or let go of it."""
        button = Emergency(action=request.request.action, reason=request.request.reason)
        return await self._changed(request.esp_id, lambda device: on_emergency(device, button, self._clock()))

    async def messages(self, query: MockMessagesQuery, caller: Caller) -> MockMessages:
        """The last messages of a mock."""
        self._found(query.esp_id)
        return MockMessages(items=self._mocks.world.messages(query.esp_id, query.limit))

    def _new(self, request: CreateMock) -> Device:
        """The mock as it begins. 422 where a pattern cannot be made, or a pin has two uses."""
        used = {actuator.gpio for actuator in request.actuators} & {sensor.gpio for sensor in request.sensors}
        if used:
            text = f"gpio {min(used)} is a sensor's and an actuator's"
            raise RpcError(422, Code.INVALID_GPIO, text, "actuators")
        setup = Setup(
            esp_id=request.esp_id or f"MOCK_{secrets.token_hex(4).upper()}",
            kaiser_id=request.kaiser_id,
            name=request.name,
            firmware_version=request.firmware_version,
            heartbeat_interval_s=request.heartbeat_interval_s,
            sensors=request.sensors,
            actuators=request.actuators,
        )
        device = Device(setup=setup, life=Life(zone_id=request.zone_id, faults=request.faults))
        self._check(device)
        return lifecycle.started(device, self._clock()).device if request.auto_start else device

    def _check(self, device: Device) -> None:
        try:
            self._mocks.world.check(device)
        except ValueError as error:
            raise RpcError(422, Code.VALUE_OUT_OF_RANGE, str(error), "variation_pattern") from error

    def _check_room(self, more: int) -> None:
        if len(self._mocks.world) + more > self._most:
            raise RpcError(409, Code.VALUE_OUT_OF_RANGE, f"at most {self._most} mocks (KAISER_SIMULATOR_MOCKS_MAX)")

    async def _registered(self, esp_id: str, caller: Caller) -> Mock:
        device = self._found(esp_id)
        if not device.life.registered:
            try:
                await self._registrar.register(device, caller)
            except NOT_NOW as error:
                log.warning("mock_not_registered", esp_id=esp_id, error=str(error), next="tried again")
        return self._view(self._found(esp_id))

    async def _changed(self, esp_id: str, change: Change) -> Mock:
        self._found(esp_id)
        await self._mocks.change(esp_id, change)
        return self._view(self._found(esp_id))

    def _found(self, esp_id: str) -> Device:
        device = self._mocks.world.get(esp_id)
        if device is None:
            raise RpcError(404, Code.ESP_DEVICE_NOT_FOUND, f"no mock {esp_id}", "esp_id")
        return device

    def _view(self, device: Device) -> Mock:
        return to_mock(device, self._mocks.world.record(device.esp_id), self._clock())


def _key(sensor: MockSensor) -> str:
    return sensor_key(sensor.gpio, sensor.sensor_type)


def _sensors(device: Device, pin: MockPin) -> list[MockSensor]:
    """The sensors that a request names, 404 where there is none."""
    found = device.sensors_at(pin.gpio, pin.sensor_type)
    if not found:
        raise RpcError(404, Code.INVALID_GPIO, f"no such sensor at gpio {pin.gpio}", "gpio")
    return found


def _one_sensor(device: Device, value: SensorValue) -> MockSensor:
    """The sensor that a value is for; 422 where several share the gpio and no type is named."""
    found = device.sensors_at(value.gpio, value.sensor_type)
    if not found:
        raise RpcError(404, Code.INVALID_GPIO, f"no such sensor at gpio {value.gpio}", "gpio")
    if len(found) > 1:
        types = ", ".join(sensor.sensor_type for sensor in found)
        raise RpcError(422, Code.INVALID_SENSOR_TYPE, f"gpio {value.gpio} has {types}: name one", "sensor_type")
    return found[0]
