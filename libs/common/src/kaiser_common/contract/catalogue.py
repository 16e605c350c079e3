"""The catalogue: every message of devices and of the bus, declared once; pure.

Topics, parsers, decoders, broker and bus rights, AsyncAPI, JSON Schemas and docs/devices.md are derived from these
rows, or are compared with them by tests (tests/test_catalogue.py). To add a message, write its model, its row and its
handler (docs/adding-a-message.md). Firmware generations: A is from January 2026 (PubSubClient: every publish at QoS 0,
most of them retained), B from April 2026 (ESP-IDF client: QoS 1, a registration gate, correlation ids).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel

from kaiser_common.contract.bounds import MAX_BATCH_ITEMS
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas import actuator, device, event, factory, sensor
from kaiser_common.contract.schemas.api.logic import Execution
from kaiser_common.contract.schemas.audit import AuditRecord


class Kind(StrEnum):
    """The kind of message that a topic carries; the kinds of device messages also name the bus subjects."""

    SENSOR_DATA = "sensor.data"
    SENSOR_BATCH = "sensor.batch"
    SENSOR_RESPONSE = "sensor.response"
    ACTUATOR_STATUS = "actuator.status"
    ACTUATOR_RESPONSE = "actuator.response"
    ACTUATOR_ALERT = "actuator.alert"
    EMERGENCY_RESPONSE = "actuator.emergency"
    EMERGENCY_ERROR = "actuator.emergency.error"
    EMERGENCY_ACK = "actuator.emergency.ack"
    RECOVERY_CONFIRM = "actuator.emergency.recovery"
    HEARTBEAT = "system.heartbeat"
    HEARTBEAT_METRICS = "system.heartbeat.metrics"
    WILL = "system.will"
    SESSION = "system.session"
    INTENT = "system.intent"
    LIFECYCLE = "system.intent.lifecycle"
    SCAN = "system.scan"
    QUEUE_PRESSURE = "system.queue_pressure"
    SYSTEM_ERROR = "system.error"
    DIAGNOSTICS = "system.diagnostics"
    SYSTEM_RESPONSE = "system.response"
    CONFIG_RESPONSE = "config.response"
    ZONE_ACK = "zone.ack"
    SUBZONE_ACK = "zone.ack.subzone"
    DISCOVERY = "system.discovery"
    ACTUATOR_COMMAND = "downlink.actuator.command"
    EMERGENCY = "downlink.actuator.emergency"
    BROADCAST_EMERGENCY = "downlink.broadcast.emergency"
    SENSOR_COMMAND = "downlink.sensor.command"
    CONFIG = "downlink.config"
    ZONE_ASSIGN = "downlink.zone.assign"
    SUBZONE_ASSIGN = "downlink.subzone.assign"
    SUBZONE_REMOVE = "downlink.subzone.remove"
    SUBZONE_SAFE = "downlink.subzone.safe"
    SYSTEM_COMMAND = "downlink.system.command"
    HEARTBEAT_ACK = "downlink.system.heartbeat_ack"
    PROCESSED = "downlink.sensor.processed"
    SERVER_STATUS = "downlink.server.status"


COMMON_CODES = (
    Code.ESP_DEVICE_NOT_FOUND,
    Code.FIELD_TYPE_MISMATCH,
    Code.JSON_PARSE_ERROR,
    Code.PAYLOAD_TOO_LARGE,
    Code.TOPIC_MISMATCH,
    Code.INTEGRITY_ERROR,
    Code.PROCESSING_FAILED,
)
"""With these any message of a device may be rejected, with the last two by the service that reads it."""
TOPIC_CODES = (Code.INVALID_ESP_ID, Code.INVALID_GPIO, Code.UNKNOWN_TOPIC)
"""With these a message is rejected whose topic is no row's."""


