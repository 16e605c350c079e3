"""How an emergency stop of a mock begins and ends: by message, as its firmware does it, or by its red button; pure."""

from typing import Any

from kaiser_common.contract.bounds import WHOLE_DEVICE_GPIO
from kaiser_common.contract.topics import Kind

from kaiser_simulator.domain import payloads
from kaiser_simulator.domain.actuators import Reaction, switched_off
from kaiser_simulator.domain.device import MockDevice, Publication, actuators
from kaiser_simulator.domain.firmware import as_string, text_of, token_of

CLEAR_REFUSED_MS = 5000
"""For this time after a stop the firmware refuses to end it, while it verifies that this is safe."""
_BROADCAST_TEXTS = ("command", "action", "auth_token", "reason", "issued_by", "timestamp")


def on_emergency(device: MockDevice, body: dict[str, Any], now_ms: int) -> Reaction:
    """A stop or the end of one, for this device. Without its token it is refused with an error; another command than
    these two does nothing."""
    if as_string(body, "auth_token") != token_of(device):
        return Reaction(device, (payloads.emergency_error(device, "unauthorized", "Invalid auth_token"),))
    command = as_string(body, "command")
    if command == "emergency_stop":
        reaction = stopped(device, now_ms)
        if device.setup.firmware == "a":
            return reaction
        more = {"gpio_count": len(device.setup.actuators), "outcome": "executed"}
        answer = _confirmation(device, Kind.EMERGENCY_ACK, body, now_ms, **more)
        return Reaction(reaction.device, (*reaction.publications, answer))
    if command == "clear_emergency":
        return _cleared(device, body, now_ms)
    if device.setup.firmware == "a":
        return Reaction(device)
    text = f"Unsupported emergency command: {command[:64]}"
    return Reaction(device, (payloads.intent(device, "command", body, "rejected", "VALIDATION_FAIL", text, now_ms),))


def on_broadcast(device: MockDevice, body: dict[str, Any], now_ms: int) -> Reaction:
    """A broadcast as generation B takes it, in a production build: a form that contradicts itself stops, any other
    needs the device's token. Generation A stops at anything (`stopped`)."""
    wrong = next((name for name in _BROADCAST_TEXTS if name in body and not isinstance(body[name], str)), None)
    command, action = body.get("command"), body.get("action")
    if wrong in ("command", "auth_token") or (command and action and command != action):
        return stopped(device, now_ms)
    if wrong is not None or (action if command is None else command) not in ("stop_all", "emergency_stop"):
        return Reaction(device)
    return stopped(device, now_ms) if body.get("auth_token") == token_of(device) else Reaction(device)


def stopped(device: MockDevice, now_ms: int) -> Reaction:
    """Every actuator off and held until a clear or the next boot; an alert each, with generation B a status each."""
    device = _held(device, now_ms)
    said: list[Publication] = []
    for actuator, _ in actuators(device):
        said.append(payloads.actuator_alert(device, actuator.gpio, "emergency_stop", "Actuator stopped", now_ms))
        if device.setup.firmware == "b":
            said.append(payloads.actuator_status(device, actuator, now_ms))
    return Reaction(device, tuple(said))


def pressed(device: MockDevice, reason: str, now_ms: int) -> Reaction:
    """The red button at the device: as a stop, with one alert for the whole device and the reason in it."""
    device = _held(device, now_ms)
    alert = payloads.actuator_alert(device, WHOLE_DEVICE_GPIO, "emergency_stop", reason, now_ms)
    return Reaction(device, (alert, *payloads.statuses(device, now_ms)))


def released(device: MockDevice, now_ms: int) -> Reaction:
    """The stop is over: every actuator takes commands again, none starts."""
    for actuator, life in list(actuators(device)):
        device = device.with_actuator_life(actuator.gpio, life.model_copy(update={"emergency": False}))
    device = device.lived(emergency=False, stopped_at=None)
    return Reaction(device, payloads.statuses(device, now_ms))


def _held(device: MockDevice, now_ms: int) -> MockDevice:
    for actuator, life in list(actuators(device)):
        off = switched_off(life, now_ms, "emergency_stop")
        device = device.with_actuator_life(actuator.gpio, off.model_copy(update={"emergency": True}))
    return device.lived(emergency=True, stopped_at=now_ms)


def _cleared(device: MockDevice, body: dict[str, Any], now_ms: int) -> Reaction:
    stopped_at = device.life.stopped_at
    if stopped_at is not None and now_ms < stopped_at + CLEAR_REFUSED_MS:
        text = "Safety verification failed"
        alert = payloads.actuator_alert(device, WHOLE_DEVICE_GPIO, "verification_failed", text, now_ms)
        return Reaction(device, (alert, payloads.emergency_error(device, "clear_failed", text)))
    device = released(device, now_ms).device
    answer = {"status": "emergency_cleared", "timestamp": max(0, now_ms - device.life.booted_at)}
    said = [payloads.publication(device, Kind.EMERGENCY_RESPONSE, answer)]
    if device.setup.firmware == "b":
        said.append(_confirmation(device, Kind.RECOVERY_CONFIRM, body, now_ms, state="cleared"))
    return Reaction(device, tuple(said))


def _confirmation(device: MockDevice, kind: Kind, body: dict[str, Any], now_ms: int, **more: Any) -> Publication:
    """Generation B's answer to a stop or a clear that it carried out."""
    answer = {
        "ts": payloads.device_ms(device, now_ms),
        "esp_id": device.esp_id,
        "correlation_id": text_of(body, "correlation_id", 128) or "corr_1_1",
        "command": body["command"],
        **more,
    }
    return payloads.publication(device, kind, answer)
