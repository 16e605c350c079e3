"""Sensors in the API: readings and the newest of each sensor."""

from pydantic import BaseModel, Field

from kaiser_common.schemas import FROZEN

EspId = Field(pattern=r"^(ESP|MOCK|SIM|TEST)_[A-Z0-9_]{1,27}$")


class ReadingItem(BaseModel):
    """A stored reading. ts in ms."""

    model_config = FROZEN

    ts: int
    esp_id: str
    gpio: int
    sensor_type: str
    raw: float | None = None
    raw_value: float | None = None
    value: float | None = None
    unit: str | None = None
    quality: str
    data_source: str


class LatestQuery(BaseModel):
    """The newest reading of each sensor, of one device or of all."""

    model_config = FROZEN

    esp_id: str | None = None


class ReadingsPage(BaseModel):
    """Readings, and where the next page begins."""

    model_config = FROZEN

    items: list[ReadingItem]
    next_cursor: str | None = None


class ReadingsQuery(BaseModel):
    """Readings of a device in [from_ms, to_ms), oldest first; from a day ago until now by default."""

    model_config = FROZEN

    esp_id: str
    gpio: int | None = None
    sensor_type: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    limit: int = Field(default=1000, ge=1, le=10_000)
    cursor: str | None = None