@dataclass(frozen=True, slots=True)
class UplinkRow:
    """A message that devices send. topic: with {k}, {esp}, {gpio}; older: topics of earlier firmware for the same.

    model: the body on the bus, under `esp.<bus_kind>.…`. owner: the service that answers for it; also_read_by: others
    with a consumer of it. a, b: QoS of each generation, R where retained, – where it never sends it. required: an
    example of the least that is accepted. codes: with which it may be rejected, beside COMMON_CODES.
    aliases: other names under which a field is read. becomes: what of it is on the bus.
    """

    kind: Kind
    topic: str
    model: type[BaseModel]
    owner: str
    a: str
    b: str
    required: Mapping[str, Any]
    note: str = ""
    older: tuple[str, ...] = ()
    bus_kind: Kind | None = None
    also_read_by: tuple[str, ...] = ()
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    becomes: Literal["a message", "readings", "a count"] = "a message"
    codes: tuple[Code, ...] = (Code.MISSING_REQUIRED_FIELD, Code.VALUE_OUT_OF_RANGE)


_HEADER_BYTES = 7
"""Of an MQTT header, which generation A counts among those of its buffer."""
PACKET_BYTES = 2_048 - _HEADER_BYTES
"""Most bytes of topic and payload that generation A takes."""
XIAO_BYTES = 1_024 - _HEADER_BYTES
"""The same of its XIAO boards."""
_B_CONFIG_BYTES = 4_351


@dataclass(frozen=True, slots=True)
class DownlinkRow:
    """A message that Kaiser sends to devices at QoS 1, retained if it is server/status. sender: the service that makes
    it. lane: the kind of OUTBOX subject that it may come on, None if ingest makes it itself. a, b: what the firmware of
    each generation does with it. mocks_read: ingest hands it to mocks. most_bytes: of topic and payload, so that both
    generations take it (XIAO boards at most XIAO_BYTES); b_most_bytes: where B takes more. may_lack: the model's fields
    that a message may be without, None for those whose default is None; added: fields that the sender adds to them."""

    kind: Kind
    topic: str
    model: type[BaseModel]
    sender: str
    lane: Literal["command", "stop", "setup", "sensor"] | None
    a: str
    b: str
    note: str = ""
    mocks_read: bool = True
    most_bytes: int = PACKET_BYTES
    b_most_bytes: int | None = None
    may_lack: tuple[str, ...] | None = None
    added: tuple[str, ...] = ()

    @property
    def fields(self) -> dict[str, bool]:
        """The fields of its payload, and whether a message always has it."""
        fields = self.model.model_fields.items()
        lacking = {name for name, field in fields if not field.is_required() and field.default is None}
        if self.may_lack is not None:
            lacking = set(self.may_lack)
        return {name: name not in lacking for name in (*self.model.model_fields, *self.added)}


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event for frontends and rules, `event.<name>.<esp_id>`: the body is the `data` of the WebSocket's frame."""

    name: event.EventType
    model: type[BaseModel]
    publishers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BusMessageRow:
    """Another message of the bus: its subject with the names of its tokens, its body, and what it is for."""

    name: str
    subject: str
    model: type[BaseModel]
    purpose: str


