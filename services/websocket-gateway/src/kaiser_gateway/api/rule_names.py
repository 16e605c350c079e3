"""Refuses a rule that names a device that is not registered, a gpio that several sensors share, or an actuator that is
not set up."""

from collections.abc import Iterable

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.api.actuators import Actuator, ActuatorKey
from kaiser_common.contract.schemas.api.devices import Device, DeviceId, DevicesPage, DevicesQuery
from kaiser_common.contract.schemas.api.rules import RuleSettings
from kaiser_common.contract.schemas.api.sensors import LatestQuery, ReadingsPage

from kaiser_gateway.domain.rule_names import KnownSensor, Named, ambiguous, named, not_set_up, unknown_device

_SHOWN = 1000
_NOT_THERE = 404


async def check_names(bus: Bus, caller: Caller, settings: RuleSettings) -> None:
    """RpcError 422 names the field and what is wrong with it. A rule that is off may name what is not there yet. The
    registry, sensor or actuator away: their problem is raised, so no rule is stored unseen."""
    if not settings.enabled:
        return
    found = named(settings)
    await _check_devices(bus, caller, found)
    await _check_sensors(bus, caller, [one for one in found if one.sensor is not None])
    await _check_actuators(bus, caller, found)


async def _check_devices(bus: Bus, caller: Caller, found: Iterable[Named]) -> None:
    known: set[str] = set()
    for one in found:
        if one.esp_id not in known and not await _is_registered(bus, caller, one.esp_id):
            page = await call(bus, "health", "list", DevicesQuery(limit=_SHOWN), DevicesPage, caller=caller)
            text = unknown_device(one.esp_id, [device.esp_id for device in page.items])
            raise RpcError(422, Code.ESP_DEVICE_NOT_FOUND, text, f"{one.field}.esp_id")
        known.add(one.esp_id)


async def _is_registered(bus: Bus, caller: Caller, esp_id: str) -> bool:
    try:
        await call(bus, "health", "read", DeviceId(esp_id=esp_id), Device, caller=caller)
    except RpcError as error:
        if error.problem.status != _NOT_THERE:
            raise
        return False
    return True


async def _check_sensors(bus: Bus, caller: Caller, found: Iterable[Named]) -> None:
    sensors: dict[str, list[KnownSensor]] = {}
    for one in found:
        if one.esp_id not in sensors:
            query = LatestQuery(esp_id=one.esp_id)
            page = await call(bus, "sensor", "latest", query, ReadingsPage, caller=caller)
            sensors[one.esp_id] = [KnownSensor(each.gpio, each.sensor_type, each.address) for each in page.items]
        text = ambiguous(one, sensors)
        if text is not None:
            raise RpcError(422, Code.INVALID_SENSOR_TYPE, text, f"{one.field}.sensor_type")


async def _check_actuators(bus: Bus, caller: Caller, found: Iterable[Named]) -> None:
    known: set[tuple[str, int]] = set()
    for one in found:
        if one.commanded is None or (one.esp_id, one.commanded) in known:
            continue
        key = ActuatorKey(esp_id=one.esp_id, gpio=one.commanded)
        if not await _is_set_up(bus, caller, key):
            raise RpcError(422, Code.INVALID_GPIO, not_set_up(one.esp_id, one.commanded), f"{one.field}.gpio")
        known.add((one.esp_id, one.commanded))


async def _is_set_up(bus: Bus, caller: Caller, key: ActuatorKey) -> bool:
    try:
        actuator = await call(bus, "actuator", "read", key, Actuator, caller=caller)
    except RpcError as error:
        if error.problem.status != _NOT_THERE:
            raise
        return False
    return actuator.registered
