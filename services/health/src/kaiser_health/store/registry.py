"""The SQL of the registry: one writer of `health.devices`."""

from collections.abc import Collection

from kaiser_common.contract.schemas.api.devices import Device, DevicePatch, DevicesQuery, RegisterDevice
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb
from pydantic import Field

from kaiser_health.store import Connection

DEFAULT_SITE = "god"
"""Where a device is looked for until it has spoken."""

_SELECT = """
SELECT esp_id, kaiser_id, kaiser_id_fixed, name, hardware_type, state, online, zone_id, firmware_version, ip, metadata,
       generation, boot, emergency_token, details,
       uptime_s AS uptime, heap_free, wifi_rssi, sensor_count, actuator_count, heartbeat_timeout_s,
       (extract(epoch FROM last_seen_at) * 1000)::bigint AS last_seen,
       (extract(epoch FROM created_at) * 1000)::bigint AS created_at,
       (extract(epoch FROM approved_at) * 1000)::bigint AS approved_at
FROM health.devices
"""


class Registered(Device):
    """A device as it is stored, with the token that it wants in emergencies: in no answer, log or audit entry."""

    emergency_token: str | None = Field(default=None, exclude=True, repr=False)


async def register(connection: Connection, device: RegisterDevice) -> Registered | None:
    """Add a device, approved; None when the id is there already (a pending one becomes approved instead)."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            INSERT INTO health.devices AS d
                (esp_id, kaiser_id, kaiser_id_fixed, name, hardware_type, state, zone_id, metadata, approved_at)
            VALUES (%s, %s, %s, %s, %s, 'approved', %s, %s, now())
            ON CONFLICT (esp_id) DO UPDATE SET name = excluded.name,
                kaiser_id = CASE WHEN excluded.kaiser_id_fixed THEN excluded.kaiser_id ELSE d.kaiser_id END,
                kaiser_id_fixed = excluded.kaiser_id_fixed,
                hardware_type = excluded.hardware_type, state = 'approved', zone_id = excluded.zone_id,
                metadata = excluded.metadata, approved_at = now()
            WHERE d.state <> 'approved'
            RETURNING esp_id
            """,
            (
                device.esp_id,
                device.kaiser_id or DEFAULT_SITE,
                device.kaiser_id is not None,
                device.name,
                device.hardware_type,
                device.zone_id,
                Jsonb(device.metadata),
            ),
        )
        if await cursor.fetchone() is None:
            return None
    return await read(connection, device.esp_id)


async def read(connection: Connection, esp_id: str) -> Registered | None:
    """The device, None when it is not there."""
    async with connection.cursor(row_factory=class_row(Registered)) as cursor:
        await cursor.execute(_SELECT + "WHERE esp_id = %s", (esp_id,))
        return await cursor.fetchone()


async def read_all(connection: Connection, esp_ids: Collection[str]) -> list[Registered]:
    """Those of the devices that are there, in the order of their ids."""
    async with connection.cursor(row_factory=class_row(Registered)) as cursor:
        await cursor.execute(_SELECT + "WHERE esp_id = ANY(%s) ORDER BY esp_id", (list(esp_ids),))
        return await cursor.fetchall()


async def page(connection: Connection, query: DevicesQuery) -> list[Registered]:
    """Devices after the cursor, in the order of their ids."""
    async with connection.cursor(row_factory=class_row(Registered)) as cursor:
        await cursor.execute(
            _SELECT
            + """
            WHERE (%(cursor)s::text IS NULL OR esp_id > %(cursor)s)
              AND (%(state)s::text IS NULL OR state = %(state)s)
              AND (%(online)s::boolean IS NULL OR online = %(online)s)
              AND (%(zone_id)s::text IS NULL OR zone_id = %(zone_id)s)
              AND (%(kaiser_id)s::text IS NULL OR kaiser_id = %(kaiser_id)s)
              AND (%(text)s::text IS NULL
                   OR position(lower(%(text)s) IN lower(esp_id || ' ' || coalesce(name, ''))) > 0)
            ORDER BY esp_id LIMIT %(limit)s
            """,
            query.model_dump(),
        )
        return await cursor.fetchall()


async def patch(connection: Connection, esp_id: str, change: DevicePatch) -> Registered | None:
    """Change what the patch names; None when the device is not there."""
    await connection.execute(
        """
        UPDATE health.devices SET name = coalesce(%s, name), hardware_type = coalesce(%s, hardware_type),
            metadata = coalesce(%s, metadata), heartbeat_timeout_s = coalesce(%s, heartbeat_timeout_s)
        WHERE esp_id = %s
        """,
        (
            change.name,
            change.hardware_type,
            None if change.metadata is None else Jsonb(change.metadata),
            change.heartbeat_timeout_s,
            esp_id,
        ),
    )
    return await read(connection, esp_id)


async def delete(connection: Connection, esp_id: str) -> bool:
    """Remove a device; False when it was not there."""
    cursor = await connection.execute("DELETE FROM health.devices WHERE esp_id = %s", (esp_id,))
    return cursor.rowcount > 0


async def set_state(connection: Connection, esp_id: str, state: str) -> Registered | None:
    """Approve or reject a device; None when it is not there."""
    await connection.execute(
        "UPDATE health.devices SET state = %(state)s, online = false,"
        " approved_at = CASE WHEN %(state)s = 'approved' THEN now() END"
        " WHERE esp_id = %(esp_id)s AND state <> %(state)s",
        {"state": state, "esp_id": esp_id},
    )
    return await read(connection, esp_id)


async def all_devices(connection: Connection) -> list[Registered]:
    """Every device, to rebuild the KV bucket from."""
    async with connection.cursor(row_factory=class_row(Registered)) as cursor:
        await cursor.execute(_SELECT)
        return await cursor.fetchall()


async def set_zone(connection: Connection, esp_id: str, zone_id: str | None) -> Registered | None:
    """Note the zone that a device said it is in; None when the device is not there."""
    await connection.execute("UPDATE health.devices SET zone_id = %s WHERE esp_id = %s", (zone_id, esp_id))
    return await read(connection, esp_id)


async def set_token(connection: Connection, esp_id: str, token: str) -> None:
    """Keep the token that a device took for emergencies."""
    await connection.execute("UPDATE health.devices SET emergency_token = %s WHERE esp_id = %s", (token, esp_id))


async def counts(connection: Connection) -> dict[str, int]:
    """Devices by state, and under `online` those that are."""
    cursor = await connection.execute(
        "SELECT state, count(*), count(*) FILTER (WHERE online) FROM health.devices GROUP BY state"
    )
    found = {"pending": 0, "approved": 0, "rejected": 0, "online": 0}
    for state, count, online in await cursor.fetchall():
        found[state] = count
        found["online"] += online
    return found