UPLINKS: tuple[UplinkRow, ...] = (
    UplinkRow(
        Kind.SENSOR_DATA,
        "kaiser/{k}/esp/{esp}/sensor/{gpio}/data",
        sensor.Reading,
        "sensor",
        "0R",
        "1",
        {"ts": 0, "gpio": 4, "sensor_type": "ph", "raw": 1, "raw_mode": True},
        note="`raw_value` for raw; A prints negative DS18B20 counts as uint32",
        codes=(Code.INVALID_SENSOR_TYPE, Code.MISSING_REQUIRED_FIELD, Code.VALUE_OUT_OF_RANGE, Code.DUPLICATE_ENTRY),
    ),
    UplinkRow(
        Kind.SENSOR_BATCH,
        "kaiser/{k}/esp/{esp}/sensor/batch",
        sensor.Reading,
        "sensor",
        "–",
        "–",
        {"ts": 0, "esp_id": "ESP_1", "sensors": [{"gpio": 4, "sensor_type": "ph", "value": 1}]},
        note=f"a reading of each item, at most {MAX_BATCH_ITEMS}; `raw` for value; without a value raw_mode is true",
        becomes="readings",
        codes=(
            Code.INVALID_GPIO,
            Code.INVALID_SENSOR_TYPE,
            Code.MISSING_REQUIRED_FIELD,
            Code.VALUE_OUT_OF_RANGE,
            Code.DUPLICATE_ENTRY,
        ),
    ),
    UplinkRow(
        Kind.SENSOR_RESPONSE,
        "kaiser/{k}/esp/{esp}/sensor/{gpio}/response",
        sensor.SensorResponse,
        "sensor",
        "–",
        "1",
        {"request_id": "r", "gpio": 4, "command": "measure", "success": True},
    ),
    UplinkRow(
        Kind.ACTUATOR_STATUS,
        "kaiser/{k}/esp/{esp}/actuator/{gpio}/status",
        actuator.ActuatorStatus,
        "actuator",
        "0R",
        "1",
        {"gpio": 4, "actuator_type": "pump", "state": True, "value": 1},
        note="state also on/off; `pwm` 0…255 for value 0…1; on change and every 30 s",
        aliases={"actuator_type": ("type",)},
        codes=(Code.INVALID_ACTUATOR_TYPE, Code.MISSING_REQUIRED_FIELD, Code.VALUE_OUT_OF_RANGE),
    ),
    UplinkRow(
        Kind.ACTUATOR_RESPONSE,
        "kaiser/{k}/esp/{esp}/actuator/{gpio}/response",
        actuator.ActuatorResponse,
        "actuator",
        "0R",
        "1",
        {"gpio": 4, "command": "ON", "success": True},
    ),
    UplinkRow(
        Kind.ACTUATOR_ALERT,
        "kaiser/{k}/esp/{esp}/actuator/{gpio}/alert",
        actuator.ActuatorAlert,
        "actuator",
        "0R",
        "1",
        {"alert_type": "emergency_stop"},
        note="gpio 255 is the whole device; unknown types become `other`",
        aliases={"alert_type": ("type",)},
    ),
    UplinkRow(
        Kind.EMERGENCY_RESPONSE,
        "kaiser/{k}/esp/{esp}/actuator/emergency/response",
        actuator.EmergencyAnswer,
        "actuator",
        "0R",
        "1",
        {"status": "emergency_cleared"},
        note="timestamp is milliseconds since the start",
    ),
    UplinkRow(
        Kind.EMERGENCY_ERROR,
        "kaiser/{k}/esp/{esp}/actuator/emergency/error",
        actuator.EmergencyAnswer,
        "actuator",
        "0R",
        "1",
        {"error": "unauthorized"},
        bus_kind=Kind.EMERGENCY_RESPONSE,
    ),
    UplinkRow(
        Kind.EMERGENCY_ACK,
        "kaiser/{k}/esp/{esp}/actuator/emergency/ack",
        actuator.EmergencyAnswer,
        "actuator",
        "–",
        "1",
        {"outcome": "executed"},
        bus_kind=Kind.EMERGENCY_RESPONSE,
    ),
    UplinkRow(
        Kind.RECOVERY_CONFIRM,
        "kaiser/{k}/esp/{esp}/actuator/recovery_confirm",
        actuator.EmergencyAnswer,
        "actuator",
        "–",
        "1",
        {"state": "cleared"},
        bus_kind=Kind.EMERGENCY_RESPONSE,
    ),
    UplinkRow(
        Kind.HEARTBEAT,
        "kaiser/{k}/esp/{esp}/system/heartbeat",
        device.Heartbeat,
        "health",
        "0",
        "0",
        {},
        note="every figure is optional; B adds active_handover_epoch, boot_sequence_id, counters (kept in details)",
        older=("kaiser/{k}/esp/{esp}/heartbeat",),
        aliases={
            "heap_free": ("free_heap",),
            "sensor_count": ("active_sensors",),
            "actuator_count": ("active_actuators",),
        },
        codes=(),
    ),
    UplinkRow(
        Kind.HEARTBEAT_METRICS,
        "kaiser/{k}/esp/{esp}/system/heartbeat_metrics",
        device.Heartbeat,
        "health",
        "–",
        "0",
        {},
        bus_kind=Kind.HEARTBEAT,
        aliases={
            "heap_free": ("free_heap",),
            "sensor_count": ("active_sensors",),
            "actuator_count": ("active_actuators",),
        },
        codes=(),
    ),
    UplinkRow(
        Kind.WILL,
        "kaiser/{k}/esp/{esp}/system/will",
        device.Will,
        "health",
        "1R",
        "1R",
        {"status": "offline"},
        note="its time is that of CONNECT",
    ),
    UplinkRow(
        Kind.SYSTEM_ERROR,
        "kaiser/{k}/esp/{esp}/system/error",
        device.DeviceError,
        "health",
        "–",
        "0",
        {"error_code": 1, "severity": "error", "message": "m"},
        note="severity also 0…3",
    ),
    UplinkRow(
        Kind.DIAGNOSTICS,
        "kaiser/{k}/esp/{esp}/system/diagnostics",
        device.Diagnostics,
        "health",
        "0",
        "0",
        {},
        note="ts is seconds since the start",
        codes=(),
    ),
    UplinkRow(
        Kind.SYSTEM_RESPONSE,
        "kaiser/{k}/esp/{esp}/system/command/response",
        device.SystemResponse,
        "health",
        "0R",
        "1",
        {"command": "status"},
        note="any one of command, status, error will do",
        older=("kaiser/{k}/esp/{esp}/system/response",),
    ),
    UplinkRow(
        Kind.SESSION,
        "kaiser/{k}/esp/{esp}/session/announce",
        device.Session,
        "health",
        "–",
        "1",
        {"handover_epoch": 1},
        note="always under kaiser/god",
        aliases={"ts": ("ts_ms",)},
        codes=(Code.MISSING_REQUIRED_FIELD,),
    ),
    UplinkRow(
        Kind.INTENT,
        "kaiser/{k}/esp/{esp}/system/intent_outcome",
        device.Intent,
        "health",
        "–",
        "1",
        {"outcome": "persisted", "correlation_id": "c"},
        also_read_by=("actuator",),
        aliases={"outcome": ("state", "event")},
    ),
    UplinkRow(
        Kind.LIFECYCLE,
        "kaiser/{k}/esp/{esp}/system/lifecycle",
        device.Intent,
        "health",
        "–",
        "1",
        {"outcome": "boot", "correlation_id": "c"},
        bus_kind=Kind.INTENT,
        also_read_by=("actuator",),
        aliases={"outcome": ("state", "event")},
    ),
    UplinkRow(
        Kind.SCAN,
        "kaiser/{k}/esp/{esp}/onewire/scan_result",
        device.ScanResult,
        "health",
        "–",
        "1",
        {"devices": []},
        aliases={"gpio": ("pin",)},
        codes=(Code.MISSING_REQUIRED_FIELD,),
    ),
    UplinkRow(
        Kind.QUEUE_PRESSURE,
        "kaiser/{k}/esp/{esp}/system/queue_pressure",
        BaseModel,
        "ingest",
        "–",
        "0",
        {},
        note="counted, not published",
        becomes="a count",
        codes=(),
    ),
    UplinkRow(
        Kind.CONFIG_RESPONSE,
        "kaiser/{k}/esp/{esp}/config_response",
        device.ConfigResponse,
        "health",
        "0R",
        "1",
        {"status": "success", "type": "sensor"},
        note="one for each scope that was sent; B adds one of type system on failure",
        also_read_by=("actuator",),
    ),
    UplinkRow(
        Kind.ZONE_ACK,
        "kaiser/{k}/esp/{esp}/zone/ack",
        device.ZoneAck,
        "health",
        "0R",
        "1",
        {"status": "zone_assigned", "zone_id": "z"},
        note="zone_id unless status is error",
    ),
    UplinkRow(
        Kind.SUBZONE_ACK,
        "kaiser/{k}/esp/{esp}/subzone/ack",
        device.ZoneAck,
        "health",
        "0R",
        "1",
        {"status": "subzone_assigned", "subzone_id": "s"},
        bus_kind=Kind.ZONE_ACK,
    ),
    UplinkRow(
        Kind.DISCOVERY,
        "kaiser/{k}/discovery/esp32_nodes",
        device.Discovery,
        "health",
        "–",
        "–",
        {"esp_id": "ESP_1"},
        note="deprecated",
        codes=(Code.INVALID_ESP_ID, Code.MISSING_REQUIRED_FIELD),
    ),
)
"""The messages that devices send. Where topics overlap, the one without a gpio is meant."""

