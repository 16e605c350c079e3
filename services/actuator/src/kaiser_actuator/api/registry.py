"""The registry of actuators and their history."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from kaiser_common.bus.mirror import soon
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.actuators import (
    Actuator,
    ActuatorKey,
    ActuatorSettings,
    ActuatorsPage,
    ActuatorsQuery,
    Emergency,
    HistoryPage,
    HistoryQuery,
    PatchActuator,
    PutActuator,
)
from kaiser_common.contract.schemas.api.devices import DeviceId
from kaiser_common.contract.schemas.device import ActuatorItem, DeviceConfig, DeviceRecord
from kaiser_common.contract.times import time_of
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.versions import patched

from kaiser_actuator.domain.admission import check_device, is_approved
from kaiser_actuator.domain.emergencies import covering
from kaiser_actuator.domain.shown import ActuatorNow, is_shown, to_actuator
from kaiser_actuator.domain.unit import Unit
from kaiser_actuator.store import Connection, actuators, history
from kaiser_actuator.store.actuators import Key

_DAY = timedelta(days=1)
_ALL_OF_A_DEVICE = 64
_MOST_LOOKED_AT = 10_000
_AT_ONCE = 500
"""Actuators that are looked at between two turns of the loop, on which a stop may wait."""

_LONGEST_GPIO = 3


class ActuatorRegistryApi:
    """The handlers; each is one transaction, so being killed leaves it done or not done."""

    def __init__(
        self,
        pool: DatabasePool,
        devices: Mapping[str, DeviceRecord],
        stops: Mapping[str, Emergency],
        clock: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._devices = devices
        self._stops = stops
        self._clock = clock

    async def list_actuators(self, query: ActuatorsQuery, caller: Caller) -> ActuatorsPage:
        """A page of actuators. For a zone or a state up to 10,000 are looked at, in blocks, so that a stop waits for
        none of them but the block at hand."""
        after = _to_key(query.cursor)
        is_narrowed = any(each is not None for each in (query.actuator_type, query.zone_id, query.state))
        at_once = _AT_ONCE if is_narrowed else min(_AT_ONCE, query.limit + 1)
        items: list[Actuator] = []
        looked_at = 0
        async with self._pool.reading() as connection:
            while len(items) <= query.limit and looked_at < _MOST_LOOKED_AT:
                units = await actuators.page(connection, query.esp_id, after, at_once, query.actuator_type)
                items += [to_actuator(now) for now in map(self._now, units) if is_shown(query, now)]
                looked_at += len(units)
                after = units[-1].key if len(units) == at_once else None
                if after is None:
                    break
        if len(items) > query.limit:
            after = (items[query.limit - 1].esp_id, items[query.limit - 1].gpio)
        return ActuatorsPage(
            items=items[: query.limit], next_cursor=None if after is None else f"{after[0]}.{after[1]}"
        )

    async def read(self, request: ActuatorKey, caller: Caller) -> Actuator:
        """One actuator. Also asked before a person's command is carried out, so it does not wait behind lists."""
        async with self._pool.connection() as connection:
            return await self._one(connection, request)

    async def put(self, request: PutActuator, caller: Caller) -> Actuator:
        """Register an actuator of a registered device, or change its settings."""
        known = await soon(self._devices, request.esp_id, is_approved)
        device = check_device(known, request.esp_id)
        _check_interlocks(request.settings, request.gpio)
        async with self._pool.connection() as connection:
            await actuators.put_settings(connection, request.esp_id, request.gpio, device.kaiser_id, request.settings)
            return await self._one(connection, request)

    async def patch(self, request: PatchActuator, caller: Caller) -> Actuator:
        """Change the settings that are given, and no others. 404 for an actuator that is not set up."""
        key = (request.esp_id, request.gpio)
        async with self._pool.connection() as connection:
            unit = (await actuators.lock(connection, [key])).get(key)
            if unit is None or not unit.registered:
                raise _unknown(request)
            settings = patched(ActuatorSettings, unit.settings, request.patch)
            _check_interlocks(settings, request.gpio)
            await actuators.put_settings(connection, *key, unit.kaiser_id, settings)
            return await self._one(connection, request)

    async def delete(self, request: ActuatorKey, caller: Caller) -> Nothing:
        """Remove an actuator; its history stays. 409 while a command is open."""
        async with self._pool.connection() as connection:
            units = await actuators.lock(connection, [(request.esp_id, request.gpio)])
            if any(unit.open for unit in units.values()):
                raise RpcError(409, Code.STATE_CHANGED, "a command of this actuator is still open", "gpio")
            if not await actuators.delete(connection, request.esp_id, request.gpio):
                raise _unknown(request)
        return Nothing()

    async def history(self, query: HistoryQuery, caller: Caller) -> HistoryPage:
        """The history of an actuator, newest first."""
        end = time_of(query.to_ms) if query.to_ms is not None else self._clock() + _DAY
        start = time_of(query.from_ms) if query.from_ms is not None else min(end, self._clock()) - _DAY
        before = _to_position(query.cursor)
        async with self._pool.reading() as connection:
            rows = await history.page(connection, query.esp_id, query.gpio, start, end, before, query.limit)
        more = len(rows) == query.limit
        last, key = rows[-1] if rows else (None, "")
        return HistoryPage(
            items=[item for item, _ in rows],
            next_cursor=f"{last.ts} {last.kind} {key}" if more and last is not None else None,
        )

    async def config_items(self, request: DeviceId, caller: Caller) -> DeviceConfig:
        """The actuators part of a device's configuration, for health's push."""
        async with self._pool.connection() as connection:
            units = await actuators.page(connection, request.esp_id, None, _ALL_OF_A_DEVICE)
        return DeviceConfig(config_id="", actuators=[_to_item(unit) for unit in units if unit.registered])

    async def _one(self, connection: Connection, key: ActuatorKey) -> Actuator:
        unit = await actuators.read(connection, key.esp_id, key.gpio)
        if unit is None:
            raise _unknown(key)
        return to_actuator(self._now(unit))

    def _now(self, unit: Unit) -> ActuatorNow:
        return ActuatorNow(unit, self._devices.get(unit.esp_id), covering(self._stops, unit.esp_id, unit.gpio))


