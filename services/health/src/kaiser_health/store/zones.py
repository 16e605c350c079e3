"""The SQL of zones, `health.zones`; which device is in which zone is a column of `health.devices`."""

from typing import Any

from kaiser_common.contract.schemas.api.zones import CreateZone, Zone, ZoneSettings
from kaiser_common.runtime.statements import execute, fetch_all, fetch_one, to_ms
from psycopg.rows import class_row, scalar_row
from sqlalchemy import Select, func, literal, select
from sqlalchemy.dialects.postgresql import insert

from kaiser_health.store import Connection
from kaiser_health.store.tables import devices, zones

_c = zones.c
_DEVICES = (
    select(func.count()).select_from(devices).where(devices.c.zone_id == _c.zone_id).scalar_subquery().label("devices")
)
_SELECT: Select[Any] = select(
    _c.zone_id,
    _c.name,
    _c.description,
    _c.position,
    _c.version,
    to_ms(_c.created_at).label("created_at"),
    to_ms(_c.updated_at).label("updated_at"),
    _DEVICES,
)


async def every(connection: Connection, most: int) -> list[Zone]:
    """Zones by position and name."""
    statement = _SELECT.order_by(_c.position, func.lower(_c.name), _c.zone_id).limit(most)
    return await fetch_all(connection, class_row(Zone), statement)


async def read(connection: Connection, zone_id: str) -> Zone | None:
    """One zone, None when it is not there."""
    return await fetch_one(connection, class_row(Zone), _SELECT.where(_c.zone_id == zone_id))


async def locked(connection: Connection, zone_id: str) -> Zone | None:
    """As `read`; nobody else changes the zone until the end of the transaction."""
    await execute(connection, select(_c.zone_id).where(_c.zone_id == zone_id).with_for_update())
    return await read(connection, zone_id)


async def count(connection: Connection) -> int:
    """How many zones there are."""
    return await fetch_one(connection, scalar_row, select(func.count()).select_from(zones)) or 0


async def create(connection: Connection, zone: CreateZone) -> bool:
    """Add a zone; False when it is there already."""
    add = insert(zones).values(zone.model_dump()).on_conflict_do_nothing().returning(_c.zone_id)
    return await fetch_one(connection, scalar_row, add) is not None


async def change(connection: Connection, zone_id: str, settings: ZoneSettings) -> None:
    """Store the settings of a zone, as its next version."""
    values = {**settings.model_dump(), "version": _c.version + 1, "updated_at": func.now()}
    await execute(connection, zones.update().where(_c.zone_id == zone_id).values(values))


async def delete(connection: Connection, zone_id: str) -> None:
    """Remove a zone."""
    await execute(connection, zones.delete().where(_c.zone_id == zone_id))


async def begin(connection: Connection, zone_id: str | None, name: str | None = None) -> None:
    """Have a zone that a device is put into; one that is there stays as it is."""
    if zone_id:
        add = insert(zones).values(zone_id=zone_id, name=name or zone_id)
        await execute(connection, add.on_conflict_do_nothing().inline())


async def begin_missing(connection: Connection) -> None:
    """Have the zones that devices are in: health of a version without zones may have put them there."""
    found = select(devices.c.zone_id, devices.c.zone_id, literal(0)).where(devices.c.zone_id > "").distinct()
    add = insert(zones).from_select(["zone_id", "name", "position"], found)
    await execute(connection, add.on_conflict_do_nothing())
