"""The SQL of the overview: every sensor with its newest reading, and a day's figures by the hour."""

from datetime import datetime
from typing import NamedTuple

from psycopg.rows import class_row

from kaiser_sensor.store import Connection
from kaiser_sensor.store.intervals import INTERVAL_S, IS_ACTIVE, WATCHED

Key = tuple[str, int, str, str]
"""esp_id, gpio, sensor_type, address."""


class SensorSeen(NamedTuple):
    """A sensor with its newest reading; times in ms."""

    esp_id: str
    gpio: int
    sensor_type: str
    address: str
    name: str | None
    ts: int
    received_at: int | None
    raw: float | None
    value: float | None
    unit: str | None
    quality: str
    interval_s: float
    active: bool


async def newest(connection: Connection, limit: int) -> tuple[list[SensorSeen], int]:
    """Sensors in the order of their keys, and how many there are."""
    async with connection.cursor(row_factory=class_row(SensorSeen)) as cursor:
        await cursor.execute(
            f"""
            SELECT latest.esp_id, latest.gpio, latest.sensor_type, latest.address, configured.name,
                   (extract(epoch FROM latest.time) * 1000)::bigint AS ts,
                   (extract(epoch FROM latest.received_at) * 1000)::bigint AS received_at,
                   latest.raw, latest.value, latest.unit, latest.quality, {INTERVAL_S} AS interval_s,
                   {IS_ACTIVE} AS active
            FROM {WATCHED} ORDER BY 1, 2, 3, 4 LIMIT %s
            """,
            [limit],
        )
        found = await cursor.fetchall()
    if len(found) < limit:
        return found, len(found)
    count = await connection.execute("SELECT count(*) FROM sensor.latest")
    row = await count.fetchone()
    return found, int(row[0]) if row else len(found)


async def by_hour(
    connection: Connection, from_at: datetime, fine_from: datetime, to_at: datetime
) -> list[tuple[str, int, str, str, datetime, float, float, float]]:
    """Key, hour, lowest, highest and mean of each sensor in [from_at, to_at): whole hours from the rollup by the hour,
    those from `fine_from` on, which it may not have yet, from the one by the minute."""
    cursor = await connection.execute(
        """
        SELECT esp_id, gpio, sensor_type, address, time, min, max, avg FROM sensor.rollup_1h
        WHERE time >= %(from_at)s AND time < %(fine_from)s
        UNION ALL
        SELECT esp_id, gpio, sensor_type, address, date_bin('1 hour', time, 'epoch') AS hour,
               min(min), max(max), sum(avg * count) / sum(count)
        FROM sensor.rollup_1m WHERE time >= %(fine_from)s AND time < %(to_at)s GROUP BY 1, 2, 3, 4, 5
        """,
        {"from_at": from_at, "fine_from": fine_from, "to_at": to_at},
    )
    return await cursor.fetchall()
