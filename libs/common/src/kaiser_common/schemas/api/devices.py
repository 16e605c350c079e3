"""Devices in the API: the registry."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from kaiser_common.schemas import FROZEN

DeviceState = Literal["pending", "approved", "rejected"]
ESP_ID = r"^(ESP|MOCK|SIM|TEST)_[A-Z0-9_]{1,27}$"
KAISER_ID = r"^[A-Za-z0-9_]{1,32}$"


class Device(BaseModel):
    """A device as the registry has it. Times in ms; figures are those of its last heartbeat."""

    model_config = FROZEN

    esp_id: str
    kaiser_id: str
    name: str | None = None
    hardware_type: str
    state: DeviceState
    online: bool
    zone_id: str | None = None
    firmware_version: str | None = None
    ip: str | None = None
    metadata: dict[str, Any] = {}
    uptime: int | None = None
    heap_free: int | None = None
    wifi_rssi: int | None = None
    sensor_count: int | None = None
    actuator_count: int | None = None
    last_seen: int | None = None
    created_at: int
    approved_at: int | None = None


class RegisterDevice(BaseModel):
    """A device to register; only its id is needed."""

    model_config = {**FROZEN, "json_schema_extra": {"examples": [{"esp_id": "ESP_0A1B2C3D", "name": "Greenhouse 1"}]}}

    esp_id: str = Field(pattern=ESP_ID)
    kaiser_id: str = Field(default="god", pattern=KAISER_ID)
    name: str | None = Field(default=None, max_length=100)
    hardware_type: str = Field(default="ESP32_WROOM", pattern=r"^[A-Za-z0-9_-]{1,40}$")
    zone_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,64}$")
    metadata: dict[str, Any] = {}


class DevicePatch(BaseModel):
    """What an operator may change; what is left out stays."""

    model_config = FROZEN

    name: str | None = Field(default=None, max_length=100)
    hardware_type: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,40}$")
    metadata: dict[str, Any] | None = None


class PatchDevice(BaseModel):
    """A patch and the device it is for."""

    model_config = FROZEN

    esp_id: str
    patch: DevicePatch


class DeviceId(BaseModel):
    """Which device."""

    model_config = FROZEN

    esp_id: str


class DevicesQuery(BaseModel):
    """Which devices: by state, presence, zone, site, or a text in id or name; `cursor` from the page before."""

    model_config = FROZEN

    state: DeviceState | None = None
    online: bool | None = None
    zone_id: str | None = None
    kaiser_id: str | None = None
    text: str | None = Field(default=None, max_length=100)
    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = Field(default=None, max_length=64)


class DevicesPage(BaseModel):
    """Devices in the order of their ids."""

    model_config = FROZEN

    items: list[Device]
    next_cursor: str | None = None
