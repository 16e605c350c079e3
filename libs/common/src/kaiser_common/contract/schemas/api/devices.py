"""Devices in the API: the registry, health over time, messages to a device, and the audit log."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from kaiser_common.contract.bounds import MAX_GPIO, Pin
from kaiser_common.contract.schemas import FROZEN
from kaiser_common.contract.schemas.api.patches import MergePatch
from kaiser_common.contract.schemas.api.times import Milliseconds
from kaiser_common.contract.schemas.audit import AuditOutcome
from kaiser_common.contract.schemas.device import ActuatorItem, SensorItem

DeviceState = Literal["pending", "approved", "rejected"]
ESP_ID = r"^(ESP|MOCK|SIM|TEST)_[A-Z0-9_]{1,27}$"
EspId = Annotated[str, Field(pattern=ESP_ID)]
KAISER_ID = r"^[A-Za-z0-9_]{1,32}$"
STRICT = ConfigDict(frozen=True, extra="forbid")
"""Of what people write: a misspelt field is refused."""
MAX_METADATA_BYTES = 8 * 1024


def _bounded(metadata: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(json.dumps(metadata))
    except RecursionError as error:
        raise ValueError("metadata is nested too deeply") from error
    if size > MAX_METADATA_BYTES:
        raise ValueError(f"metadata is at most {MAX_METADATA_BYTES} bytes of JSON")
    return metadata


Metadata = Annotated[dict[str, Any], AfterValidator(_bounded)]


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
    kaiser_id_fixed: bool = False
    generation: Literal["A", "B"] = "A"
    boot: int = 0
    details: dict[str, Any] = {}
    created_at: int
    approved_at: int | None = None


class ApprovedDevice(Device):
    """A device just approved; `replayed`: how many of its rejected messages were processed after the approval.
    replay_complete: False if some could not be replayed in time; they are still in GET /api/v1/rejected?esp_id=….
    """

    replayed: int = 0
    replay_complete: bool = True


class ApproveDevice(BaseModel):
    """Which device to approve, and whether what REJECTED still keeps of it is to be replayed."""

    model_config = FROZEN

    esp_id: str
    replay: bool = False


class RegisterDevice(BaseModel):
    """A device to register; only its id is needed."""

    model_config = {**STRICT, "json_schema_extra": {"examples": [{"esp_id": "ESP_0A1B2C3D", "name": "Greenhouse 1"}]}}

    esp_id: EspId
    kaiser_id: str | None = Field(
        default=None,
        pattern=KAISER_ID,
        description="Its site; if left out, the one under which its first message comes.",
    )
    name: str | None = Field(default=None, max_length=100)
    hardware_type: str = Field(default="ESP32_WROOM", pattern=r"^[A-Za-z0-9_-]{1,40}$")
    zone_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,64}$")
    metadata: Metadata = {}


class DevicePatch(MergePatch):
    """The fields that an operator may change; an omitted field stays unchanged. metadata is merged, key by key."""

    model_config = {**STRICT, "json_schema_extra": {"examples": [{"name": "Greenhouse 1", "heartbeat_timeout_s": 120}]}}

    name: str | None = Field(default=None, max_length=100)
    hardware_type: str = Field(default="", pattern=r"^[A-Za-z0-9_-]{1,40}$")
    metadata: Metadata | None = None
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
    from_ms: Milliseconds | None = None
    to_ms: Milliseconds | None = None
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
    """A configuration to push; an omitted list is read from its owner (sensor, actuator)."""

    model_config = {
        **STRICT,
        "json_schema_extra": {"examples": [{"sensors": [{"gpio": 4, "sensor_type": "ds18b20", "sensor_name": "Air"}]}]},
    }

    sensors: list[SensorItem] | None = None
    actuators: list[ActuatorItem] | None = None


class PushConfig(BaseModel):
    """A configuration and the device it is for."""

    model_config = FROZEN

    esp_id: str
    config: ConfigRequest


SYSTEM_COMMANDS: Mapping[Literal["A", "B"], tuple[str, ...]] = MappingProxyType(
    {
        "A": ("factory_reset",),
        "B": (
            "status",
            "diagnostics",
            "get_config",
            "safe_mode",
            "exit_safe_mode",
            "set_log_level",
            "set_emergency_token",
            "onewire/scan",
            "factory_reset",
        ),
    }
)
"""The system commands that each generation's firmware knows, in lower case."""


