"""Requests about zones; putting a device into one is a push (api/pushes.py)."""

from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.zones import (
    MOST_ZONES,
    CreateZone,
    PatchZone,
    Zone,
    ZoneKey,
    ZoneSettings,
    ZonesPage,
)
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.versions import check_version, patched

from kaiser_health.store import audit, zones


class ZonesApi:
    """The handlers; each is one transaction, so being killed leaves it done or not done."""

    def __init__(self, pool: DatabasePool) -> None:
        self._pool = pool

    async def every(self, request: Nothing, caller: Caller) -> ZonesPage:
        """All zones, by position and name."""
        async with self._pool.reading() as connection:
            return ZonesPage(items=await zones.every(connection, MOST_ZONES))

    async def read(self, request: ZoneKey, caller: Caller) -> Zone:
        """One zone. 404 (5415) when it is not there."""
        async with self._pool.reading() as connection:
            return _found(await zones.read(connection, request.zone_id), request.zone_id)

    async def create(self, request: CreateZone, caller: Caller) -> Zone:
        """Add a zone. 409 when it is there (5208), or there are too many (5207)."""
        async with self._pool.connection() as connection:
            if await zones.count(connection) >= MOST_ZONES:
                raise RpcError(409, Code.VALUE_OUT_OF_RANGE, f"there are {MOST_ZONES} zones, which is the maximum")
            if not await zones.create(connection, request):
                raise RpcError(409, Code.DUPLICATE_ENTRY, f"there is a zone {request.zone_id} already", "zone_id")
            zone = _found(await zones.read(connection, request.zone_id), request.zone_id)
            await audit.note(connection, caller, "create_zone", zone.zone_id, after=zone)
        return zone

    async def patch(self, request: PatchZone, caller: Caller) -> Zone:
        """Change settings of a zone. 404 (5415) when it is not there, 412 (5414) when it has another version."""
        async with self._pool.connection() as connection:
            before = _found(await zones.locked(connection, request.zone_id), request.zone_id)
            check_version(request.expected, before.version, f"zone {before.zone_id}")
            await zones.change(connection, request.zone_id, patched(ZoneSettings, before, request.patch))
            zone = _found(await zones.read(connection, request.zone_id), request.zone_id)
            await audit.note(connection, caller, "patch_zone", zone.zone_id, before=before, after=zone)
        return zone

    async def delete(self, request: ZoneKey, caller: Caller) -> Nothing:
        """Remove a zone. 409 (5414) while devices are in it: take them out first."""
        async with self._pool.connection() as connection:
            before = _found(await zones.locked(connection, request.zone_id), request.zone_id)
            check_version(request.expected, before.version, f"zone {before.zone_id}")
            if before.devices:
                text = f"zone {before.zone_id} still has devices ({before.devices}): take them out of it first"
                raise RpcError(409, Code.STATE_CHANGED, text, "zone_id")
            await zones.delete(connection, request.zone_id)
            await audit.note(connection, caller, "delete_zone", before.zone_id, before=before)
        return Nothing()


def _found(zone: Zone | None, zone_id: str) -> Zone:
    if zone is None:
        raise RpcError(404, Code.NOT_FOUND, f"there is no zone {zone_id}", "zone_id")
    return zone