DOWNLINKS: tuple[DownlinkRow, ...] = (
    DownlinkRow(
        Kind.ACTUATOR_COMMAND,
        "kaiser/{k}/esp/{esp}/actuator/{gpio}/command",
        actuator.ActuatorCommand,
        "actuator",
        "command",
        "obeys",
        "obeys once registered and approved",
        most_bytes=511,
    ),
    DownlinkRow(
        Kind.EMERGENCY,
        "kaiser/{k}/esp/{esp}/actuator/emergency",
        actuator.EmergencyCommand,
        "actuator",
        "stop",
        "requires its auth_token (default: its esp_id)",
        "requires a token if one is stored; production builds always",
        note="a clear is refused within 5 s of the stop",
        most_bytes=255,
    ),
    DownlinkRow(
        Kind.BROADCAST_EMERGENCY,
        "kaiser/broadcast/emergency",
        actuator.BroadcastEmergency,
        "actuator",
        "stop",
        "stops on any message",
        "stops; production builds require a token",
        note="nothing but a stop is ever sent here",
        most_bytes=255,
    ),
    DownlinkRow(
        Kind.SENSOR_COMMAND,
        "kaiser/{k}/esp/{esp}/sensor/{gpio}/command",
        sensor.SensorCommand,
        "sensor",
        "sensor",
        "does not read it",
        "measures",
    ),
    DownlinkRow(
        Kind.CONFIG,
        "kaiser/{k}/esp/{esp}/config",
        device.DeviceConfig,
        "health",
        "setup",
        f"at most {PACKET_BYTES:,} bytes of topic and payload (XIAO {XIAO_BYTES:,}); an empty list is an error",
        f"at most {_B_CONFIG_BYTES:,} bytes; requires correlation_id",
        note="defaults and empty lists are left out",
        b_most_bytes=_B_CONFIG_BYTES,
        may_lack=("sensors", "actuators"),
        added=("correlation_id",),
    ),
    DownlinkRow(
        Kind.ZONE_ASSIGN,
        "kaiser/{k}/esp/{esp}/zone/assign",
        device.ZoneAssign,
        "health",
        "setup",
        "ignores an empty zone_id; its next heartbeat confirms",
        'accepts "" for none',
    ),
    DownlinkRow(
        Kind.SUBZONE_ASSIGN, "kaiser/{k}/esp/{esp}/subzone/assign", device.Subzone, "health", "setup", "obeys", "obeys"
    ),
    DownlinkRow(
        Kind.SUBZONE_REMOVE, "kaiser/{k}/esp/{esp}/subzone/remove", device.Subzone, "health", "setup", "obeys", "obeys"
    ),
    DownlinkRow(
        Kind.SUBZONE_SAFE,
        "kaiser/{k}/esp/{esp}/subzone/safe",
        device.Subzone,
        "health",
        "setup",
        "does not read it",
        "obeys",
    ),
    DownlinkRow(
        Kind.SYSTEM_COMMAND,
        "kaiser/{k}/esp/{esp}/system/command",
        device.SystemCommand,
        "health",
        "setup",
        "accepts factory_reset (with confirm true)",
        "accepts status, diagnostics, get_config, safe_mode, exit_safe_mode, set_log_level, set_emergency_token,"
        " onewire/scan, factory_reset (with confirm true)",
        most_bytes=255,
        may_lack=("params", "confirm"),
    ),
    DownlinkRow(
        Kind.HEARTBEAT_ACK,
        "kaiser/{k}/esp/{esp}/system/heartbeat/ack",
        device.HeartbeatAck,
        "health",
        "setup",
        "ignores it",
        "sends no reading without one, safe state after 120 s",
    ),
    DownlinkRow(
        Kind.PROCESSED,
        "kaiser/{k}/esp/{esp}/sensor/{gpio}/processed",
        sensor.Processed,
        "sensor",
        "sensor",
        "does not read it",
        "does not read it",
        note="for displays",
        mocks_read=False,
    ),
    DownlinkRow(
        Kind.SERVER_STATUS,
        "kaiser/{k}/server/status",
        device.ServerStatus,
        "ingest",
        None,
        "does not read it",
        "puts every actuator to its default at `offline`",
        note="retained; the will has a delay of 30 s (MQTT 3.1.1: no will, it stays `online` while ingest is away)",
        mocks_read=False,
    ),
)
"""The messages that devices receive."""

