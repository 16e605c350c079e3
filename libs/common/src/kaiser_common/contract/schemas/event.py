"""Bus messages other than device messages: events for frontends and rules, rejected messages, and messages to MQTT.

The body of an event on the bus is exactly the `data` of its frame, so that the gateway never has to encode it again;
its type is in the subject, its time and sequence number come from JetStream.
"""

from typing import Any, Literal

from pydantic import BaseModel

from kaiser_common.contract.bounds import Instant
from kaiser_common.contract.schemas import FROZEN, Clock
from kaiser_common.contract.schemas.sensor import SensorState

EventType = Literal[
    "sensor_data",
    "actuator_status",
    "actuator_response",
    "actuator_alert",
    "esp_health",
    "config_response",
    "zone_assignment",
    "logic_execution",
    "system_event",
    "factory_module",
    "factory_order",
    "factory_stock",
    "factory_command",
    "factory_environment",
    "factory_replay",
    "alarm",
]


AlarmSeverity = Literal["critical", "warning", "info"]
AlarmState = Literal["raised", "acknowledged", "cleared", "closed"]
AlarmStep = Literal["raised", "raised_again", "acknowledged", "cleared", "closed", "shelved", "unshelved"]
Fact = str | int | float
"""A figure or word of an alarm that its sentence may use (kaiser_common.contract.alarm_kinds)."""


class SensorDataEvent(BaseModel):
    """A reading, processed. ts in ms; `topic` as the device sent it; `sensor_type` canonical; address "" for none.

    device_ts: the device's own time in ms where it was not believed. An event of quality `stale` has state `silent`, or
    `offline` where the device is (None: known), and `known_until`, the time in ms until which the value was known.
    """

    model_config = FROZEN

    kaiser_id: str
    esp_id: str
    gpio: int
    sensor_type: str
    address: str = ""
    ts: int
    raw: int | float | None = None
    raw_value: float | None = None
    value: float | None = None
    unit: str | None = None
    quality: str = "unknown"
    sensor_name: str | None = None
    zone_id: str | None = None
    subzone_id: str | None = None
    clock: Clock = "device"
    device_ts: int | None = None
    data_source: Literal["PRODUCTION", "MOCK", "TEST", "SIMULATION"] = "PRODUCTION"
    topic: str | None = None
    received_at: int | None = None
    state: SensorState | None = None
    known_until: int | None = None


class ActuatorStatusEvent(BaseModel):
    """The state of an actuator as last reported. value 0…1, ts in ms. emergency: left out if the device did not say.

    replayed: true where the report was rejected at first and let through later; it says nothing about now. Otherwise it
    is left out.
    """

    model_config = FROZEN

    kaiser_id: str
    esp_id: str
    gpio: int
    actuator_type: str
    state: bool
    value: float
    emergency: str | None = None
    last_command: str | None = None
    runtime_ms: int | None = None
    error: str | None = None
    ts: int
    topic: str | None = None
    replayed: bool | None = None


class ActuatorResponseEvent(BaseModel):
    """How a command ended, or what a device answered to a command that Kaiser does not know (no command_id).

    replayed: as of ActuatorStatusEvent.
    """

    model_config = FROZEN

    kaiser_id: str
    esp_id: str
    gpio: int
    command: str
    success: bool
    command_id: str | None = None
    state: str | None = None
    value: float | None = None
    message: str | None = None
    ts: int
    topic: str | None = None
    replayed: bool | None = None


class ActuatorAlertEvent(BaseModel):
    """An alert about an actuator; gpio 255 means the whole device. replayed: as of ActuatorStatusEvent."""

    model_config = FROZEN

    kaiser_id: str
    esp_id: str
    gpio: int
    alert_type: str
    severity: Literal["warning", "critical"] = "warning"
    message: str | None = None
    ts: int
    topic: str | None = None
    replayed: bool | None = None


class EspHealthEvent(BaseModel):
    """A device's state and figures. heap_free in bytes, wifi_rssi in dBm, uptime in s, last_seen and ts in ms.

    generation: of its firmware, where a heartbeat is at hand.
    """

    model_config = FROZEN

    kaiser_id: str
    esp_id: str
    status: Literal["online", "offline", "unknown"]
    last_seen: int | None = None
    uptime: int | None = None
    heap_free: int | None = None
    wifi_rssi: int | None = None
    sensor_count: int | None = None
    actuator_count: int | None = None
    firmware_version: str | None = None
    generation: Literal["A", "B"] | None = None
    ts: int
    topic: str | None = None


