"""The SQL of what one sensor does: when its newest readings were taken, and how they were processed."""

from kaiser_sensor.domain.settings import RecentReadings
from kaiser_sensor.store import Connection

_READINGS = 21


async def seen(connection: Connection, key: tuple[str, int, str, str]) -> RecentReadings:
    """The times of a sensor's newest readings, and how the last one was processed; nothing for one that never sent."""
    cursor = await connection.execute(
        """
        SELECT extract(epoch FROM time)::float8, processing_mode FROM sensor.data
        WHERE esp_id = %s AND gpio = %s AND sensor_type = %s AND address = %s
        ORDER BY time DESC LIMIT %s
        """,
        [*key, _READINGS],
    )
    rows = await cursor.fetchall()
    return RecentReadings([seconds for seconds, _ in rows], rows[0][1] if rows else None)