EVENTS: tuple[EventRow, ...] = (
    EventRow("sensor_data", event.SensorDataEvent, ("sensor",)),
    EventRow("actuator_status", event.ActuatorStatusEvent, ("actuator",)),
    EventRow("actuator_response", event.ActuatorResponseEvent, ("actuator",)),
    EventRow("actuator_alert", event.ActuatorAlertEvent, ("actuator",)),
    EventRow("esp_health", event.EspHealthEvent, ("health",)),
    EventRow("config_response", event.ConfigResponseEvent, ("health",)),
    EventRow("zone_assignment", event.ZoneAssignmentEvent, ("health",)),
    EventRow("logic_execution", event.LogicExecutionEvent, ("logic",)),
    EventRow("system_event", event.SystemEvent, ("ingest", "sensor", "health", "actuator", "logic", "factory")),
    EventRow("factory_module", factory.FactoryModule, ("factory",)),
    EventRow("factory_order", factory.FactoryOrder, ("factory",)),
    EventRow("factory_stock", factory.FactoryStore, ("factory",)),
    EventRow("factory_command", factory.FactoryCommandEntry, ("factory",)),
    EventRow("factory_environment", factory.FactoryEnvironment, ("factory",)),
    EventRow("factory_replay", factory.FactoryReplay, ("recorder",)),
    EventRow("alarm", event.AlarmEvent, ("alarm",)),
)
"""The events that frontends and rules receive."""

