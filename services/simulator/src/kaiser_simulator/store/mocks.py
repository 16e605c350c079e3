"""The SQL of the simulator: one writer of `simulator.mocks`."""

from collections.abc import Iterable
from typing import Any

from kaiser_simulator.domain.device import Device
from kaiser_simulator.store import Connection


async def save(connection: Connection, devices: Iterable[Device]) -> None:
    """Write mocks as they are, new ones and known ones."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            """
            INSERT INTO simulator.mocks (esp_id, setup, life) VALUES (%s, %s, %s)
            ON CONFLICT (esp_id) DO UPDATE
                SET setup = excluded.setup, life = excluded.life, deleted = false, updated_at = now()
            """,
            [(device.esp_id, device.setup.model_dump_json(), device.life.model_dump_json()) for device in devices],
        )


async def save_life(connection: Connection, devices: Iterable[Device]) -> None:
    """Write what known mocks went through."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "UPDATE simulator.mocks SET life = %s, updated_at = now() WHERE esp_id = %s AND NOT deleted",
            [(device.life.model_dump_json(), device.esp_id) for device in devices],
        )


async def load(connection: Connection) -> list[tuple[str, Any, Any]]:
    """esp_id, setup and life of every mock that is not deleted."""
    cursor = await connection.execute(
        "SELECT esp_id, setup, life FROM simulator.mocks WHERE NOT deleted ORDER BY esp_id"
    )
    return await cursor.fetchall()


async def bury(connection: Connection, esp_id: str) -> None:
    """Delete a mock but for its tombstone."""
    await connection.execute(
        "UPDATE simulator.mocks SET deleted = true, updated_at = now() WHERE esp_id = %s", (esp_id,)
    )


async def buried(connection: Connection, limit: int) -> list[str]:
    """Deleted mocks that health may still know, oldest first."""
    cursor = await connection.execute(
        "SELECT esp_id FROM simulator.mocks WHERE deleted ORDER BY updated_at LIMIT %s", (limit,)
    )
    return [esp_id for (esp_id,) in await cursor.fetchall()]


async def forget(connection: Connection, esp_id: str) -> None:
    """Remove a tombstone; a mock made anew under the id stays."""
    await connection.execute("DELETE FROM simulator.mocks WHERE esp_id = %s AND deleted", (esp_id,))
