"""The SQL of emergency stops: who raised and cleared them, why and when."""

from datetime import UTC, datetime
from typing import Any, LiteralString

from kaiser_common.schemas.api.actuators import Emergency
from psycopg import AsyncConnection

from kaiser_actuator.emergencies import key_of

Connection = AsyncConnection[Any]


async def add(connection: Connection, stop: Emergency) -> bool:
    """Keep a stop; False if it was there."""
    cursor = await connection.execute(
        """
        INSERT INTO actuator.emergencies (emergency_id, key, esp_id, gpio, reason, raised_by, raised_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
        """,
        (
            stop.emergency_id,
            key_of(stop.esp_id, stop.gpio),
            stop.esp_id,
            stop.gpio,
            stop.reason,
            stop.raised_by,
            datetime.fromtimestamp(stop.raised_at / 1000, UTC),
        ),
    )
    return cursor.rowcount == 1


async def clear(connection: Connection, key: str, cleared_by: str, reason: str, at: datetime) -> int:
    """Note that the stops of a key are over; how many were in force."""
    cursor = await connection.execute(
        "UPDATE actuator.emergencies SET cleared_by = %s, clear_reason = %s, cleared_at = %s"
        " WHERE key = %s AND cleared_at IS NULL",
        (cleared_by, reason, at, key),
    )
    return cursor.rowcount


async def covering(connection: Connection, esp_id: str, gpio: int) -> dict[str, Emergency]:
    """The stops in force over an actuator, by key: what another replica raised a moment ago is among them."""
    keys = [key_of(None, None), key_of(esp_id, None), key_of(esp_id, gpio)]
    return await _in_force(connection, "AND key = ANY(%s)", (keys,))


async def is_known(connection: Connection, emergency_id: str) -> bool:
    """Whether a stop was raised before, in force or not."""
    cursor = await connection.execute("SELECT 1 FROM actuator.emergencies WHERE emergency_id = %s", (emergency_id,))
    return await cursor.fetchone() is not None


async def is_cleared(connection: Connection, emergency_id: str) -> bool:
    """Whether a stop was cleared."""
    cursor = await connection.execute(
        "SELECT 1 FROM actuator.emergencies WHERE emergency_id = %s AND cleared_at IS NOT NULL", (emergency_id,)
    )
    return await cursor.fetchone() is not None


async def last_cleared_at(connection: Connection, esp_id: str, gpio: int | None) -> datetime | None:
    """When a stop that covered an actuator (gpio None: the device) was last cleared."""
    cursor = await connection.execute(
        """
        SELECT max(cleared_at) FROM actuator.emergencies
        WHERE cleared_at IS NOT NULL AND (esp_id IS NULL OR esp_id = %(esp_id)s)
          AND (gpio IS NULL OR %(gpio)s::int IS NULL OR gpio = %(gpio)s)
        """,
        {"esp_id": esp_id, "gpio": gpio},
    )
    row = await cursor.fetchone()
    return row[0] if row else None


async def in_force(connection: Connection) -> dict[str, Emergency]:
    """The newest stop of each key that is not cleared."""
    return await _in_force(connection, "", ())


async def _in_force(connection: Connection, condition: LiteralString, values: tuple[Any, ...]) -> dict[str, Emergency]:
    cursor = await connection.execute(
        f"""
        SELECT DISTINCT ON (key) key, emergency_id, esp_id, gpio, reason, raised_by,
               (extract(epoch FROM raised_at) * 1000)::bigint
        FROM actuator.emergencies WHERE cleared_at IS NULL {condition} ORDER BY key, raised_at DESC
        """,
        values,
    )
    names = ("emergency_id", "esp_id", "gpio", "reason", "raised_by", "raised_at")
    return {row[0]: Emergency.model_validate(dict(zip(names, row[1:], strict=True))) for row in await cursor.fetchall()}