def _check_interlocks(settings: ActuatorSettings, gpio: int) -> None:
    if gpio in settings.interlocks:
        raise RpcError(422, Code.VALUE_OUT_OF_RANGE, "interlocks must not name the actuator itself", "interlocks")


def _to_item(unit: Unit) -> ActuatorItem:
    settings = unit.settings
    return ActuatorItem(
        gpio=unit.gpio,
        actuator_type=settings.actuator_type,
        actuator_name=settings.name,
        subzone_id=settings.subzone_id,
        active=settings.active,
        inverted_logic=settings.inverted,
        critical=settings.critical,
        default_state=settings.default_state,
        default_pwm=settings.default_pwm,
        aux_gpio=settings.aux_gpio,
        max_runtime_ms=settings.max_runtime_s * 1000 or None,
    )


def _unknown(key: ActuatorKey) -> RpcError:
    return RpcError(404, Code.INVALID_GPIO, f"{key.esp_id} has no actuator on gpio {key.gpio}", "gpio")


def _to_key(cursor: str | None) -> Key | None:
    if cursor is None:
        return None
    esp_id, _, gpio = cursor.rpartition(".")
    if not gpio.isdecimal() or len(gpio) > _LONGEST_GPIO:
        raise _bad_cursor()
    return esp_id, int(gpio)


def _to_position(cursor: str | None) -> tuple[datetime, str, str] | None:
    if cursor is None:
        return None
    parts = cursor.split(" ", 2)
    if len(parts) != 3 or not parts[0].isdecimal() or len(parts[0]) > 13:
        raise _bad_cursor()
    return time_of(int(parts[0])), parts[1], parts[2]


def _bad_cursor() -> RpcError:
    return RpcError(
        422, Code.VALUE_OUT_OF_RANGE, "The cursor is invalid: use next_cursor of the previous page.", "cursor"
    )
