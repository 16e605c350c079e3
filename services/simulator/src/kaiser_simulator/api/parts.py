"""Requests about the sensors and actuators of a mock."""

from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.api.mock import (
    AddActuator,
    AddSensor,
    Mock,
    MockActuators,
    MockId,
    MockPin,
    MockSensor,
    SensorValue,
    SetValues,
)

from kaiser_simulator.api.access import Access
from kaiser_simulator.domain import payloads
from kaiser_simulator.domain.actuators import Reaction
from kaiser_simulator.domain.configuration import with_actuator, with_sensor
from kaiser_simulator.domain.device import MockDevice, measures, paused, sensor_key
from kaiser_simulator.domain.views import to_actuators
from kaiser_simulator.store.changes import Clock, Mocks

_MOST_SENSORS = 64


class PartsApi:
    """The handlers. Every change is in the table before it is answered."""

    def __init__(self, mocks: Mocks, clock: Clock) -> None:
        self._access = Access(mocks, clock)
        self._mocks = mocks
        self._clock = clock

    async def add_sensor(self, request: AddSensor, caller: Caller) -> Mock:
        """Add a sensor, or put it in the place of its like."""

        def change(device: MockDevice) -> Reaction:
            if device.actuator(request.sensor.gpio) is not None:
                raise RpcError(409, Code.DUPLICATE_ENTRY, f"gpio {request.sensor.gpio} has an actuator", "gpio")
            after = with_sensor(device, request.sensor, self._clock()).with_sensor_life(request.sensor, active=True)
            if len(after.setup.sensors) > _MOST_SENSORS:
                raise RpcError(409, Code.VALUE_OUT_OF_RANGE, f"at most {_MOST_SENSORS} sensors a mock", "gpio")
            self._access.check(after)
            return Reaction(after)

        return await self._access.changed(request.esp_id, change)

    async def remove_sensor(self, request: MockPin, caller: Caller) -> Mock:
        """Remove the sensors at a gpio, or one of them."""

        def change(device: MockDevice) -> Reaction:
            gone = _sensors(device, request)
            kept = {key: life for key, life in device.life.sensors.items() if key not in map(_key, gone)}
            sensors = [sensor for sensor in device.setup.sensors if sensor not in gone]
            return Reaction(paused(device, gone, self._clock()).set_up(sensors=sensors).lived(sensors=kept))

        return await self._access.changed(request.esp_id, change)

    async def set_values(self, request: SetValues, caller: Caller) -> Mock:
        """Have sensors measure these values until the override is removed, all or none."""
        values = request.request.values

        def change(device: MockDevice) -> Reaction:
            told = []
            for each in values:
                sensor = _one_sensor(device, each)
                override = {"override": round(each.value, 2), "override_quality": each.quality}
                device = device.with_sensor_life(sensor, **override)
                told += [sensor] if each.publish and measures(device) else []
            now_ms = self._clock()
            return Reaction(device, tuple(self._mocks.world.measure(device, sensor, now_ms) for sensor in told))

        return await self._access.changed(request.esp_id, change)

    async def clear_value(self, request: MockPin, caller: Caller) -> Mock:
        """Let the sensors at a gpio follow their pattern again."""

        def change(device: MockDevice) -> Reaction:
            for sensor in _sensors(device, request):
                device = device.with_sensor_life(sensor, override=None, override_quality=None)
            return Reaction(device)

        return await self._access.changed(request.esp_id, change)

    async def add_actuator(self, request: AddActuator, caller: Caller) -> Mock:
        """Add an actuator, or put it in the place of the one at its gpio."""
        gpio = request.actuator.gpio

        def change(device: MockDevice) -> Reaction:
            if device.sensors_at(gpio):
                raise RpcError(409, Code.DUPLICATE_ENTRY, f"gpio {gpio} has a sensor", "gpio")
            after = with_actuator(device, request.actuator)
            return Reaction(after, (payloads.actuator_status(after, request.actuator, self._clock()),))

        return await self._access.changed(request.esp_id, change)

    async def remove_actuator(self, request: MockPin, caller: Caller) -> Mock:
        """Remove an actuator."""

        def change(device: MockDevice) -> Reaction:
            if device.actuator(request.gpio) is None:
                raise RpcError(404, Code.INVALID_GPIO, f"no actuator at gpio {request.gpio}", "gpio")
            kept = [actuator for actuator in device.setup.actuators if actuator.gpio != request.gpio]
            lives = {gpio: life for gpio, life in device.life.actuators.items() if gpio != request.gpio}
            return Reaction(device.set_up(actuators=kept).lived(actuators=lives))

        return await self._access.changed(request.esp_id, change)

    async def actuators(self, request: MockId, caller: Caller) -> MockActuators:
        """The actuators of a mock as the device has them."""
        return MockActuators(items=to_actuators(self._access.found(request.esp_id), self._clock()))


def _key(sensor: MockSensor) -> str:
    return sensor_key(sensor.gpio, sensor.sensor_type)


def _sensors(device: MockDevice, pin: MockPin) -> list[MockSensor]:
    """The sensors that a request names, 404 if there is none."""
    found = device.sensors_at(pin.gpio, pin.sensor_type)
    if not found:
        raise RpcError(404, Code.INVALID_GPIO, f"no such sensor at gpio {pin.gpio}", "gpio")
    return found


def _one_sensor(device: MockDevice, value: SensorValue) -> MockSensor:
    """The sensor that a value is for; 422 where several share the gpio and no type is named."""
    found = device.sensors_at(value.gpio, value.sensor_type)
    if not found:
        raise RpcError(404, Code.INVALID_GPIO, f"no such sensor at gpio {value.gpio}", "gpio")
    if len(found) > 1:
        types = ", ".join(sensor.sensor_type for sensor in found)
        raise RpcError(422, Code.INVALID_SENSOR_TYPE, f"gpio {value.gpio} has {types}: name one", "sensor_type")
    return found[0]