BUS_MESSAGES: tuple[BusMessageRow, ...] = (
    BusMessageRow(
        "alive",
        "esp.system.alive.{kaiser_id}.digest",
        device.AliveDigest,
        "Devices from which ingest received messages",
    ),
    BusMessageRow(
        "downlink",
        "esp.downlink.{kaiser_id}.{esp_id}",
        device.Downlink,
        "A message that MQTT delivered for a mock device",
    ),
    BusMessageRow(
        "outbox", "mqtt.out.{kaiser_id}.{esp_id}.{kind}", event.OutboxMessage, "A message that ingest publishes on MQTT"
    ),
    BusMessageRow(
        "command",
        "mqtt.out.{kaiser_id}.{esp_id}.command.{gpio}",
        event.OutboxMessage,
        "A command to an actuator, which an emergency stop purges",
    ),
    BusMessageRow("urgent", "mqtt.urgent.{kaiser_id}.{esp_id}", event.OutboxMessage, "The same, ahead of the queue"),
    BusMessageRow(
        "factory_outbox",
        "mqtt.factory.{lane}.{serial}",
        factory.FactoryOutbox,
        "A message that ingest publishes to the factory",
    ),
    BusMessageRow(
        "replay_place",
        "mqtt.place.replay",
        factory.ReplayPlace,
        "How far a replay is on OUTBOX",
    ),
    BusMessageRow(
        "factory_receipt",
        "factory.{env}.sent.{command_id}",
        factory.FactoryReceipt,
        "How the publication of a command ended",
    ),
    BusMessageRow("rejected", "rejected.{code}.{esp_id}", event.RejectedMessage, "A rejected message, with the reason"),
    BusMessageRow(
        "execution", "logic.execution.{rule_id}", Execution, "An execution of a rule, until it is in the table"
    ),
    BusMessageRow("audit", "audit.{service}", AuditRecord, "A change that somebody made, until it is in the audit log"),
)
"""The other messages on the bus. Requests and replies are in `kaiser_common.contract.methods`."""

UPLINK: Mapping[Kind, UplinkRow] = MappingProxyType({row.kind: row for row in UPLINKS})
DOWNLINK: Mapping[Kind, DownlinkRow] = MappingProxyType({row.kind: row for row in DOWNLINKS})
EVENT_MODELS: Mapping[str, type[BaseModel]] = MappingProxyType({row.name: row.model for row in EVENTS})
BODIES: Mapping[Kind, type[BaseModel]] = MappingProxyType(
    {row.kind: row.model for row in UPLINKS if row.becomes == "a message" and row.bus_kind is None}
)
"""The model of a body on the bus by its kind there."""


def bodies_of(service: str) -> dict[str, type[BaseModel]]:
    """The models that a service's durable consumer decodes, by the kind in the subject."""
    rows = [UPLINK[kind] for kind in BODIES]
    return {row.kind.value: row.model for row in rows if service in (row.owner, *row.also_read_by)}


def events_of(publisher: str) -> list[str]:
    """The subjects of the events that a service publishes."""
    return [f"event.{row.name}.*" for row in EVENTS if publisher in row.publishers]
