"""How a mock reacts to what Kaiser sends it, by the kind of the message; pure."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from kaiser_common.schemas.actuator import ActuatorCommand, Emergency
from kaiser_common.schemas.api.mock import MockActuator, MockSensor
from kaiser_common.schemas.device import SystemCommand, ZoneAssign
from kaiser_common.schemas.sensor import Processed, SensorCommand
from kaiser_common.topics import Kind, Topic
from pydantic import BaseModel, ValidationError

from kaiser_simulator import lifecycle, payloads
from kaiser_simulator.actuators import Reaction, on_command, on_emergency
from kaiser_simulator.device import MOST_ANSWERS, Answer, Device, Publication, anchored, is_connected, measures, paused
from kaiser_simulator.received import ReceivedActuator, ReceivedConfig, ReceivedSensor

ModelT = TypeVar("ModelT", bound=BaseModel)
Measure = Callable[[Device, MockSensor, int], Publication]
"""A reading of a sensor, taken now."""

UNREADABLE_CODE = 4900
"""The number under which a mock reports a message that it cannot read."""
_GPIO_CONFLICT = 1002
_VALIDATION_FAILED = 4011
_NUL = "\\u0000"
"""JSON's escape of U+0000, which no text column takes. An escaped backslash before it is refused too."""


def react(device: Device, topic: Topic, payload: str, now_ms: int, measure: Measure) -> Reaction:
    """What the device does about a message, and says. Not connected: nothing, it was not there.

    The same message again (by its correlation, request or configuration id) is answered as before and does no more.
    """
    if not is_connected(device):
        return Reaction(device)
    if _NUL in payload:
        text = f"cannot read {topic.kind.value}: it has U+0000 in a text"
        return Reaction(device, (payloads.system_error(device, UNREADABLE_CODE, "warning", text, now_ms),))
    key = _key(topic, payload)
    before = next((answer for answer in device.life.answers if answer.key == key), None)
    if before is not None:
        return Reaction(device, tuple(before.publications))
    try:
        reaction = _REACTIONS[topic.kind](device, topic, payload, now_ms, measure)
    except ValidationError as error:
        text = f"cannot read {topic.kind.value}: {error.errors(include_url=False)[0]['msg']}"[:200]
        return Reaction(device, (payloads.system_error(device, UNREADABLE_CODE, "warning", text, now_ms),))
    if key is None:
        return reaction
    answers = [*reaction.device.life.answers, Answer(key=key, publications=list(reaction.publications))]
    return Reaction(reaction.device.lived(answers=answers[-MOST_ANSWERS:]), reaction.publications)


def _actuator_command(device: Device, topic: Topic, payload: str, now_ms: int, measure: Measure) -> Reaction:
    assert topic.gpio is not None
    return on_command(device, topic.gpio, ActuatorCommand.model_validate_json(payload), now_ms)


def _emergency(device: Device, topic: Topic, payload: str, now_ms: int, measure: Measure) -> Reaction:
    return on_emergency(device, Emergency.model_validate_json(payload), now_ms)


def _sensor_command(device: Device, topic: Topic, payload: str, now_ms: int, measure: Measure) -> Reaction:
    """Measure now: the readings of every sensor at the gpio, then the answer."""
    command = SensorCommand.model_validate_json(payload)
    assert topic.gpio is not None
    sensors = [sensor for sensor in device.sensors_at(topic.gpio) if device.sensor_life(sensor).active]
    able = bool(sensors) and measures(device) and topic.gpio not in device.life.faults.silent
    body = {
        "esp_id": device.esp_id,
        "request_id": command.request_id,
        "gpio": topic.gpio,
        "command": command.command,
        "success": able,
        "message": "measured" if able else f"no sensor at gpio {topic.gpio} that answers",
        "ts": payloads.device_ms(device, now_ms),
    }
    response = payloads.publication(device, Kind.SENSOR_RESPONSE, body, topic.gpio)
    readings = [measure(device, sensor, now_ms) for sensor in sensors] if able else []
    return Reaction(device, (*readings, response))


