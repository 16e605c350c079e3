"""Devices in the API: the registry."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from kaiser_common.schemas import FROZEN
from kaiser_common.schemas.device import ActuatorItem, SensorItem

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
    heartbeat_timeout_s: int | None = None
    created_at: int
    approved_at: int | None = None


class ApprovedDevice(Device):
    """A device just approved; `replayed` tells how many of its rejected messages were taken in after all."""

    replayed: int = 0


class ApproveDevice(BaseModel):
    """Which device to approve, and whether what REJECTED still keeps of it is to be replayed."""

    model_config = FROZEN

    esp_id: str
    replay: bool = False


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

    model_config = {**FROZEN, "json_schema_extra": {"examples": [{"name": "Greenhouse 1", "heartbeat_timeout_s": 120}]}}

    name: str | None = Field(default=None, max_length=100)
    hardware_type: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,40}$")
    metadata: dict[str, Any] | None = None
    heartbeat_timeout_s: int | None = Field(default=None, ge=1, le=86_400)


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


class HealthQuery(BaseModel):
    """Heartbeats of a device in [from_ms, to_ms), by default the last day, in buckets of bucket_s seconds."""

    model_config = FROZEN

    esp_id: str
    from_ms: int | None = Field(default=None, ge=0, le=4_102_444_800_000)
    to_ms: int | None = Field(default=None, ge=0, le=4_102_444_800_000)
    bucket_s: int = Field(default=3600, ge=60, le=86_400)


class HealthBucket(BaseModel):
    """A bucket's averages. ts in ms (its start), heap_free in bytes, wifi_rssi in dBm, uptime in s (the last one)."""

    model_config = FROZEN

    ts: int
    heartbeats: int
    uptime: int | None = None
    heap_free: float | None = None
    heap_free_min: int | None = None
    wifi_rssi: float | None = None


class HealthHistory(BaseModel):
    """Heartbeats of a device over time."""

    model_config = FROZEN

    items: list[HealthBucket]
    next_cursor: str | None = None


class ConfigRequest(BaseModel):
    """What to configure; a list that is left out is asked from its owner (sensor, actuator)."""

    model_config = {
        **FROZEN,
        "json_schema_extra": {"examples": [{"sensors": [{"gpio": 4, "type": "ds18b20", "name": "Air"}]}]},
    }

    sensors: list[SensorItem] | None = None
    actuators: list[ActuatorItem] | None = None


class PushConfig(BaseModel):
    """A configuration and the device it is for."""

    model_config = FROZEN

    esp_id: str
    config: ConfigRequest


class CommandRequest(BaseModel):
    """A system command."""

    model_config = {**FROZEN, "json_schema_extra": {"examples": [{"command": "diagnostics"}]}}

    command: Literal["reboot", "safe_mode", "exit_safe_mode", "resume_operation", "diagnostics", "reset_config"]
    params: dict[str, Any] = {}


class PushCommand(BaseModel):
    """A system command and the device it is for."""

    model_config = FROZEN

    esp_id: str
    command: CommandRequest


class ZoneRequest(BaseModel):
    """The zone to assign, or null to take the device out of its zone."""

    model_config = {**FROZEN, "json_schema_extra": {"examples": [{"zone_id": "greenhouse", "zone_name": "Greenhouse"}]}}

    zone_id: str | None = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    master_zone_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,64}$")
    zone_name: str | None = Field(default=None, max_length=100)


class PushZone(BaseModel):
    """A zone and the device it is for."""

    model_config = FROZEN

    esp_id: str
    zone: ZoneRequest


class PushAnswer(BaseModel):
    """What was sent to a device, under the id that the device echoes. Its end comes as an event."""

    model_config = FROZEN

    push_id: str
    esp_id: str
    kind: Literal["config", "zone", "command"]
    state: Literal["pending", "applied", "partial", "failed", "timeout"]


class AuditEntry(BaseModel):
    """One entry of the audit log. at in ms."""

    model_config = FROZEN

    id: int
    at: int
    actor: str
    role: str
    request_id: str
    action: str
    target: str
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


class AuditQuery(BaseModel):
    """Which entries, newest first."""

    model_config = FROZEN

    actor: str | None = Field(default=None, max_length=100)
    action: str | None = Field(default=None, max_length=100)
    target: str | None = Field(default=None, max_length=100)
    from_ms: int | None = Field(default=None, ge=0, le=4_102_444_800_000)
    to_ms: int | None = Field(default=None, ge=0, le=4_102_444_800_000)
    cursor: int | None = Field(default=None, ge=1, le=2**62)
    limit: int = Field(default=100, ge=1, le=1000)


class AuditPage(BaseModel):
    """Entries of the audit log."""

    model_config = FROZEN

    items: list[AuditEntry]
    next_cursor: str | None = None
