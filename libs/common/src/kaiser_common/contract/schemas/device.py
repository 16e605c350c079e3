"""Messages about a device as a whole: its health, configuration, zone, and what is sent to it."""

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from kaiser_common.contract.bounds import (
    MAX_LIST,
    MAX_NAME,
    MAX_TYPE_NAME,
    CorrelationId,
    Count,
    CutWord,
    Epoch,
    ErrorCode,
    HeapBytes,
    Instant,
    Message,
    Pin,
    PinOrDevice,
    Pwm,
    Rssi,
    Uptime,
    Word,
)
from kaiser_common.contract.schemas import FROZEN, DeviceMessage

Severity = Literal["info", "warning", "error", "critical"]
ConfigStatus = Literal["success", "partial_success", "error"]


class Heartbeat(DeviceMessage):
    """A device's sign of life. uptime in s, heap_free in bytes, wifi_rssi in dBm; flags: degraded, circuit breaker.

    A figure that the device left out, or that makes no sense, is None. details: further counters of the firmware.
    metrics: it was published on the topic for figures only (heartbeat_metrics).
    """

    uptime: Uptime | None = None
    heap_free: HeapBytes | None = None
    wifi_rssi: Rssi | None = None
    sensor_count: Count | None = None
    actuator_count: Count | None = None
    zone_id: Word | None = None
    firmware_version: Word | None = None
    active_handover_epoch: Epoch | None = None
    boot_sequence_id: Word | None = None
    reset_reason: Word | None = None
    wifi_ip: Word | None = None
    flags: dict[str, bool | int | str] = {}
    details: dict[str, Any] = {}
    metrics: bool = False


class Will(DeviceMessage):
    """The message that the broker publishes for a device that disconnected without notice. ts is that of the device's
    CONNECT and proves nothing.

    A will that is delivered live (retained False) means offline at received_at.
    """

    status: Word
    reason: Word | None = None
    retained: bool = False


class Session(DeviceMessage):
    """A device has opened a session (generation B) and waits for an acknowledgement with this epoch or a later one."""

    handover_epoch: Epoch
    reason: Word | None = None
    boot_sequence_id: Word | None = None


NOT_CARRIED_OUT = frozenset({"rejected", "failed", "expired"})
"""Outcomes of an intent that end what it is about; all others are steps on its way."""


class Intent(DeviceMessage):
    """The outcome of a command or configuration at a device (generation B), with the correlation_id that Kaiser sent.
    lifecycle: it was published on the lifecycle topic, which has states instead of outcomes.
    """

    outcome: Word
    correlation_id: CorrelationId
    intent_id: CorrelationId | None = None
    flow: Word | None = None
    code: Word | None = None
    reason: Message | None = None
    lifecycle: bool = False


class ScanResult(DeviceMessage):
    """The one-wire devices that a device has found, as ROM codes (16 hex digits)."""

    gpio: Pin | None = None
    devices: Annotated[list[Word], Field(max_length=MAX_LIST)]
    correlation_id: CorrelationId | None = None


class DeviceError(DeviceMessage):
    """An error that a device reports about itself."""

    error_code: ErrorCode
    severity: Severity
    message: Message
    category: Word | None = None


class Diagnostics(DeviceMessage):
    """Figures about a device. heap_free in bytes, wifi_rssi in dBm; None where it left one out."""

    heap_free: HeapBytes | None = None
    uptime_seconds: Uptime | None = None
    wifi_rssi: Rssi | None = None


class SystemResponse(DeviceMessage):
    """A device's answer to a system command. details: the other fields of the answer."""

    command: Word | None = None
    success: bool
    status: Word | None = None
    error: Message | None = None
    message: Message | None = None
    correlation_id: CorrelationId | None = None
    details: dict[str, Any] = {}


class ConfigFailure(BaseModel):
    """One item of a configuration that a device refused."""

    model_config = FROZEN

    type: Word | None = None
    gpio: Pin | None = None
    error_code: ErrorCode | CutWord | None = None
    error: Message | None = None
    detail: Message | None = None


class ConfigResponse(DeviceMessage):
    """A device's answer to one scope of its configuration; type is the scope: sensor, actuator or system."""

    status: ConfigStatus
    type: Word
    count: Count = 0
    message: Message = ""
    failed_count: Count = 0
    failures: Annotated[list[ConfigFailure], Field(max_length=MAX_LIST)] = []
    error_code: Word | None = None
    config_id: CorrelationId | None = None
    correlation_id: CorrelationId | None = None


class ZoneAck(DeviceMessage):
    """A device's answer to the assignment of a zone; zone_id is empty where it left its zone or refused.

    subzone_id is set where the answer is about a subzone.
    """

    status: Word
    zone_id: Annotated[str, Field(max_length=MAX_NAME)] = ""
    subzone_id: Annotated[str, Field(max_length=MAX_NAME)] | None = None
    master_zone_id: Word | None = None
    message: Message | None = None
    correlation_id: CorrelationId | None = None


class Discovery(DeviceMessage):
    """A device announces itself on the deprecated discovery topic."""

    hardware_type: Word | None = None
    firmware_version: Word | None = None
    mac_address: Word | None = None
    ip_address: Word | None = None