def _config(device: Device, topic: Topic, payload: str, now_ms: int, measure: Measure) -> Reaction:
    """Take over what can be taken over; each pin that is in use for something else is a failure."""
    config = ReceivedConfig.model_validate_json(payload)
    refused: dict[str, list[dict[str, Any]]] = {"sensor": [], "actuator": []}
    for sensor_item in config.sensors:
        if device.actuator(sensor_item.gpio) is not None:
            refused["sensor"].append(_conflict("sensor", sensor_item.gpio, "an actuator"))
            continue
        try:
            device = _configured_sensor(device, sensor_item, now_ms)
        except ValidationError as error:
            refused["sensor"].append(_invalid("sensor", sensor_item.gpio, error))
    for actuator_item in config.actuators:
        if device.sensors_at(actuator_item.gpio):
            refused["actuator"].append(_conflict("actuator", actuator_item.gpio, "a sensor"))
            continue
        try:
            device = _configured_actuator(device, actuator_item)
        except ValidationError as error:
            refused["actuator"].append(_invalid("actuator", actuator_item.gpio, error))
    asked = {"sensor": len(config.sensors), "actuator": len(config.actuators)}
    answers = tuple(
        _config_answer(device, config.config_id, scope, asked[scope], refused[scope], now_ms)
        for scope in ("sensor", "actuator")
        if asked[scope]
    )
    return Reaction(device.lived(config_id=config.config_id), answers)


def _config_answer(
    device: Device, config_id: str, scope: str, asked: int, failures: list[dict[str, Any]], now_ms: int
) -> Publication:
    """The answer for one scope: firmware answers the sensors and the actuators of a configuration by themselves."""
    done = asked - len(failures)
    body = {
        "esp_id": device.esp_id,
        "status": "success" if not failures else "partial_success" if done else "error",
        "type": scope,
        "count": done,
        "failed_count": len(failures),
        "message": f"{done} set" + (f", {len(failures)} failed" if failures else ""),
        "failures": failures,
        "correlation_id": config_id,
        "ts": payloads.device_ms(device, now_ms),
    }
    return payloads.publication(device, Kind.CONFIG_RESPONSE, body)


def _zone(device: Device, topic: Topic, payload: str, now_ms: int, measure: Measure) -> Reaction:
    zone = ZoneAssign.model_validate_json(payload)
    body = {
        "esp_id": device.esp_id,
        "status": "zone_assigned" if zone.zone_id else "zone_removed",
        "zone_id": zone.zone_id,
        "master_zone_id": zone.master_zone_id,
        "correlation_id": zone.correlation_id,
        "ts": payloads.device_ms(device, now_ms),
    }
    device = device.lived(zone_id=zone.zone_id or None, master_zone_id=zone.master_zone_id)
    return Reaction(device, (payloads.publication(device, Kind.ZONE_ACK, body),))


def _system_command(device: Device, topic: Topic, payload: str, now_ms: int, measure: Measure) -> Reaction:
    """The answer goes first: after a reboot there would be nobody to give it."""
    order = SystemCommand.model_validate_json(payload)
    state, refusal = device.life.state, None
    after = Reaction(device)
    match order.command:
        case "reboot":
            after = lifecycle.rebooted(device, now_ms)
        case "safe_mode":
            after = lifecycle.with_state(device, "SAFE_MODE", None, now_ms)
        case "exit_safe_mode" if state != "SAFE_MODE":
            refusal = f"the device is in {state}"
        case "resume_operation" if device.life.emergency:
            refusal = "an emergency stop is active"
        case "exit_safe_mode" | "resume_operation":
            after = lifecycle.with_state(device, "OPERATIONAL", None, now_ms)
        case "diagnostics":
            after = Reaction(device, (payloads.diagnostics(device, now_ms),))
        case "reset_config":
            after = Reaction(device.lived(config_id=None, zone_id=None, master_zone_id=None))
    body = {
        "esp_id": device.esp_id,
        "command": order.command,
        "success": refusal is None,
        "message": refusal or f"{order.command} done",
        "correlation_id": order.correlation_id,
        "ts": payloads.device_ms(device, now_ms),
    }
    response = payloads.publication(device, Kind.SYSTEM_RESPONSE, body)
    return Reaction(after.device, (response, *after.publications))


def _processed(device: Device, topic: Topic, payload: str, now_ms: int, measure: Measure) -> Reaction:
    """The value for the device's display."""
    shown = Processed.model_validate_json(payload)
    for sensor in device.sensors_at(topic.gpio if topic.gpio is not None else -1):
        device = device.with_sensor_life(sensor, displayed=shown.value)
    return Reaction(device)


