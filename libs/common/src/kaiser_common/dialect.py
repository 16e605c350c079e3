"""What each topic of a device carries: its model, what it must hold, and how the two firmware generations send it.

A: January 2026 (PubSubClient): every publish at QoS 0, most of them retained. B: April 2026 (ESP-IDF client): QoS 1,
a registration gate, correlation ids. docs/devices.md is written from this table, and a test holds ingest to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from kaiser_common.bounds import MAX_BATCH_ITEMS
from kaiser_common.schemas import actuator, device, sensor
from kaiser_common.topics import Kind


@dataclass(frozen=True, slots=True)
class Said:
    """What a device says on a topic. a, b: QoS of each generation, R where retained, – where it never sends it.

    required: an example of the least that is accepted; of a tuple of names any one will do.
    """

    model: type[BaseModel]
    a: str
    b: str
    required: Mapping[str, Any]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """What Kaiser sends on a topic; a, b: what the firmware of each generation does with it."""

    model: type[BaseModel] | None
    a: str
    b: str
    note: str = ""


SAID: Mapping[Kind, Said] = MappingProxyType(
    {
        Kind.SENSOR_DATA: Said(
            sensor.Reading,
            "0R",
            "1",
            {"ts": 0, "gpio": 4, "sensor_type": "ph", "raw": 1, "raw_mode": True},
            "`timestamp` for ts, `raw_value` for raw; A prints negative DS18B20 counts as uint32",
        ),
        Kind.SENSOR_RESPONSE: Said(
            sensor.SensorResponse,
            "–",
            "1",
            {"request_id": "r", "gpio": 4, "command": "measure", "success": True},
        ),
        Kind.ACTUATOR_STATUS: Said(
            actuator.ActuatorStatus,
            "0R",
            "1",
            {"gpio": 4, "actuator_type": "pump", "state": True, "value": 1},
            "`type` for actuator_type; state also on/off; `pwm` 0…255 for value 0…1; on change and every 30 s",
        ),
        Kind.ACTUATOR_RESPONSE: Said(
            actuator.ActuatorResponse, "0R", "1", {"gpio": 4, "command": "ON", "success": True}
        ),
        Kind.ACTUATOR_ALERT: Said(
            actuator.ActuatorAlert,
            "0R",
            "1",
            {"alert_type": "emergency_stop"},
            "`type` for alert_type; gpio 255 is the whole device; unknown types become `other`",
        ),
        Kind.EMERGENCY_RESPONSE: Said(actuator.EmergencyAnswer, "0R", "1", {"status": "emergency_cleared"}),
        Kind.EMERGENCY_ERROR: Said(actuator.EmergencyAnswer, "0R", "1", {"error": "unauthorized"}),
        Kind.EMERGENCY_ACK: Said(actuator.EmergencyAnswer, "–", "1", {"outcome": "executed"}),
        Kind.RECOVERY_CONFIRM: Said(actuator.EmergencyAnswer, "–", "1", {"state": "cleared"}),
        Kind.HEARTBEAT: Said(
            device.Heartbeat,
            "0",
            "0",
            {},
            "every figure is optional; `free_heap`, `active_sensors`, `active_actuators` are read too; B adds"
            " active_handover_epoch, boot_sequence_id, counters (kept in details)",
        ),
        Kind.HEARTBEAT_METRICS: Said(device.Heartbeat, "–", "0", {}),
        Kind.WILL: Said(device.Will, "1R", "1R", {"status": "offline"}, "its time is that of CONNECT"),
        Kind.SYSTEM_ERROR: Said(
            device.DeviceError, "–", "0", {"error_code": 1, "severity": "error", "message": "m"}, "severity also 0…3"
        ),
        Kind.DIAGNOSTICS: Said(device.Diagnostics, "0", "0", {}, "ts is seconds since the start"),
        Kind.SYSTEM_RESPONSE: Said(
            device.SystemResponse, "0R", "1", {"command": "status"}, "any one of command, status, error will do"
        ),
        Kind.CONFIG_RESPONSE: Said(
            device.ConfigResponse,
            "0R",
            "1",
            {"status": "success", "type": "sensor"},
            "one for each scope that was sent; B adds one of type system on failure",
        ),
        Kind.ZONE_ACK: Said(
            device.ZoneAck, "0R", "1", {"status": "zone_assigned", "zone_id": "z"}, "zone_id unless status is error"
        ),
        Kind.SUBZONE_ACK: Said(device.ZoneAck, "0R", "1", {"status": "subzone_assigned", "subzone_id": "s"}),
        Kind.SESSION: Said(device.Session, "–", "1", {"handover_epoch": 1}, "always under kaiser/god"),
        Kind.INTENT: Said(device.Intent, "–", "1", {"outcome": "persisted", "correlation_id": "c"}),
        Kind.LIFECYCLE: Said(
            device.Intent, "–", "1", {"outcome": "boot", "correlation_id": "c"}, "`state` or `event` for outcome"
        ),
        Kind.SCAN: Said(device.ScanResult, "–", "1", {"devices": []}),
        Kind.DISCOVERY: Said(device.Discovery, "–", "–", {"esp_id": "ESP_1"}, "deprecated"),
    }
)
"""By kind of message that becomes one message of the bus."""

ALSO_SAID: Mapping[Kind, Said] = MappingProxyType(
    {
        Kind.SENSOR_BATCH: Said(
            sensor.Reading,
            "–",
            "–",
            {"ts": 0, "esp_id": "ESP_1", "sensors": [{"gpio": 4, "sensor_type": "ph", "value": 1}]},
            f"a reading of each item, at most {MAX_BATCH_ITEMS}; `raw` for value; without a value raw_mode is true",
        ),
        Kind.QUEUE_PRESSURE: Said(BaseModel, "–", "0", {}, "counted, not published"),
    }
)
"""By kind of message that becomes several messages of the bus, or none."""

SENT: Mapping[Kind, Sent] = MappingProxyType(
    {
        Kind.ACTUATOR_COMMAND: Sent(actuator.ActuatorCommand, "obeys", "obeys once registered and approved"),
        Kind.EMERGENCY: Sent(
            actuator.Emergency,
            "wants its auth_token (default: its esp_id)",
            "wants a token where one is stored; production builds always",
            "a clear is refused within 5 s of the stop",
        ),
        Kind.BROADCAST_EMERGENCY: Sent(
            actuator.BroadcastEmergency,
            "stops at anything here",
            "stops; production builds want a token",
            "nothing but a stop is ever sent here",
        ),
        Kind.CONFIG: Sent(
            device.DeviceConfig,
            "at most 2,048 bytes with its topic (XIAO 1,024); an empty list is an error",
            "at most 4,351 bytes; wants correlation_id",
            "defaults and empty lists are left out",
        ),
        Kind.SYSTEM_COMMAND: Sent(
            device.SystemCommand,
            "knows factory_reset (with confirm true)",
            "knows status, diagnostics, get_config, safe_mode, exit_safe_mode, set_log_level, set_emergency_token,"
            " onewire/scan, factory_reset (with confirm true)",
        ),
        Kind.HEARTBEAT_ACK: Sent(
            device.HeartbeatAck, "ignores it", "sends no reading without one, safe state after 120 s"
        ),
        Kind.ZONE_ASSIGN: Sent(
            device.ZoneAssign, "ignores an empty zone_id; its next heartbeat confirms", 'takes "" for none'
        ),
        Kind.SUBZONE_ASSIGN: Sent(device.Subzone, "obeys", "obeys"),
        Kind.SUBZONE_REMOVE: Sent(device.Subzone, "obeys", "obeys"),
        Kind.SUBZONE_SAFE: Sent(device.Subzone, "does not read it", "obeys"),
        Kind.SENSOR_COMMAND: Sent(sensor.SensorCommand, "does not read it", "measures"),
        Kind.PROCESSED: Sent(sensor.Processed, "does not read it", "does not read it", "for displays"),
        Kind.SERVER_STATUS: Sent(
            device.ServerStatus,
            "does not read it",
            "puts every actuator to its default at `offline`",
            "retained; the will has a delay of 30 s",
        ),
    }
)
"""By kind: what goes to devices, QoS 1, nothing retained but server/status."""