class DeviceCommand(BaseModel):
    """A system command. Which ones there are depends on the firmware: generation A knows factory_reset alone,
    B also status, diagnostics, get_config, safe_mode, exit_safe_mode, set_log_level, set_emergency_token,
    onewire/scan. factory_reset requires confirm: true."""

    model_config = {**STRICT, "json_schema_extra": {"examples": [{"command": "diagnostics"}]}}

    command: str = Field(pattern=r"^[a-z0-9_/]{1,64}$")
    params: dict[str, Any] = {}
    confirm: bool = False


class PushCommand(BaseModel):
    """A system command and the device it is for."""

    model_config = FROZEN

    esp_id: str
    command: DeviceCommand


class ZoneRequest(BaseModel):
    """The zone to assign, or null to take the device out of its zone."""

    model_config = {**STRICT, "json_schema_extra": {"examples": [{"zone_id": "greenhouse", "zone_name": "Greenhouse"}]}}

    zone_id: str | None = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    master_zone_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,64}$")
    zone_name: str | None = Field(default=None, max_length=100)


class PushZone(BaseModel):
    """A zone and the device it is for."""

    model_config = FROZEN

    esp_id: str
    zone: ZoneRequest


class SubzoneRequest(BaseModel):
    """A subzone of a device: the gpios in it, or that its pins are to be made safe."""

    model_config = {**STRICT, "json_schema_extra": {"examples": [{"subzone_name": "Bed A", "assigned_gpios": [25]}]}}

    subzone_name: str = Field(default="", max_length=100)
    parent_zone_id: str = Field(default="", pattern=r"^[A-Za-z0-9_-]{0,64}$")
    assigned_gpios: list[Pin] = Field(default=[], max_length=MAX_GPIO + 1)
    safe_mode_active: bool = False


class PushSubzone(BaseModel):
    """A subzone, what is to happen to it, and the device it is for."""

    model_config = FROZEN

    esp_id: str
    subzone_id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    action: Literal["assign", "remove", "safe"]
    subzone: SubzoneRequest = SubzoneRequest()


class PushAnswer(BaseModel):
    """A push to a device, with the id that the device echoes. Its result is published as an event."""

    model_config = FROZEN

    push_id: str
    esp_id: str
    kind: Literal["config", "zone", "subzone", "command"]
    state: Literal["pending", "applied", "partial", "failed", "timeout"]


class AuditEntry(BaseModel):
    """A change that somebody asked for. at in ms; address: of the client, empty of what a device or service did.
    service: the one that owns what is changed; an id counts within the gateway (sign-ins and users) and within all
    others.
    outcome: `begun` where it is not known how the change ended. before, after: what they have is what is changed.
    """

    model_config = FROZEN

    id: int
    at: int
    actor: str
    role: str
    address: str = ""
    request_id: str
    service: str = "health"
    action: str
    target: str
    outcome: AuditOutcome = "done"
    detail: str = ""
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


class AuditQuery(BaseModel):
    """Which entries, newest first."""

    model_config = FROZEN

    actor: str | None = Field(default=None, max_length=100)
    service: str | None = Field(default=None, max_length=100)
    action: str | None = Field(default=None, max_length=100)
    target: str | None = Field(default=None, max_length=300)
    outcome: AuditOutcome | None = None
    from_ms: Milliseconds | None = None
    to_ms: Milliseconds | None = None
    cursor: int | None = Field(default=None, ge=1, le=2**62)
    limit: int = Field(default=100, ge=1, le=1000)


class AuditPage(BaseModel):
    """Entries of the audit log."""

    model_config = FROZEN

    items: list[AuditEntry]
    next_cursor: str | None = None
