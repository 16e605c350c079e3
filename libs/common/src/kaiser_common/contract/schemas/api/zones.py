"""Zones in the API: places with a name, which devices are put into."""

from typing import Annotated

from pydantic import BaseModel, Field

from kaiser_common.contract.schemas import FROZEN
from kaiser_common.contract.schemas.api.devices import STRICT
from kaiser_common.contract.schemas.api.patches import MergePatch

ZONE_ID = r"^[A-Za-z0-9_-]{1,64}$"
MOST_ZONES = 1000
"""A list of zones has all of them."""

_Position = Annotated[int, Field(ge=-1000, le=1000, description="Zones of a lower one stand first; then by name.")]


class ZoneSettings(BaseModel):
    """The settings of a zone that a person makes."""

    model_config = STRICT

    name: str = Field(min_length=1, max_length=100)
    description: str | None = Field(default=None, max_length=500)
    position: _Position = 0


class CreateZone(ZoneSettings):
    """A zone to add."""

    model_config = {**STRICT, "json_schema_extra": {"examples": [{"zone_id": "east", "name": "Greenhouse, east"}]}}

    zone_id: str = Field(pattern=ZONE_ID)


class Zone(ZoneSettings):
    """A zone with the number of devices in it. Times in ms. version: grows with every change of its settings."""

    model_config = FROZEN

    zone_id: str
    version: int
    created_at: int
    updated_at: int
    devices: int = 0


class ZonePatch(MergePatch):
    """The settings to change."""

    model_config = {**STRICT, "json_schema_extra": {"examples": [{"name": "Greenhouse, east"}]}}

    name: str = Field(default="", min_length=1, max_length=100)
    description: str | None = Field(default=None, max_length=500)
    position: _Position = 0


class ZoneKey(BaseModel):
    """Which zone. expected: the version that a change is meant for; None: any."""

    model_config = FROZEN

    zone_id: str
    expected: int | None = None


class PatchZone(ZoneKey):
    """A zone, and which of its settings to change."""

    patch: ZonePatch


class ZonesPage(BaseModel):
    """Every zone, by position and name."""

    model_config = FROZEN

    items: list[Zone]
    next_cursor: str | None = None
