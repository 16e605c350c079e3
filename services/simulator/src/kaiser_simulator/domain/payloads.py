"""The payloads of a mock, byte for byte as in docs/devices.md; pure. Times are those of the device's own clock."""

from dataclasses import replace
from typing import Any

from kaiser_common.contract.schemas.api.mock import MockActuator, MockSensor
from kaiser_common.contract.topics import Kind, build
from pydantic_core import to_json

from kaiser_simulator.domain.device import ActuatorLife, MockDevice, Publication, actuators
from kaiser_simulator.domain.firmware import qos_of, text_of

SESSION_SITE = "god"
"""The site under which firmware b announces its session, whatever its own is."""
_HEAP_FREE = 180_000
_HEAP_OF_A_SENSOR = 1_200
_RSSI = -50


def device_ms(device: MockDevice, now_ms: int) -> int:
    """The time of the device's clock in ms; 0 if it has no time."""
    faults = device.life.faults
    return 0 if faults.no_clock else max(0, now_ms + round(faults.clock_offset_s * 1000))


def publication(
    device: MockDevice, kind: Kind, body: dict[str, Any], gpio: int | None = None, *, retain: bool = False
) -> Publication:
    """A message of the device."""
    topic = build(kind, device.setup.kaiser_id, device.esp_id, gpio)
    payload = to_json({name: value for name, value in body.items() if value is not None}).decode()
    return Publication(topic, payload, retain, kind is Kind.HEARTBEAT, qos_of(device.setup.firmware, kind))


def reading_body(device: MockDevice, sensor: MockSensor, value: float, quality: str, ts_ms: int) -> dict[str, Any]:
    """A reading's payload: `raw` is the value times 100, `raw_value` the value itself."""
    return {
        "ts": ts_ms,
        "esp_id": device.esp_id,
        "gpio": sensor.gpio,
        "sensor_type": sensor.sensor_type,
        "raw": round(value * 100),
        "raw_value": value,
        "raw_mode": sensor.raw_mode,
        "value": value,
        "unit": sensor.unit,
        "quality": quality,
        **({"sensor_name": sensor.name} if sensor.name else {}),
        **({"subzone_id": sensor.subzone_id} if sensor.subzone_id else {}),
    }


def heartbeat(device: MockDevice, now_ms: int) -> Publication:
    """The sign of life, also on demand."""
    life = device.life
    uptime_s = max(0, now_ms - life.booted_at) // 1000
    troubled = life.state in ("SAFE_MODE", "ERROR")
    body = {
        "ts": device_ms(device, now_ms),
        "esp_id": device.esp_id,
        "uptime": uptime_s,
        "heap_free": _heap_free(device),
        "wifi_rssi": _RSSI - uptime_s % 7,
        "sensor_count": sum(device.sensor_life(sensor).active for sensor in device.setup.sensors),
        "actuator_count": len(device.setup.actuators),
        "zone_id": life.zone_id or "",
        "master_zone_id": life.master_zone_id or "",
        "zone_assigned": life.zone_id is not None,
        "firmware_version": device.setup.firmware_version,
        **(_of_session(device) if device.setup.firmware == "b" else {}),
        **({"degraded": True, "degraded_reason": life.state} if troubled else {}),
    }
    return publication(device, Kind.HEARTBEAT, body)


def will(device: MockDevice) -> Publication:
    """The message that the broker publishes when the connection ends. Its time is that of the boot: CONNECT fixed the
    payload."""
    named = {"esp_id": device.esp_id} if device.setup.firmware == "b" else {}
    timestamp = device_ms(device, device.life.booted_at) // 1000
    body = {"status": "offline", **named, "reason": "unexpected_disconnect", "timestamp": timestamp}
    return publication(device, Kind.WILL, body, retain=True)


def will_taken_back(device: MockDevice) -> Publication:
    """Has the broker forget the will that it retains: an empty payload, as MQTT has it."""
    return Publication(build(Kind.WILL, device.setup.kaiser_id, device.esp_id), "", retain=True)


