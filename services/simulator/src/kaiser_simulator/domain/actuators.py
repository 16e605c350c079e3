"""How a mock's actuators react: commands, auto-off, runtime protection; pure."""

from dataclasses import dataclass
from typing import Any

from kaiser_common.contract.schemas.api.mock import MockActuator
from kaiser_common.contract.topics import Kind

from kaiser_simulator.domain import payloads
from kaiser_simulator.domain.device import ActuatorLife, MockDevice, Publication, actuators
from kaiser_simulator.domain.firmware import as_string, is_acknowledged, number, text_of, whole

_COMMANDS = ("ON", "OFF", "PWM", "TOGGLE")
_STOPPED = "Actuator in emergency stop state. Clear emergency first."


@dataclass(frozen=True, slots=True)
class Reaction:
    """The device afterwards, and what it says, in order."""

    device: MockDevice
    publications: tuple[Publication, ...] = ()


def on_command(device: MockDevice, gpio: int, body: dict[str, Any], now_ms: int) -> Reaction:
    """Carry out an actuator command, or refuse it; either way it is answered. Under a stop nothing moves, not even
    by OFF."""
    actuator = device.actuator(gpio)
    refusal = _refusal(device, gpio, body)
    if actuator is None or refusal is not None:
        said = _reminder(device, actuator, now_ms) if actuator is not None and refusal == _STOPPED else ()
        return Reaction(device, (*said, _response(device, gpio, body, refusal or "", False, now_ms)))
    device = device.with_actuator_life(gpio, _commanded(device.actuator_life(gpio), body, now_ms))
    status = payloads.actuator_status(device, actuator, now_ms)
    return Reaction(device, (status, _response(device, gpio, body, "Command executed", True, now_ms)))


def on_auto_off(device: MockDevice, gpio: int, now_ms: int) -> Reaction:
    """The duration of a command is over."""
    actuator, life = device.actuator(gpio), device.actuator_life(gpio)
    if actuator is None or life.off_at is None or life.off_at > now_ms:
        return Reaction(device)
    device = device.with_actuator_life(gpio, switched_off(life, now_ms, "off"))
    return Reaction(device, (payloads.actuator_status(device, actuator, now_ms),))


def on_protection(device: MockDevice, gpio: int, now_ms: int) -> Reaction:
    """The longest time that an actuator may be on is over: off, with an alert."""
    actuator, life = device.actuator(gpio), device.actuator_life(gpio)
    due_at = None if actuator is None else protected_at(actuator, life)
    if actuator is None or due_at is None or due_at > now_ms:
        return Reaction(device)
    text = f"on for {actuator.max_runtime_s} s, switched off"
    off = switched_off(life, now_ms, "off").model_copy(update={"error": "runtime protection"})
    device = device.with_actuator_life(gpio, off)
    alert = payloads.actuator_alert(device, gpio, "runtime_protection", text, now_ms)
    return Reaction(device, (alert, payloads.actuator_status(device, actuator, now_ms)))


def all_off(device: MockDevice, now_ms: int, last_command: str) -> MockDevice:
    """The device with every actuator off."""
    for actuator, life in list(actuators(device)):
        device = device.with_actuator_life(actuator.gpio, switched_off(life, now_ms, last_command))
    return device


def restarted(device: MockDevice, now_ms: int) -> MockDevice:
    """The device's actuators after power came back: each in its default state; a stop does not outlive the power."""
    for actuator, life in list(actuators(device)):
        off = switched_off(life, now_ms, "default")
        state = actuator.default_state
        started = {"state": state, "value": float(state), "on_since": now_ms if state else None, "emergency": False}
        device = device.with_actuator_life(actuator.gpio, off.model_copy(update={**started, "error": None}))
    return device.lived(
        emergency=False,
        stopped_at=None,
        boots=device.life.boots + 1,
        acked=False,
        pending=True,
        isolated=False,
        active_epoch=0,
    )


def to_default(device: MockDevice, now_ms: int) -> Reaction:
    """Every actuator that no stop holds goes to its default state."""
    for actuator, life in list(actuators(device)):
        if life.emergency or life.state == actuator.default_state:
            continue
        command = {"command": "ON" if actuator.default_state else "OFF"}
        device = device.with_actuator_life(actuator.gpio, _commanded(life, command, now_ms))
    return Reaction(device, payloads.statuses(device, now_ms))


