"""The SQL of sensor configurations."""

from typing import Any

from kaiser_common.contract.schemas.api.sensors import ConfigsQuery, SensorConfig, SensorKey
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

Connection = AsyncConnection[Any]

Key = tuple[str, int, str, str]
"""esp_id, gpio, sensor_type, address."""


def read_config(config: Any) -> SensorConfig:
    """A configuration as it was stored; fields of a newer version are skipped."""
    return SensorConfig.model_validate(config, extra="ignore")


async def put(connection: Connection, config: SensorConfig) -> None:
    """Keep a configuration, in place of an older one."""
    await connection.execute(
        """
        INSERT INTO sensor.configs (esp_id, gpio, sensor_type, address, config) VALUES (%s, %s, %s, %s, %s)
        ON CONFLICT (esp_id, gpio, sensor_type, address) DO UPDATE SET config = excluded.config, updated_at = now()
        """,
        (config.esp_id, config.gpio, config.sensor_type, config.address, Jsonb(config.model_dump(mode="json"))),
    )


async def delete(connection: Connection, key: SensorKey) -> bool:
    """Remove a configuration; False when it was not there."""
    cursor = await connection.execute(
        "DELETE FROM sensor.configs WHERE esp_id = %s AND gpio = %s AND sensor_type = %s AND address = %s",
        (key.esp_id, key.gpio, key.sensor_type, key.address),
    )
    return cursor.rowcount > 0


async def page(connection: Connection, query: ConfigsQuery, after: Key | None) -> list[SensorConfig]:
    """Configurations after a key, in the order of their keys."""
    after_esp_id, after_gpio, after_type, after_address = after or (None, None, None, None)
    cursor = await connection.execute(
        """
        SELECT config FROM sensor.configs
        WHERE (%(esp_id)s::text IS NULL OR esp_id = %(esp_id)s)
          AND (%(after_esp_id)s::text IS NULL
               OR (esp_id, gpio, sensor_type, address)
                  > (%(after_esp_id)s, %(after_gpio)s::bigint, %(after_type)s, %(after_address)s))
        ORDER BY esp_id, gpio, sensor_type, address LIMIT %(limit)s
        """,
        {
            "esp_id": query.esp_id,
            "limit": query.limit,
            "after_esp_id": after_esp_id,
            "after_gpio": after_gpio,
            "after_type": after_type,
            "after_address": after_address,
        },
    )
    return [read_config(row[0]) for row in await cursor.fetchall()]


async def every(connection: Connection) -> list[SensorConfig]:
    """All configurations, to make the bucket say what the table says."""
    cursor = await connection.execute("SELECT config FROM sensor.configs")
    return [read_config(row[0]) for row in await cursor.fetchall()]
