"""How a mock's actuators react: commands, auto-off, runtime protection, emergency stops; pure."""

from dataclasses import dataclass

from kaiser_common.schemas.actuator import ActuatorCommand, Emergency
from kaiser_common.schemas.api.mock import MockActuator
from kaiser_common.topics import Kind

from kaiser_simulator import payloads
from kaiser_simulator.device import ActuatorLife, Device, Publication, actuators


@dataclass(frozen=True, slots=True)
class Reaction:
    """The device afterwards, and what it says, in order."""

    device: Device
    publications: tuple[Publication, ...] = ()


def on_command(device: Device, gpio: int, command: ActuatorCommand, now_ms: int) -> Reaction:
    """Carry out an actuator command, or refuse it; either way it is answered."""
    actuator = device.actuator(gpio)
    refusal = _refusal(device, gpio, command)
    if refusal is None and actuator is not None:
        life = _commanded(device.actuator_life(gpio), command, now_ms)
        device = device.with_actuator_life(gpio, life)
    life = device.actuator_life(gpio)
    body = {
        "esp_id": device.esp_id,
        "gpio": gpio,
        "command": command.command,
        "value": life.value,
        "duration": command.duration,
        "success": refusal is None,
        "message": refusal or f"{command.command} done",
        "correlation_id": command.correlation_id,
        "ts": payloads.device_ms(device, now_ms),
    }
    response = payloads.publication(device, Kind.ACTUATOR_RESPONSE, body, gpio)
    if actuator is None:
        return Reaction(device, (response,))
    return Reaction(device, (response, payloads.actuator_status(device, actuator, now_ms)))


def on_emergency(device: Device, emergency: Emergency, now_ms: int) -> Reaction:
    """Stop all actuators, or end that stop. A stop switches off and alerts; clearing starts nothing."""
    if emergency.command == "clear_emergency":
        return _cleared(device, now_ms)
    stopped = [actuator for actuator, _ in actuators(device)]
    for actuator in stopped:
        life = switched_off(device.actuator_life(actuator.gpio), now_ms, "emergency_stop")
        device = device.with_actuator_life(actuator.gpio, life.model_copy(update={"emergency": True}))
    device = device.lived(emergency=True)
    gpio = payloads.all_off_alert_gpio(None)
    reason = emergency.reason or "emergency stop"
    alert = payloads.actuator_alert(device, gpio, "emergency_stop", reason, now_ms)
    return Reaction(device, (alert, *(payloads.actuator_status(device, actuator, now_ms) for actuator in stopped)))


def on_auto_off(device: Device, gpio: int, now_ms: int) -> Reaction:
    """The duration of a command is over."""
    actuator, life = device.actuator(gpio), device.actuator_life(gpio)
    if actuator is None or life.off_at is None or life.off_at > now_ms:
        return Reaction(device)
    device = device.with_actuator_life(gpio, switched_off(life, now_ms, "off"))
    return Reaction(device, (payloads.actuator_status(device, actuator, now_ms),))


def on_protection(device: Device, gpio: int, now_ms: int) -> Reaction:
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


def all_off(device: Device, now_ms: int, last_command: str) -> Device:
    """The device with every actuator off."""
    for actuator, life in list(actuators(device)):
        device = device.with_actuator_life(actuator.gpio, switched_off(life, now_ms, last_command))
    return device


def restarted(device: Device, now_ms: int) -> Device:
    """The device's actuators after power came back: each in its default state; a stop does not outlive the power."""
    for actuator, life in list(actuators(device)):
        off = switched_off(life, now_ms, "default")
        state = actuator.default_state
        started = {"state": state, "value": float(state), "on_since": now_ms if state else None, "emergency": False}
        device = device.with_actuator_life(actuator.gpio, off.model_copy(update={**started, "error": None}))
    return device.lived(emergency=False)


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


def _refusal(device: Device, gpio: int, command: ActuatorCommand) -> str | None:
    """Why a command is not carried out, None if it is. Switching off is refused by the fault alone."""
    life = device.actuator_life(gpio)
    if device.actuator(gpio) is None:
        return f"no actuator at gpio {gpio}"
    if device.life.faults.refuse_commands:
        return "refused by a fault of the mock"
    if not _wants_on(life, command):
        return None
    if payloads.is_stopped(device, life):
        return "refused: emergency stop active"
    if device.life.state != "OPERATIONAL":
        return f"refused: the device is in {device.life.state}"
    return None


def _wants_on(life: ActuatorLife, command: ActuatorCommand) -> bool:
    if command.command == "TOGGLE":
        return not life.state
    return command.command != "OFF" and not (command.command == "PWM" and command.value == 0)


def _commanded(life: ActuatorLife, command: ActuatorCommand, now_ms: int) -> ActuatorLife:
    if not _wants_on(life, command):
        return switched_off(life, now_ms, command.command.lower()).model_copy(update={"error": None})
    value = command.value if command.command == "PWM" else 1.0
    return life.model_copy(
        update={
            "state": True,
            "value": value,
            "on_since": now_ms if life.on_since is None else life.on_since,
            "off_at": now_ms + command.duration * 1000 if command.duration else None,
            "last_command": command.command.lower(),
            "error": None,
        }
    )


def _cleared(device: Device, now_ms: int) -> Reaction:
    """Every actuator takes commands again."""
    freed = [actuator for actuator, _ in actuators(device)]
    for actuator in freed:
        life = device.actuator_life(actuator.gpio)
        device = device.with_actuator_life(actuator.gpio, life.model_copy(update={"emergency": False}))
    device = device.lived(emergency=False)
    return Reaction(device, tuple(payloads.actuator_status(device, actuator, now_ms) for actuator in freed))