class Downlink(BaseModel):
    """A message that MQTT delivered for a mock device or for all: body on esp.downlink, payload as sent."""

    model_config = FROZEN

    kaiser_id: str
    esp_id: str
    topic: str
    payload: str
    received_at: Instant


class AliveDigest(BaseModel):
    """The devices that sent an accepted message since the last digest, with the time of the newest in ms."""

    model_config = FROZEN

    devices: dict[str, Instant]


class DeviceRecord(BaseModel):
    """The value of a device in the KV bucket `devices`; health writes it, all others watch.

    kaiser_id: the site under which it publishes; if kaiser_id_fixed, messages under another site are rejected (5211).
    generation: of its firmware, B once a heartbeat had a boot_sequence_id. emergency_token: the device's own, its
    esp_id where None; never shown or logged. boot: grows with each restart, and with each absence that was too short to
    be seen in `online`.
    offline_since: time of the last message of an offline device (ms). away_at: when it was last found offline (ms),
    also after its return: what came before is not known until it comes again. approved_at: when it was last let in
    (ms): under the same id it may be another device than before.
    """

    model_config = FROZEN

    esp_id: str
    kaiser_id: str
    state: Literal["pending", "approved", "rejected"]
    online: bool = False
    hardware_type: str | None = None
    name: str | None = None
    zone_id: str | None = None
    kaiser_id_fixed: bool = False
    generation: Literal["A", "B"] = "A"
    emergency_token: str | None = None
    boot: int = 0
    offline_since: int | None = None
    away_at: int | None = None
    approved_at: int | None = None


class HeartbeatAck(BaseModel):
    """Payload to a device: Kaiser received its heartbeat. server_time in s.

    handover_epoch: of the device's session, at least 1; firmware B refuses an acknowledgement without it and goes to
    its safe state after 120 s.
    """

    model_config = FROZEN

    status: Literal["online", "pending_approval", "rejected", "error"]
    handover_epoch: int = Field(default=1, ge=1)
    config_available: bool = False
    server_time: int


class SensorItem(BaseModel):
    """One sensor in a device's configuration, with the firmware's names; `type` and `name` are read too.

    i2c_address in decimal; onewire_address as 16 hex digits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    gpio: Pin
    sensor_type: str = Field(validation_alias=AliasChoices("sensor_type", "type"), min_length=1, max_length=MAX_NAME)
    sensor_name: str | None = Field(
        default=None, validation_alias=AliasChoices("sensor_name", "name"), max_length=MAX_NAME
    )
    subzone_id: str | None = Field(default=None, max_length=MAX_NAME)
    active: bool = True
    raw_mode: bool = True
    operating_mode: str = Field(default="continuous", max_length=MAX_NAME)
    measurement_interval_seconds: int = Field(default=30, ge=1, le=86_400)
    onewire_address: str | None = Field(default=None, max_length=16)
    i2c_address: int | None = Field(default=None, ge=0, le=127)


class ActuatorItem(BaseModel):
    """One actuator in a device's configuration, with the firmware's names; `type`, `name`, `inverted` are read too."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    gpio: Pin
    actuator_type: str = Field(
        validation_alias=AliasChoices("actuator_type", "type"), min_length=1, max_length=MAX_TYPE_NAME
    )
    actuator_name: str | None = Field(
        default=None, validation_alias=AliasChoices("actuator_name", "name"), max_length=MAX_NAME
    )
    subzone_id: str | None = Field(default=None, max_length=MAX_NAME)
    active: bool = True
    critical: bool = False
    inverted_logic: bool = Field(default=False, validation_alias=AliasChoices("inverted_logic", "inverted"))
    default_state: bool = False
    default_pwm: Pwm = 0
    aux_gpio: PinOrDevice | None = None
    max_runtime_ms: int | None = Field(default=None, ge=0)


class DeviceConfig(BaseModel):
    """Payload to a device: its sensors and actuators."""

    model_config = FROZEN

    config_id: str
    sensors: list[SensorItem] = []
    actuators: list[ActuatorItem] = []


class SystemCommand(BaseModel):
    """Payload to a device: restart, safe mode and the like."""

    model_config = FROZEN

    command: str
    params: dict[str, Any] = {}
    confirm: bool | None = None
    correlation_id: str | None = None


class ZoneAssign(BaseModel):
    """Payload to a device: the zone it belongs to, empty to leave it. timestamp in s."""

    model_config = FROZEN

    zone_id: str
    master_zone_id: str = ""
    zone_name: str = ""
    kaiser_id: str
    timestamp: int
    correlation_id: str


class Subzone(BaseModel):
    """Payload to a device about one of its subzones: assign, remove, or make its pins safe. timestamp in s."""

    model_config = FROZEN

    subzone_id: str
    subzone_name: str = ""
    parent_zone_id: str = ""
    assigned_gpios: list[int] = []
    safe_mode_active: bool = False
    correlation_id: str
    timestamp: int


class ServerStatus(BaseModel):
    """Retained payload that informs devices whether Kaiser is online. timestamp in s."""

    model_config = FROZEN

    status: Literal["online", "offline"]
    timestamp: int
    reason: str | None = None