class ConfigResponseEvent(BaseModel):
    """How the push of a configuration stands or ended."""

    model_config = FROZEN

    kaiser_id: str
    esp_id: str
    config_id: str | None = None
    status: Literal["pending", "applied", "partial", "failed", "timeout"]
    message: str | None = None
    failures: list[dict[str, Any]] = []
    ts: int
    topic: str | None = None


class ZoneAssignmentEvent(BaseModel):
    """How a zone assignment stands or ended; zone_id None means that the device left its zone."""

    model_config = FROZEN

    kaiser_id: str
    esp_id: str
    zone_id: str | None
    master_zone_id: str | None = None
    status: Literal["pending", "assigned", "removed", "failed", "timeout"]
    message: str | None = None
    ts: int
    topic: str | None = None


class LogicExecutionEvent(BaseModel):
    """A rule that fired, or was kept from it (outcome `suppressed`). decisions: each condition's result and why."""

    model_config = FROZEN

    rule_id: str
    rule_name: str
    execution_id: str
    success: bool
    outcome: str | None = None
    decisions: list[dict[str, Any]] = []
    esp_id: str | None = None
    gpio: int | None = None
    trigger: dict[str, Any] = {}
    actions: list[dict[str, Any]] = []
    reason: str | None = None
    duration_ms: float | None = None
    ts: int


class SystemEvent(BaseModel):
    """Something an operator may want to know. `event` is a stable name such as `device_offline`; ts in ms."""

    model_config = FROZEN

    event: str
    severity: Literal["info", "warning", "error", "critical"] = "info"
    message: str
    esp_id: str | None = None
    code: int | None = None
    details: dict[str, Any] = {}
    ts: int


class AlarmEvent(BaseModel):
    """An alarm after a step of its life; each step is one event. `alarm_id` and `step` together name it; ts in ms.

    state: raised, acknowledged (and the condition still holds), cleared (it holds no more, nobody has acknowledged),
    closed (in the history). shelved_until: in ms, None not shelved. times: how often the condition began. facts: the
    figures and words of `message` by name, for a sentence in another language; which ones depends on the kind.
    """

    model_config = FROZEN

    alarm_id: str
    step: int
    what: AlarmStep
    by: str | None = None
    kind: str
    source: str
    severity: AlarmSeverity
    state: AlarmState
    message: str
    facts: dict[str, Fact] = {}
    esp_id: str | None = None
    gpio: int | None = None
    sensor_type: str | None = None
    address: str | None = None
    times: int = 1
    raised_at: int
    last_raised_at: int
    acknowledged_at: int | None = None
    acknowledged_by: str | None = None
    cleared_at: int | None = None
    shelved_until: int | None = None
    shelved_by: str | None = None
    ts: int


class RejectedMessage(BaseModel):
    """A rejected message, with the reason. received_at in ms; the payload is base64, byte for byte.

    serial: of a module, AGV or TXT of the factory. delivery: of one that MQTT delivered the id of that delivery.
    """

    model_config = FROZEN

    topic: str
    payload_base64: str
    code: int
    message: str
    field: str | None = None
    esp_id: str | None = None
    serial: str | None = None
    received_at: int
    delivery: str | None = None


class OutboxMessage(BaseModel):
    """A message for ingest to publish on MQTT. After `expires_at` (ms, None never) it is dropped and reported.

    receipt: the subject on which ingest publishes a Receipt once the broker has the message. only_newest: on the urgent
    lane, dropped where a newer message of its topic went out before it. number: of an emergency stop or a clear,
    growing, from one sequence. A clear (`clears`) is dropped and reported if a stop of its device or of everything with
    a higher number was sent before it.
    """

    model_config = FROZEN

    topic: str
    payload: str
    qos: Literal[0, 1] = 1
    retain: bool = False
    expires_at: int | None = None
    receipt: str | None = None
    only_newest: bool = False
    number: int | None = None
    clears: bool = False


class Receipt(BaseModel):
    """The MQTT broker has a message. sent_at in ms; which message says the subject."""

    model_config = FROZEN

    sent_at: Instant