def protected_at(actuator: MockActuator, life: ActuatorLife) -> int | None:
    """When runtime protection will switch it off, ms; None while it is off or has no limit."""
    if not life.state or life.on_since is None or actuator.max_runtime_s == 0:
        return None
    return life.on_since + actuator.max_runtime_s * 1000


def switched_off(life: ActuatorLife, now_ms: int, last_command: str) -> ActuatorLife:
    """Off, with the time that it was on."""
    return life.model_copy(
        update={
            "state": False,
            "value": 0.0,
            "runtime_ms": payloads.runtime_ms(life, now_ms),
            "on_since": None,
            "off_at": None,
            "last_command": last_command,
        }
    )


def _refusal(device: MockDevice, gpio: int, body: dict[str, Any]) -> str | None:
    """Why a command is not carried out, None if it is. In SAFE_MODE and ERROR only switching on is refused."""
    life = device.actuator_life(gpio)
    command = _word(body)
    if not is_acknowledged(device):
        return "Rejected before execution (reason_code=REGISTRATION_PENDING)"
    if device.setup.firmware == "b" and device.life.pending:
        return "Rejected before execution (reason_code=PENDING_APPROVAL)"
    if device.actuator(gpio) is None:
        return _words(device, f"Actuator not configured on GPIO {gpio}. Configure via API first.")
    if device.life.faults.refuse_commands:
        return "refused by a fault of the mock"
    if life.emergency:
        return _words(device, _STOPPED)
    if command not in _COMMANDS:
        return _words(device, f"Unknown command: {text_of(body, 'command', 64)}")
    if command == "PWM" and not 0 <= number(body, "value", -1) <= 1:
        return "refused: PWM needs a value of 0 to 1"
    if _wants_on(life, body) and device.life.state != "OPERATIONAL":
        return f"refused: the device is in {device.life.state}"
    return None


def _words(device: MockDevice, text: str) -> str:
    """Firmware a gives no reasons."""
    return text if device.setup.firmware == "b" else "Command failed"


def _reminder(device: MockDevice, actuator: MockActuator, now_ms: int) -> tuple[Publication, ...]:
    """The messages of firmware b beside its refusal of a command under a stop."""
    alert = payloads.actuator_alert(device, actuator.gpio, "emergency_stop", _STOPPED, now_ms)
    return (alert, payloads.actuator_status(device, actuator, now_ms))


def _response(
    device: MockDevice, gpio: int, body: dict[str, Any], message: str, success: bool, now_ms: int
) -> Publication:
    """The answer to a command. Firmware a names neither the command's correlation nor who issued it."""
    answer = {
        "esp_id": device.esp_id,
        "zone_id": device.life.zone_id or "",
        "ts": payloads.device_ms(device, now_ms),
        "gpio": gpio,
        "command": text_of(body, "command", 64),
        "value": number(body, "value", 0.0),
        "duration": whole(body, "duration"),
        "success": success,
        "message": message,
    }
    if device.setup.firmware == "b":
        answer["correlation_id"] = text_of(body, "correlation_id", 128) or None
        answer["issued_by"] = text_of(body, "issued_by", 64) or "system:unknown"
    return payloads.publication(device, Kind.ACTUATOR_RESPONSE, answer, gpio)


def _word(body: dict[str, Any]) -> str:
    return as_string(body, "command").upper()


def _wants_on(life: ActuatorLife, body: dict[str, Any]) -> bool:
    command = _word(body)
    if command == "TOGGLE":
        return not life.state
    return command == "ON" or (command == "PWM" and number(body, "value", 0.0) > 0)


def _commanded(life: ActuatorLife, body: dict[str, Any], now_ms: int) -> ActuatorLife:
    command, duration_s = _word(body), whole(body, "duration")
    if not _wants_on(life, body):
        return switched_off(life, now_ms, command.lower()).model_copy(update={"error": None})
    return life.model_copy(
        update={
            "state": True,
            "value": float(number(body, "value", 0.0)) if command == "PWM" else 1.0,
            "on_since": now_ms if life.on_since is None else life.on_since,
            "off_at": now_ms + duration_s * 1000 if duration_s else None,
            "last_command": command.lower(),
            "error": None,
        }
    )