def actuator_status(device: MockDevice, actuator: MockActuator, now_ms: int) -> Publication:
    """The state of an actuator."""
    life = device.actuator_life(actuator.gpio)
    body = {
        "ts": device_ms(device, now_ms),
        "esp_id": device.esp_id,
        "gpio": actuator.gpio,
        "actuator_type": actuator.actuator_type,
        "state": life.state,
        "value": life.value,
        "last_command": life.last_command,
        "runtime_ms": runtime_ms(life, now_ms),
        "error": life.error,
        "emergency": "active" if life.emergency else "normal",
    }
    return publication(device, Kind.ACTUATOR_STATUS, body, actuator.gpio)


def runtime_ms(life: ActuatorLife, now_ms: int) -> int:
    """How long an actuator is on, or was on when it last was."""
    return life.runtime_ms if life.on_since is None else max(0, now_ms - life.on_since)


def actuator_alert(device: MockDevice, gpio: int, alert_type: str, message: str, now_ms: int) -> Publication:
    """An alert; gpio 255 for the whole device."""
    body = {
        "esp_id": device.esp_id,
        "gpio": gpio,
        "alert_type": alert_type,
        "message": message,
        "ts": device_ms(device, now_ms),
    }
    return publication(device, Kind.ACTUATOR_ALERT, body, gpio)


def system_error(device: MockDevice, error_code: int, severity: str, message: str, now_ms: int) -> Publication:
    """An error that the device reports about itself."""
    body = {
        "esp_id": device.esp_id,
        "error_code": error_code,
        "severity": severity,
        "category": "MOCK",
        "message": message,
        "ts": device_ms(device, now_ms),
    }
    return publication(device, Kind.SYSTEM_ERROR, body)


def hello(device: MockDevice, now_ms: int) -> list[Publication]:
    """The messages of a device after it has connected to MQTT: a heartbeat and the states of its actuators. Firmware b
    opens a session instead, and its actuators' states follow the first acknowledgement."""
    beat = replace(heartbeat(device, now_ms), transient=False)
    if device.setup.firmware == "a":
        return [beat, *statuses(device, now_ms)]
    epoch = max(1, device.life.active_epoch)
    body = {
        "esp_id": device.esp_id,
        "handover_epoch": epoch,
        "session_epoch": epoch,
        "reason": "boot",
        "ts_ms": device_ms(device, now_ms),
        "boot_ts": str(device_ms(device, device.life.booted_at) // 1000),
    }
    return [Publication(build(Kind.SESSION, SESSION_SITE, device.esp_id), to_json(body).decode()), beat]


def statuses(device: MockDevice, now_ms: int) -> tuple[Publication, ...]:
    """The state of every actuator."""
    return tuple(actuator_status(device, actuator, now_ms) for actuator, _ in actuators(device))


def emergency_error(device: MockDevice, error: str, message: str) -> Publication:
    """Why the firmware did not carry out an emergency message."""
    return publication(device, Kind.EMERGENCY_ERROR, {"error": error, "message": message})


def intent(
    device: MockDevice, flow: str, body: dict[str, Any], outcome: str, code: str, reason: str, now_ms: int
) -> Publication:
    """The outcome of a command or a configuration at firmware b."""
    correlation_id = text_of(body, "correlation_id", 128) or f"corr_{now_ms}_1"
    answer = {
        "flow": flow,
        "intent_id": text_of(body, "intent_id", 128) or f"{flow}_{now_ms}_1",
        "correlation_id": correlation_id,
        "outcome": outcome,
        "contract_version": 2,
        "code": code,
        "reason": reason,
        "retryable": False,
        "ts": device_ms(device, now_ms),
    }
    return publication(device, Kind.INTENT, answer)


def _of_session(device: MockDevice) -> dict[str, Any]:
    """The fields of a heartbeat of firmware b beside those of firmware a."""
    life = device.life
    return {
        "time_valid": not life.faults.no_clock,
        "boot_sequence_id": f"{device.esp_id}-b{life.boots}-r1",
        "reset_reason": "POWERON",
        "wifi_ip": "192.0.2.57",
        "metrics_schema_version": 1,
        "active_handover_epoch": life.active_epoch,
        "handover_contract_reject_count": life.refused_acks,
        "mqtt_circuit_breaker_open": False,
        "persistence_degraded": False,
        "network_degraded": False,
    }


def _heap_free(device: MockDevice) -> int:
    return max(20_000, _HEAP_FREE - _HEAP_OF_A_SENSOR * (len(device.setup.sensors) + len(device.setup.actuators)))
