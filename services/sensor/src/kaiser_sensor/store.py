"""The SQL of the sensor service: one writer of `sensor.data` and `sensor.latest`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from kaiser_common.database import copy_upsert
from psycopg import AsyncConnection, sql

from kaiser_sensor.rows import COLUMNS, Row, newest

Connection = AsyncConnection[Any]

_KEY = ("esp_id", "gpio", "sensor_type")
_LATEST_UPSERT = sql.SQL(
    "INSERT INTO sensor.latest AS latest ({names}) SELECT {names} FROM unnest({arrays}) AS row ({names})"
    " ON CONFLICT (esp_id, gpio, sensor_type) DO UPDATE SET {sets} WHERE latest.time < excluded.time"
).format(
    names=sql.SQL(", ").join(map(sql.Identifier, COLUMNS)),
    arrays=sql.SQL(
        "%s::timestamptz[], %s::text[], %s::smallint[], %s::text[], %s::float8[], %s::float8[], %s::float8[],"
        " %s::text[], %s::text[], %s::text[], %s::text[], %s::text[]"
    ),
    sets=sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column)) for column in COLUMNS if column not in _KEY
    ),
)
_SELECTED = ", ".join(COLUMNS)


async def insert(connection: Connection, rows: Sequence[Row]) -> int:
    """Store readings and the newest of each sensor, in the caller's transaction; the number that were new.

    The same reading again changes nothing.
    """
    new = await copy_upsert(connection, "sensor.data", COLUMNS, rows)
    await connection.execute(_LATEST_UPSERT, [list(column) for column in zip(*newest(rows), strict=True)])
    return new


async def latest(connection: Connection, esp_id: str | None) -> list[Row]:
    """The newest reading of each sensor, of one device or of all."""
    cursor = await connection.execute(
        f"SELECT {_SELECTED} FROM sensor.latest WHERE %(esp_id)s::text IS NULL OR esp_id = %(esp_id)s"
        " ORDER BY esp_id, gpio, sensor_type",
        {"esp_id": esp_id},
    )
    return await cursor.fetchall()


async def readings(
    connection: Connection,
    esp_id: str,
    *,
    gpio: int | None,
    sensor_type: str | None,
    from_at: datetime,
    to_at: datetime,
    after: tuple[datetime, int, str] | None,
    limit: int,
) -> list[Row]:
    """Readings of a device in [from_at, to_at), oldest first; `after` is the key of the last one already had."""
    cursor = await connection.execute(
        f"SELECT {_SELECTED} FROM sensor.data"
        " WHERE esp_id = %(esp_id)s AND time >= %(from_at)s AND time < %(to_at)s"
        " AND (%(gpio)s::smallint IS NULL OR gpio = %(gpio)s)"
        " AND (%(sensor_type)s::text IS NULL OR sensor_type = %(sensor_type)s)"
        " AND (%(after_at)s::timestamptz IS NULL"
        "      OR (time, gpio, sensor_type) > (%(after_at)s, %(after_gpio)s, %(after_type)s))"
        " ORDER BY time, gpio, sensor_type LIMIT %(limit)s",
        {
            "esp_id": esp_id,
            "gpio": gpio,
            "sensor_type": sensor_type,
            "from_at": from_at,
            "to_at": to_at,
            "after_at": after and after[0],
            "after_gpio": after and after[1],
            "after_type": after and after[2],
            "limit": limit,
        },
    )
    return await cursor.fetchall()


async def buckets(
    connection: Connection,
    key: tuple[str, int, str | None],
    from_at: datetime,
    to_at: datetime,
    bucket_s: int,
) -> list[tuple[datetime, int, float | None, float | None, float | None, float | None]]:
    """One sensor's values by bucket, empty buckets included: start, count, min, max, avg, last.

    Buckets start at multiples of `bucket_s` since 1970; what is bad or in error does not count.
    """
    cursor = await connection.execute(
        """
        WITH found AS (
            SELECT date_bin(make_interval(secs => %(bucket_s)s), time, 'epoch') AS start, count(value), min(value),
                   max(value), avg(value), (array_agg(value ORDER BY time DESC))[1] AS last
            FROM sensor.data
            WHERE esp_id = %(esp_id)s AND gpio = %(gpio)s AND time >= %(from_at)s AND time < %(to_at)s
              AND (%(sensor_type)s::text IS NULL OR sensor_type = %(sensor_type)s)
              AND value IS NOT NULL AND quality NOT IN ('bad', 'error')
            GROUP BY 1
        )
        SELECT series.start, coalesce(count, 0), min, max, avg, last
        FROM generate_series(
            date_bin(make_interval(secs => %(bucket_s)s), %(from_at)s::timestamptz, 'epoch'),
            %(to_at)s::timestamptz - interval '1 microsecond',
            make_interval(secs => %(bucket_s)s)
        ) AS series (start)
        LEFT JOIN found USING (start) ORDER BY series.start
        """,
        {
            "esp_id": key[0],
            "gpio": key[1],
            "sensor_type": key[2],
            "from_at": from_at,
            "to_at": to_at,
            "bucket_s": bucket_s,
        },
    )
    return await cursor.fetchall()


async def received(
    connection: Connection, esp_id: str, from_at: datetime, to_at: datetime
) -> list[tuple[int, str, int, int]]:
    """Of each configured, active sensor of a device: gpio, type, interval in s, readings in [from_at, to_at)."""
    cursor = await connection.execute(
        """
        SELECT configs.gpio, configs.sensor_type, (configs.config ->> 'interval_s')::integer, count(data.time)
        FROM sensor.configs AS configs
        LEFT JOIN sensor.data AS data ON data.esp_id = configs.esp_id AND data.gpio = configs.gpio
            AND data.sensor_type = configs.sensor_type AND data.time >= %(from_at)s AND data.time < %(to_at)s
        WHERE configs.esp_id = %(esp_id)s AND (configs.config ->> 'active')::boolean
        GROUP BY configs.esp_id, configs.gpio, configs.sensor_type ORDER BY configs.gpio, configs.sensor_type
        """,
        {"esp_id": esp_id, "from_at": from_at, "to_at": to_at},
    )
    return await cursor.fetchall()
