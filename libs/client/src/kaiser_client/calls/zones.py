"""Zones: places with a name, which devices are put into."""

from kaiser_common.contract.schemas.api.zones import CreateZone, Zone, ZonePatch, ZonesPage

from kaiser_client.call import Call

_ALL = "/api/v1/zones"
_ONE = f"{_ALL}/{{zone_id}}"


def list_zones() -> Call[ZonesPage]:
    """All zones, each with the number of its devices."""
    return Call("GET", _ALL, ZonesPage)


def create_zone(zone: CreateZone) -> Call[Zone]:
    """Add a zone."""
    return Call("POST", _ALL, Zone, body=zone)


def read_zone(zone_id: str) -> Call[Zone]:
    """One zone."""
    return Call("GET", _ONE, Zone, {"zone_id": zone_id})


def change_zone(zone_id: str, patch: ZonePatch) -> Call[Zone]:
    """Change name, description or position: the fields that are set in the patch."""
    return Call("PATCH", _ONE, Zone, {"zone_id": zone_id}, body=patch)


def delete_zone(zone_id: str) -> Call[None]:
    """Remove a zone in which no device is."""
    return Call("DELETE", _ONE, type(None), {"zone_id": zone_id})
