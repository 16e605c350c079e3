"""How a mock carries out system commands, as its firmware knows them; pure."""

from typing import Any

from kaiser_common.contract.bounds import MAX_GPIO
from kaiser_common.contract.topics import Kind

from kaiser_simulator.domain import emergencies, lifecycle, payloads
from kaiser_simulator.domain.actuators import Reaction
from kaiser_simulator.domain.device import MockDevice, Publication
from kaiser_simulator.domain.firmware import as_string, is_acknowledged, text_of, whole

_MOST_TOKEN = 64
_PENDING = "REGISTRATION_PENDING"


def on_system_command(device: MockDevice, body: dict[str, Any], now_ms: int) -> Reaction:
    """Carry out a system command. Firmware a knows factory_reset alone and does not answer another one."""
    command = as_string(body, "command")
    if device.setup.firmware == "a":
        is_reset = command == "factory_reset" and body.get("confirm") is True
        return _factory_reset(device, now_ms) if is_reset else Reaction(device)
    if not is_acknowledged(device):
        refusal = {"error": _PENDING, "reason_code": _PENDING}
        return Reaction(device, (_answer(device, command, False, now_ms, **refusal),))
    given = body.get("params")
    params: dict[str, Any] = given if isinstance(given, dict) else {}
    match command:
        case "status" | "diagnostics" | "get_config":
            return Reaction(device, (_answer(device, command, True, now_ms, **_figures(device, now_ms)),))
        case "safe_mode":
            return _safe_mode(device, command, now_ms)
        case "exit_safe_mode":
            return _left_safe_mode(device, command, now_ms)
        case "set_log_level":
            return Reaction(device, (_answer(device, command, True, now_ms),))
        case "set_emergency_token":
            token = text_of(params, "token", _MOST_TOKEN) or text_of(body, "token", _MOST_TOKEN)
            return Reaction(device.lived(token=token), (_answer(device, command, True, now_ms),))
        case "onewire/scan":
            return _scanned(device, command, params, now_ms)
        case "factory_reset" if body.get("confirm") is True:
            return _factory_reset(device, now_ms)
    return Reaction(device, (_answer(device, command, False, now_ms, error="Unknown command"),))


def _answer(device: MockDevice, command: str, success: bool, now_ms: int, **fields: Any) -> Publication:
    ts = payloads.device_ms(device, now_ms)
    body = {"command": command[:64], "success": success, **fields, "esp_id": device.esp_id, "ts": ts}
    return payloads.publication(device, Kind.SYSTEM_RESPONSE, body)


def _figures(device: MockDevice, now_ms: int) -> dict[str, Any]:
    return {
        "state": 8,
        "uptime": max(0, now_ms - device.life.booted_at) // 1000,
        "sensor_count": len(device.setup.sensors),
        "actuator_count": len(device.setup.actuators),
        "zone_id": device.life.zone_id or "",
    }


def _safe_mode(device: MockDevice, command: str, now_ms: int) -> Reaction:
    """Every actuator is stopped, and the device stays in SAFE_MODE until a command ends that."""
    stopped = emergencies.stopped(device, now_ms)
    after = stopped.device.lived(state="SAFE_MODE", state_at=now_ms)
    done = _answer(after, command, True, now_ms, message="Safe mode")
    return Reaction(after, (*stopped.publications, done))


def _left_safe_mode(device: MockDevice, command: str, now_ms: int) -> Reaction:
    after = emergencies.released(device, now_ms).device.lived(state="OPERATIONAL", state_at=now_ms)
    return Reaction(after, (_answer(after, command, True, now_ms, message="Safe mode left"),))


def _scanned(device: MockDevice, command: str, params: dict[str, Any], now_ms: int) -> Reaction:
    """A mock's probes have no ROM codes, so a scan finds none."""
    pin = whole(params, "pin", MAX_GPIO) or 4
    found = payloads.publication(device, Kind.SCAN, {"devices": [], "found_count": 0})
    return Reaction(device, (found, _answer(device, command, True, now_ms, found_count=0, pin=pin)))


def _factory_reset(device: MockDevice, now_ms: int) -> Reaction:
    """Delete the content of the flash: sensors, actuators, zones and token; then the device boots."""
    body = {"status": "factory_reset_initiated", "esp_id": device.esp_id}
    said = payloads.publication(device, Kind.SYSTEM_RESPONSE, body)
    blank: dict[str, Any] = {"zone_id": None, "master_zone_id": None, "config_id": None, "subzones": {}, "token": ""}
    wiped = device.set_up(sensors=[], actuators=[]).lived(sensors={}, actuators={}, **blank)
    rebooted = lifecycle.rebooted(wiped, now_ms)
    return Reaction(rebooted.device, (said, *rebooted.publications))
