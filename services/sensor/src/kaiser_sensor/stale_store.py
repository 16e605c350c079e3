"""The SQL of silent sensors."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from kaiser_sensor.rows import COLUMNS, Row

Connection = AsyncConnection[Any]

_NAMES = ", ".join(f"latest.{column}" for column in COLUMNS)


async def silent(
    connection: Connection, now: datetime, listening_since: datetime, intervals: int, limit: int
) -> list[Row]:
    """The newest readings of configured sensors that missed so many intervals since and are not told to be stale.

    Intervals before `listening_since` count for nobody: there, Kaiser may have been what was silent.
    """
    cursor = await connection.execute(
        f"""
        SELECT {_NAMES} FROM sensor.configs AS configs
        JOIN sensor.latest AS latest USING (esp_id, gpio, sensor_type)
        LEFT JOIN sensor.stale AS stale USING (esp_id, gpio, sensor_type)
        WHERE (configs.config ->> 'active')::boolean
          AND greatest(latest.time, %(since)s)
              < %(now)s - %(intervals)s * make_interval(secs => (configs.config ->> 'interval_s')::integer)
          AND (stale.time IS NULL OR stale.time < latest.time)
        ORDER BY latest.time LIMIT %(limit)s
        """,
        {"now": now, "since": listening_since, "intervals": intervals, "limit": limit},
    )
    return await cursor.fetchall()


async def note_told(connection: Connection, rows: Sequence[Row]) -> None:
    """Remember that these readings were told to be stale."""
    await connection.execute(
        """
        INSERT INTO sensor.stale (esp_id, gpio, sensor_type, time)
        SELECT * FROM unnest(%s::text[], %s::smallint[], %s::text[], %s::timestamptz[])
        ON CONFLICT (esp_id, gpio, sensor_type) DO UPDATE SET time = excluded.time
        """,
        ([row[1] for row in rows], [row[2] for row in rows], [row[3] for row in rows], [row[0] for row in rows]),
    )
