"""Requests about sensor configurations."""

import asyncio
from collections.abc import Iterable
from typing import Any

from kaiser_common.bus.bucket import BucketWriter
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.bus.turns import TURN_WITHIN_S, held, turn_of
from kaiser_common.contract.errors import Code
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.devices import DeviceId
from kaiser_common.contract.schemas.api.sensors import (
    ConfigsPage,
    ConfigsQuery,
    PatchSensor,
    SensorConfig,
    SensorKey,
    ThresholdsModel,
)
from kaiser_common.contract.schemas.device import DeviceConfig, SensorItem
from kaiser_common.contract.subjects import sensor_config_key
from kaiser_common.runtime.cursors import parse_cursor, to_cursor
from kaiser_common.runtime.database import DatabasePool

from kaiser_sensor.domain.settings import changed, unconfigured
from kaiser_sensor.store import Connection
from kaiser_sensor.store import configs as config_store
from kaiser_sensor.store.config_mirror import Configs, Key
from kaiser_sensor.store.newest import seen

_OF_ONE_DEVICE = 1000
_OTHERS = "other configurations are being changed"
_REBUILT_WITHIN_S = 30.0


class ConfigApi:
    """The handlers; the table first, then the bucket. Killed between: the next start writes the bucket.

    waits_s: how long a change waits for those before it; 503 beyond that.
    """

    def __init__(
        self, pool: DatabasePool, bucket: BucketWriter, configs: Configs, waits_s: float = TURN_WITHIN_S
    ) -> None:
        self._pool = pool
        self._bucket = bucket
        self._changing = asyncio.Lock()
        self._waits_s = waits_s
        self._configs = configs

    async def page(self, query: ConfigsQuery, caller: Caller) -> ConfigsPage:
        """A page of configured sensors."""
        after = _parse_cursor(query.cursor) if query.cursor else None
        async with self._pool.connection() as connection:
            items = await config_store.page(connection, query, after)
        more = len(items) == query.limit
        return ConfigsPage(items=items, next_cursor=to_cursor(*_key(items[-1])) if more else None)

    async def put(self, request: SensorConfig, caller: Caller) -> SensorConfig:
        """Configure a sensor, under its canonical type; in force in every replica within a second. Its thresholds are
        alarm limits, which the service alarm keeps."""
        canonical = self._configs.canonical(request.sensor_type)
        config = request.model_copy(update={"sensor_type": canonical, "thresholds": ThresholdsModel()})
        async with turn_of(self._changing, _OTHERS, self._waits_s):
            async with self._pool.connection() as connection:
                await config_store.put(connection, config)
            await self._bucket.put(sensor_config_key(*_key(config)), config.model_dump_json().encode())
        return config

    async def patch(self, request: PatchSensor, caller: Caller) -> SensorConfig:
        """Change the settings that are given, and no others. A sensor that is not configured begins with what it does
        already: its own interval, raw or processed values."""
        key = (request.esp_id, request.gpio, self._configs.canonical(request.sensor_type), request.address)
        async with turn_of(self._changing, _OTHERS, self._waits_s):
            async with self._pool.connection() as connection:
                config = changed(await self._before(connection, key), request.patch)
                await config_store.put(connection, config)
            await self._bucket.put(sensor_config_key(*key), config.model_dump_json().encode())
        return config

    async def _before(self, connection: Connection, key: Key) -> SensorConfig:
        return await config_store.locked(connection, key) or unconfigured(key, await seen(connection, key))

    async def delete(self, request: SensorKey, caller: Caller) -> Nothing:
        """Delete a sensor's configuration: its raw readings are no longer processed. 404 if there is none."""
        canonical = self._configs.canonical(request.sensor_type)
        key = request.model_copy(update={"sensor_type": canonical})
        async with turn_of(self._changing, _OTHERS, self._waits_s):
            async with self._pool.connection() as connection:
                if not await config_store.delete(connection, key):
                    raise RpcError(404, Code.INVALID_SENSOR_TYPE, "this sensor is not configured", "sensor_type")
            await self._bucket.delete(sensor_config_key(key.esp_id, key.gpio, key.sensor_type, key.address))
        return Nothing()

    async def items(self, request: DeviceId, caller: Caller) -> DeviceConfig:
        """A device's sensors as its configuration lists them; health asks this before a push."""
        query = ConfigsQuery(esp_id=request.esp_id, limit=_OF_ONE_DEVICE)
        async with self._pool.connection() as connection:
            configs = await config_store.page(connection, query, None)
        return DeviceConfig(config_id="", sensors=[_to_item(config) for config in configs])

    async def rebuild(self) -> int:
        """Make the bucket say what the table says; the number of keys that had to change. TimeoutError: changes before
        this take too long."""
        async with held(self._changing, _REBUILT_WITHIN_S), self._pool.connection() as connection:
            return await self._bucket.rebuild(_by_key(await config_store.every(connection)))

    async def mend(self) -> None:
        """Rebuild the bucket where it was deleted and declared again. Raises nats errors while it is missing, and
        TimeoutError as `rebuild`."""
        if await self._bucket.is_another():
            await self.rebuild()


_ROM_CODE_DIGITS, _I2C_DIGITS = 16, 3


def _key(config: SensorConfig) -> Key:
    return (config.esp_id, config.gpio, config.sensor_type, config.address)


def _by_key(configs: Iterable[SensorConfig]) -> dict[str, bytes]:
    return {sensor_config_key(*_key(config)): config.model_dump_json().encode() for config in configs}


def _to_item(config: SensorConfig) -> SensorItem:
    return SensorItem(
        gpio=config.gpio,
        sensor_type=config.sensor_type,
        sensor_name=config.name,
        subzone_id=config.subzone_id,
        active=config.active,
        raw_mode=config.raw_mode,
        operating_mode=config.operating_mode,
        measurement_interval_seconds=config.interval_s,
        onewire_address=config.address if len(config.address) == _ROM_CODE_DIGITS else None,
        i2c_address=int(config.address) if config.address.isdecimal() and len(config.address) <= _I2C_DIGITS else None,
    )


def _parse_cursor(cursor: str) -> Any:
    return tuple(parse_cursor(cursor, str, int, str, str))
