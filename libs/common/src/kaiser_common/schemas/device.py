"""Messages about a device as a whole: its health, configuration, zone, and what is sent to it."""

from typing import Any, Literal

from pydantic import BaseModel

from kaiser_common.schemas import FROZEN, DeviceMessage

Severity = Literal["info", "warning", "error", "critical"]
ConfigStatus = Literal["success", "partial_success", "error"]


class Heartbeat(DeviceMessage):
    """A device's sign of life. uptime in s, heap_free in bytes, wifi_rssi in dBm; flags: degraded, circuit breaker."""

    uptime: int
    heap_free: int
    wifi_rssi: int
    sensor_count: int | None = None
    actuator_count: int | None = None
    zone_id: str | None = None
    firmware_version: str | None = None
    flags: dict[str, bool | int | str] = {}


class Will(DeviceMessage):
    """What the broker says for a device that vanished (retained)."""

    status: str
    reason: str | None = None
    retained: bool = False


class DeviceError(DeviceMessage):
    """An error that a device reports about itself."""

    error_code: int
    severity: Severity
    message: str
    category: str | None = None


class Diagnostics(DeviceMessage):
    """Figures about a device. heap_free in bytes, wifi_rssi in dBm."""

    heap_free: int
    uptime_seconds: int
    wifi_rssi: int


class SystemResponse(DeviceMessage):
    """A device's answer to a system command."""

    command: str
    success: bool
    message: str | None = None
    correlation_id: str | None = None


class ConfigFailure(BaseModel):
    """One item of a configuration that a device refused."""

    model_config = FROZEN

    type: str | None = None
    gpio: int | None = None
    error_code: int | None = None
    error: str | None = None
    detail: str | None = None


class ConfigResponse(DeviceMessage):
    """A device's answer to its configuration."""

    status: ConfigStatus
    type: str
    count: int
    message: str
    failed_count: int = 0
    failures: list[ConfigFailure] = []
    config_id: str | None = None
    correlation_id: str | None = None


class ZoneAck(DeviceMessage):
    """A device's answer to a zone assignment; zone_id is empty where it left its zone."""

    status: str
    zone_id: str
    master_zone_id: str | None = None
    message: str | None = None
    correlation_id: str | None = None


class Discovery(DeviceMessage):
    """A device announces itself on the deprecated discovery topic."""

    hardware_type: str | None = None
    firmware_version: str | None = None
    mac_address: str | None = None
    ip_address: str | None = None


class Downlink(BaseModel):
    """What MQTT delivered for a mock device or for all: body on esp.downlink, payload as sent."""

    model_config = FROZEN

    kaiser_id: str
    esp_id: str
    topic: str
    payload: str
    received_at: int


class AliveDigest(BaseModel):
    """The devices that sent an accepted message since the last digest, with the time of the newest in ms."""

    model_config = FROZEN

    devices: dict[str, int]


class DeviceRecord(BaseModel):
    """The value of a device in the KV bucket `devices`; health writes it, all others watch."""

    model_config = FROZEN

    esp_id: str
    kaiser_id: str
    state: Literal["pending", "approved", "rejected"]
    online: bool = False
    hardware_type: str | None = None
    name: str | None = None
    zone_id: str | None = None
    emergency_token: str | None = None
    generation: Literal["A", "B"] = "A"


class HeartbeatAck(BaseModel):
    """Payload to a device: Kaiser heard it. server_time in s."""

    model_config = FROZEN

    status: Literal["online", "pending_approval", "rejected", "error"]
    config_available: bool = False
    server_time: int


class SensorItem(BaseModel):
    """One sensor in a device's configuration."""

    model_config = FROZEN

    gpio: int
    type: str
    name: str | None = None
    subzone_id: str | None = None
    active: bool = True
    raw_mode: bool = True
    operating_mode: str = "continuous"
    measurement_interval_seconds: int = 30


class ActuatorItem(BaseModel):
    """One actuator in a device's configuration."""

    model_config = FROZEN

    gpio: int
    type: str
    name: str | None = None
    subzone_id: str | None = None
    active: bool = True
    inverted: bool = False
    critical: bool = False
    default_state: bool = False


class DeviceConfig(BaseModel):
    """Payload to a device: its sensors and actuators."""

    model_config = FROZEN

    config_id: str
    sensors: list[SensorItem] = []
    actuators: list[ActuatorItem] = []


class SystemCommand(BaseModel):
    """Payload to a device: restart, safe mode and the like."""

    model_config = FROZEN

    command: Literal["reboot", "safe_mode", "exit_safe_mode", "resume_operation", "diagnostics", "reset_config"]
    params: dict[str, Any] = {}
    correlation_id: str | None = None


class ZoneAssign(BaseModel):
    """Payload to a device: the zone it belongs to, empty to leave it. timestamp in s."""

    model_config = FROZEN

    zone_id: str
    master_zone_id: str | None = None
    zone_name: str | None = None
    kaiser_id: str
    timestamp: int
    correlation_id: str


class ServerStatus(BaseModel):
    """Retained payload that tells devices whether Kaiser is there. timestamp in s."""

    model_config = FROZEN

    status: Literal["online", "offline"]
    timestamp: int
    reason: str | None = None