def _nothing(device: Device, topic: Topic, payload: str, now_ms: int, measure: Measure) -> Reaction:
    return Reaction(device)


_REACTIONS: Mapping[Kind, Callable[[Device, Topic, str, int, Measure], Reaction]] = MappingProxyType(
    {
        Kind.ACTUATOR_COMMAND: _actuator_command,
        Kind.EMERGENCY: _emergency,
        Kind.BROADCAST_EMERGENCY: _emergency,
        Kind.SENSOR_COMMAND: _sensor_command,
        Kind.CONFIG: _config,
        Kind.ZONE_ASSIGN: _zone,
        Kind.SYSTEM_COMMAND: _system_command,
        Kind.PROCESSED: _processed,
        Kind.HEARTBEAT_ACK: _nothing,
        Kind.SERVER_STATUS: _nothing,
    }
)


class _Ids(BaseModel):
    """What names a message, where anything does."""

    correlation_id: str | None = None
    request_id: str | None = None
    config_id: str | None = None


def _key(topic: Topic, payload: str) -> str | None:
    """The identity of a message, None where it has none."""
    try:
        ids = _Ids.model_validate_json(payload)
    except ValidationError:
        return None
    name = ids.correlation_id or ids.request_id or ids.config_id
    return f"{topic.kind.value}.{name}" if name else None


def _configured_sensor(device: Device, item: ReceivedSensor, now_ms: int) -> Device:
    """The device with a sensor as configured: a known one keeps what it simulates, a new one is constant.
    ValidationError: the item is out of a mock's bounds, so it could not be loaded again."""
    known = device.sensors_at(item.gpio, item.sensor_type)
    before = known[0] if known else MockSensor(gpio=item.gpio, sensor_type=item.sensor_type)
    sensor = MockSensor.model_validate(
        before.model_dump()
        | {
            "name": item.sensor_name or before.name,
            "subzone_id": item.subzone_id or before.subzone_id,
            "raw_mode": item.raw_mode,
            "interval_s": float(max(1, item.measurement_interval_seconds)),
        }
    )
    return with_sensor(device, sensor, now_ms).with_sensor_life(sensor, active=item.active)


def with_sensor(device: Device, sensor: MockSensor, now_ms: int) -> Device:
    """The device with a sensor added, or in the place of the one it had; one whose interval stays keeps its moments."""
    known = device.sensors_at(sensor.gpio, sensor.sensor_type)
    if known:
        sensors = [sensor if each is known[0] else each for each in device.setup.sensors]
    else:
        sensors = [*device.setup.sensors, sensor]
    if not device.life.running or (known and known[0].interval_s == sensor.interval_s):
        return device.set_up(sensors=sensors)
    return anchored(paused(device, known, now_ms).set_up(sensors=sensors), [sensor], now_ms)


def _configured_actuator(device: Device, item: ReceivedActuator) -> Device:
    """The device with an actuator as configured. ValidationError: the item is out of a mock's bounds."""
    known = device.actuator(item.gpio) or MockActuator(gpio=item.gpio)
    actuator = MockActuator.model_validate(
        known.model_dump()
        | {
            "actuator_type": item.actuator_type,
            "name": item.actuator_name or known.name,
            "subzone_id": item.subzone_id or known.subzone_id,
            "default_state": item.default_state,
        }
    )
    return with_actuator(device, actuator)


def with_actuator(device: Device, actuator: MockActuator) -> Device:
    """The device with an actuator added, or in the place of the one at its gpio."""
    others = [each for each in device.setup.actuators if each.gpio != actuator.gpio]
    return device.set_up(actuators=[*others, actuator])


def _conflict(kind: str, gpio: int, user: str) -> dict[str, Any]:
    text = f"in use by {user}"
    return {"type": kind, "gpio": gpio, "error_code": _GPIO_CONFLICT, "error": "GPIO_CONFLICT", "detail": text}


def _invalid(kind: str, gpio: int, error: ValidationError) -> dict[str, Any]:
    first = error.errors(include_url=False)[0]
    text = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"[:200]
    return {"type": kind, "gpio": gpio, "error_code": _VALIDATION_FAILED, "error": "VALIDATION_FAILED", "detail": text}
