"""The SQL of silent sensors."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from kaiser_sensor.rows import ADDRESS, COLUMNS, Row

Connection = AsyncConnection[Any]

_NAMES = ", ".join(f"latest.{column}" for column in COLUMNS)


async def silent(
    connection: Connection, now: datetime, listening_since: datetime, intervals: int, limit: int
) -> list[Row]:
    """The newest readings of configured sensors that missed so many intervals since and are not told to be stale.

    A sensor's silence counts from when its newest reading was received, so its clock does not matter. A configuration
    without an address counts for each sensor at its place that has none of its own. Intervals before `listening_since`
    count for no sensor: there, Kaiser may have been what was silent.
    """
    cursor = await connection.execute(
        f"""
        SELECT {_NAMES} FROM sensor.configs AS configs
        JOIN sensor.latest AS latest USING (esp_id, gpio, sensor_type)
        LEFT JOIN sensor.stale AS stale
            ON (stale.esp_id, stale.gpio, stale.sensor_type, stale.address)
             = (latest.esp_id, latest.gpio, latest.sensor_type, latest.address)
        WHERE (configs.config ->> 'active')::boolean
          AND (configs.address = latest.address OR configs.address = '' AND NOT EXISTS (
                SELECT FROM sensor.configs AS own
                WHERE (own.esp_id, own.gpio, own.sensor_type, own.address)
                    = (latest.esp_id, latest.gpio, latest.sensor_type, latest.address)))
          AND greatest(coalesce(latest.received_at, latest.time), %(since)s)
              < %(now)s - %(intervals)s * make_interval(secs => (configs.config ->> 'interval_s')::integer)
          AND stale.time IS DISTINCT FROM latest.time
        ORDER BY latest.time LIMIT %(limit)s
        """,
        {"now": now, "since": listening_since, "intervals": intervals, "limit": limit},
    )
    return await cursor.fetchall()


async def note_told(connection: Connection, rows: Sequence[Row]) -> None:
    """Remember that these readings were told to be stale."""
    await connection.execute(
        """
        INSERT INTO sensor.stale (esp_id, gpio, sensor_type, address, time)
        SELECT * FROM unnest(%s::text[], %s::smallint[], %s::text[], %s::text[], %s::timestamptz[])
        ON CONFLICT (esp_id, gpio, sensor_type, address) DO UPDATE SET time = excluded.time
        """,
        [[row[place] for row in rows] for place in (1, 2, 3, ADDRESS, 0)],
    )
