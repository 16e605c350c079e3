"""The SQL of the sensor service: one writer of `sensor.data` and `sensor.latest`."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from kaiser_sensor import rollup_store
from kaiser_sensor.arrays import columns
from kaiser_sensor.rollups import MINUTE, Progress, Rollup, Span, from_readings, touched, widened
from kaiser_sensor.rows import COLUMNS, Row

Connection = AsyncConnection[Any]

_KEY = ("esp_id", "gpio", "sensor_type")
_NAMES = ", ".join(COLUMNS)
_NAMES_BUT_TIME = ", ".join(COLUMNS[1:])
_INSERT = f"""
    WITH came AS (
        SELECT to_timestamp(seconds) AS time, {_NAMES_BUT_TIME} FROM unnest(
            %s::float8[], %s::text[], %s::smallint[], %s::text[], %s::float8[], %s::float8[], %s::float8[],
            %s::text[], %s::text[], %s::text[], %s::text[], %s::text[]
        ) AS came (seconds, {_NAMES_BUT_TIME})
    ), stored AS (
        INSERT INTO sensor.data ({_NAMES}) SELECT {_NAMES} FROM came ON CONFLICT DO NOTHING RETURNING 1
    ), newest AS (
        INSERT INTO sensor.latest AS latest ({_NAMES})
        SELECT DISTINCT ON (esp_id, gpio, sensor_type) {_NAMES} FROM came ORDER BY esp_id, gpio, sensor_type, time DESC
        ON CONFLICT (esp_id, gpio, sensor_type) DO UPDATE
        SET {", ".join(f"{column} = excluded.{column}" for column in COLUMNS if column not in _KEY)}
        WHERE latest.time < excluded.time
    )
    SELECT count(*) FROM stored
"""
"""Both tables in one round trip; sensors in the order of their keys, so that two replicas lock in the same order."""


async def insert(connection: Connection, rows: Sequence[Row], *, note_rollups: bool) -> int:
    """Store readings and the newest of each sensor, in the caller's transaction; the number that were new.

    The same reading again changes nothing. `note_rollups`: the service refreshes the rollups, so remember what is out
    of date.
    """
    cursor = await connection.execute(_INSERT, columns(rows))
    found = await cursor.fetchone()
    new = 0 if found is None else int(found[0])
    if new and note_rollups:
        await rollup_store.note(connection, MINUTE, touched(rows))
    return new


async def latest(connection: Connection, esp_id: str | None) -> list[Row]:
    """The newest reading of each sensor, of one device or of all."""
    cursor = await connection.execute(
        f"SELECT {_NAMES} FROM sensor.latest WHERE %(esp_id)s::text IS NULL OR esp_id = %(esp_id)s"
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
        f"SELECT {_NAMES} FROM sensor.data"
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
    rollup: Rollup | None,
    progress: Progress | None,
) -> list[tuple[datetime, int, float | None, float | None, float | None, float | None]]:
    """One sensor's values by bucket, empty buckets included: start, count, min, max, avg, last.

    Buckets start at multiples of `bucket_s` since 1970 and are whole, also the first and the last; what is bad or in
    error does not count. A rollup gives what it has (`progress` None: all of it), the readings give the rest.
    """
    width = timedelta(seconds=bucket_s)
    asked = widened(Span(from_at, to_at), width)
    rest = [asked]
    if rollup is not None:
        rest = [] if progress is None else from_readings(asked, rollup, progress)
    rolled_up = "" if rollup is None else f"{_ROLLED_UP.format(table=rollup.table)} UNION ALL"
    cursor = await connection.execute(
        f"""
        WITH rest AS (
            SELECT * FROM unnest(%(rest_from)s::timestamptz[], %(rest_to)s::timestamptz[]) AS rest (from_at, to_at)
        ), part AS ({rolled_up} {_OF_READINGS}), found AS (
            SELECT date_bin(%(width)s, time, 'epoch') AS start, sum(count)::bigint AS count, min(min), max(max),
                   sum(total) / sum(count) AS avg, (array_agg(last ORDER BY time DESC))[1] AS last
            FROM part GROUP BY 1
        )
        SELECT series.start, coalesce(count, 0), min, max, avg, last
        FROM generate_series(%(first)s::timestamptz, %(last)s::timestamptz - interval '1 microsecond', %(width)s)
            AS series (start)
        LEFT JOIN found USING (start) ORDER BY series.start
        """,
        {
            "esp_id": key[0],
            "gpio": key[1],
            "sensor_type": key[2],
            "first": asked.from_at,
            "last": asked.to_at,
            "rest_from": [span.from_at for span in rest],
            "rest_to": [span.to_at for span in rest],
            "width": width,
        },
    )
    return await cursor.fetchall()


_OF_SENSOR = (
    "esp_id = %(esp_id)s AND gpio = %(gpio)s AND (%(sensor_type)s::text IS NULL OR sensor_type = %(sensor_type)s)"
)
_ROLLED_UP = f"""
    SELECT time, min, max, avg * count AS total, count, last FROM {{table}} AS rollup
    WHERE {_OF_SENSOR} AND time >= %(first)s AND time < %(last)s
      AND NOT EXISTS (SELECT FROM rest WHERE rollup.time >= rest.from_at AND rollup.time < rest.to_at)
"""
_OF_READINGS = f"""
    SELECT reading.* FROM rest CROSS JOIN LATERAL (
        SELECT time, value AS min, value AS max, value AS total, 1 AS count, value AS last FROM sensor.data
        WHERE {_OF_SENSOR} AND time >= %(first)s AND time < %(last)s AND time >= rest.from_at AND time < rest.to_at
          AND value IS NOT NULL AND quality NOT IN ('bad', 'error')
    ) AS reading
"""


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
