"""The SQL of the registry, `health.devices`, without presence and pending devices (store/presence.py) and
figures (store/heartbeats.py)."""

from collections.abc import Collection, Mapping
from typing import Any

from kaiser_common.contract.schemas.api.devices import Device, DevicesQuery, RegisterDevice
from kaiser_common.runtime.statements import among, equal, execute, fetch_all, fetch_one, to_ms
from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb
from pydantic import Field
from sqlalchemy import Select, case, func, select
from sqlalchemy.dialects.postgresql import insert

from kaiser_health.store import Connection, zones
from kaiser_health.store.tables import devices

DEFAULT_SITE = "god"
"""Where a device is looked for until it has spoken."""

_c = devices.c
_SELECT: Select[Any] = select(
    _c.esp_id,
    _c.kaiser_id,
    _c.kaiser_id_fixed,
    _c.name,
    _c.hardware_type,
    _c.state,
    _c.online,
    _c.zone_id,
    _c.firmware_version,
    _c.ip,
    _c.metadata,
    _c.generation,
    _c.boot,
    _c.emergency_token,
    _c.details,
    _c.uptime_s.label("uptime"),
    _c.heap_free,
    _c.wifi_rssi,
    _c.sensor_count,
    _c.actuator_count,
    _c.heartbeat_timeout_s,
    to_ms(_c.last_seen_at).label("last_seen"),
    to_ms(_c.created_at).label("created_at"),
    to_ms(_c.approved_at).label("approved_at"),
    to_ms(_c.away_at).label("away_at"),
)


class Registered(Device):
    """A device as it is stored, with the token that it wants in emergencies: in no answer, log or audit entry. away_at
    (ms): when it was last found offline."""

    emergency_token: str | None = Field(default=None, exclude=True, repr=False)
    away_at: int | None = Field(default=None, exclude=True)


async def register(connection: Connection, device: RegisterDevice) -> Registered | None:
    """Add a device, approved; None when the id is there already (a pending one becomes approved instead)."""
    add = insert(devices).values(
        esp_id=device.esp_id,
        kaiser_id=device.kaiser_id or DEFAULT_SITE,
        kaiser_id_fixed=device.kaiser_id is not None,
        name=device.name,
        hardware_type=device.hardware_type,
        state="approved",
        zone_id=device.zone_id,
        metadata=Jsonb(device.metadata),
        approved_at=func.now(),
    )
    new = add.excluded
    add_or_approve = add.on_conflict_do_update(
        index_elements=[_c.esp_id],
        set_={
            "name": new.name,
            "kaiser_id": case((new.kaiser_id_fixed, new.kaiser_id), else_=_c.kaiser_id),
            "kaiser_id_fixed": new.kaiser_id_fixed,
            "hardware_type": new.hardware_type,
            "state": new.state,
            "zone_id": new.zone_id,
            "metadata": new.metadata,
            "approved_at": func.now(),
        },
        where=_c.state != "approved",
    )
    if await fetch_one(connection, scalar_row, add_or_approve.returning(_c.esp_id)) is None:
        return None
    await zones.begin(connection, device.zone_id)
    return await read(connection, device.esp_id)


async def read(connection: Connection, esp_id: str) -> Registered | None:
    """The device, None when it is not there."""
    return await fetch_one(connection, class_row(Registered), _SELECT.where(_c.esp_id == esp_id))


async def read_all(connection: Connection, esp_ids: Collection[str]) -> list[Registered]:
    """Those of the devices that are there, in the order of their ids."""
    statement = _SELECT.where(among(_c.esp_id, esp_ids)).order_by(_c.esp_id)
    return await fetch_all(connection, class_row(Registered), statement)


async def page(connection: Connection, query: DevicesQuery) -> list[Registered]:
    """Devices after the cursor, in the order of their ids."""
    wanted = {_c.state: query.state, _c.online: query.online, _c.zone_id: query.zone_id, _c.kaiser_id: query.kaiser_id}
    statement = _SELECT.where(*equal(wanted))
    if query.cursor is not None:
        statement = statement.where(_c.esp_id > query.cursor)
    if query.text is not None:
        names = func.lower(_c.esp_id + " " + func.coalesce(_c.name, ""))
        statement = statement.where(func.strpos(names, func.lower(query.text)) > 0)
    return await fetch_all(connection, class_row(Registered), statement.order_by(_c.esp_id).limit(query.limit))


async def locked(connection: Connection, esp_id: str) -> Registered | None:
    """As `read`; nobody else changes the device until the end of the transaction."""
    return await fetch_one(connection, class_row(Registered), _SELECT.where(_c.esp_id == esp_id).with_for_update())


async def change(connection: Connection, esp_id: str, values: Mapping[str, Any]) -> Registered | None:
    """Store these values of a device; None when it is not there."""
    stored = {name: Jsonb(value) if name == "metadata" else value for name, value in values.items()}
    if stored:
        await execute(connection, devices.update().where(_c.esp_id == esp_id).values(stored))
    return await read(connection, esp_id)


async def delete(connection: Connection, esp_id: str) -> bool:
    """Remove a device; False when it was not there."""
    cursor = await execute(connection, devices.delete().where(_c.esp_id == esp_id))
    return cursor.rowcount > 0


async def set_state(connection: Connection, esp_id: str, state: str) -> Registered | None:
    """Approve or reject a device; None when it is not there."""
    approved_at = func.now() if state == "approved" else None
    away_at = case((_c.online, func.now()), else_=_c.away_at)
    statement = devices.update().values(state=state, online=False, away_at=away_at, approved_at=approved_at)
    await execute(connection, statement.where(_c.esp_id == esp_id, _c.state != state))
    return await read(connection, esp_id)


async def all_devices(connection: Connection) -> list[Registered]:
    """Every device, to rebuild the KV bucket from."""
    return await fetch_all(connection, class_row(Registered), _SELECT)


async def set_zone(
    connection: Connection, esp_id: str, zone_id: str | None, name: str | None = None
) -> Registered | None:
    """Note the zone that a device said it is in, under this name if it is a new one; None when the device is not
    there."""
    await zones.begin(connection, zone_id, name)
    await execute(connection, devices.update().where(_c.esp_id == esp_id).values(zone_id=zone_id))
    return await read(connection, esp_id)


async def set_token(connection: Connection, esp_id: str, token: str) -> None:
    """Keep the token that a device took for emergencies."""
    await execute(connection, devices.update().where(_c.esp_id == esp_id).values(emergency_token=token))


async def counts(connection: Connection) -> dict[str, int]:
    """Devices by state, and under `online` those that are."""
    statement = select(_c.state, func.count(), func.count().filter(_c.online)).group_by(_c.state)
    cursor = await execute(connection, statement)
    found = {"pending": 0, "approved": 0, "rejected": 0, "online": 0}
    for state, count, online in await cursor.fetchall():
        found[state] = count
        found["online"] += online
    return found
