"""The SQL of sensor configurations."""

from typing import Any

from kaiser_common.contract.schemas.api.sensors import ConfigsQuery, SensorConfig, SensorKey
from kaiser_common.runtime.statements import equal, execute, fetch_all, row_of
from psycopg.rows import scalar_row
from psycopg.types.json import Jsonb
from sqlalchemy import func, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from kaiser_sensor.store import Connection
from kaiser_sensor.store.tables import configs

Key = tuple[str, int, str, str]
"""esp_id, gpio, sensor_type, address."""

_c = configs.c
_KEY = (_c.esp_id, _c.gpio, _c.sensor_type, _c.address)


def read_config(config: Any) -> SensorConfig:
    """A configuration as it was stored; fields of a newer version are skipped."""
    return SensorConfig.model_validate(config, extra="ignore")


async def put(connection: Connection, config: SensorConfig) -> None:
    """Keep a configuration, in place of an older one."""
    add = insert(configs).values(
        esp_id=config.esp_id,
        gpio=config.gpio,
        sensor_type=config.sensor_type,
        address=config.address,
        config=Jsonb(config.model_dump(mode="json")),
    )
    changed = {"config": add.excluded.config, "updated_at": func.now()}
    await execute(connection, add.on_conflict_do_update(index_elements=list(_KEY), set_=changed))


async def locked(connection: Connection, key: Key) -> SensorConfig | None:
    """A configuration, locked until the transaction ends; None where there is none."""
    statement = select(_c.config).where(*equal(dict(zip(_KEY, key, strict=True)))).with_for_update()
    found = await fetch_all(connection, scalar_row, statement)
    return read_config(found[0]) if found else None


async def delete(connection: Connection, key: SensorKey) -> bool:
    """Remove a configuration; False when it was not there."""
    wanted = equal({_c.esp_id: key.esp_id, _c.gpio: key.gpio, _c.sensor_type: key.sensor_type, _c.address: key.address})
    cursor = await execute(connection, configs.delete().where(*wanted))
    return cursor.rowcount > 0


async def page(connection: Connection, query: ConfigsQuery, after: Key | None) -> list[SensorConfig]:
    """Configurations after a key, in the order of their keys."""
    statement = select(_c.config).where(*equal({_c.esp_id: query.esp_id}))
    if after is not None:
        statement = statement.where(tuple_(*_KEY) > row_of(*after))
    found = await fetch_all(connection, scalar_row, statement.order_by(*_KEY).limit(query.limit))
    return [read_config(config) for config in found]


async def every(connection: Connection) -> list[SensorConfig]:
    """All configurations, to make the bucket say what the table says."""
    return [read_config(config) for config in await fetch_all(connection, scalar_row, select(_c.config))]
