"""How a mock takes over a configuration, item by item and scope by scope as its firmware does; pure."""

from typing import Any

from kaiser_common.contract.schemas.api.mock import MockActuator, MockSensor
from kaiser_common.contract.topics import Kind
from pydantic import ValidationError

from kaiser_simulator.domain import payloads
from kaiser_simulator.domain.actuators import Reaction
from kaiser_simulator.domain.device import ActuatorLife, MockDevice, Publication, anchored, paused
from kaiser_simulator.domain.firmware import is_acknowledged, text_of

_NUMBERS = {"GPIO_CONFLICT": 1002, "MISSING_FIELD": 4010}
_VALIDATION_FAILED = 4011
_B_ACTUATORS = ("pump", "valve", "pwm", "relay")
_ROM_CODE = 16


class ItemRefused(Exception):
    """An item that the firmware refuses: its word for the error, and the text."""

    def __init__(self, error: str, text: str) -> None:
        super().__init__(text)
        self.error = error
        self.text = text


def on_config(device: MockDevice, body: dict[str, Any], now_ms: int) -> Reaction:
    """Take over what can be taken over, and answer for each scope."""
    return _on_config_a(device, body, now_ms) if device.setup.firmware == "a" else _on_config_b(device, body, now_ms)


def answer(device: MockDevice, scope: str, status: str, **more: Any) -> Publication:
    """An answer for one scope of a configuration: sensor, actuator, or system for the whole."""
    return payloads.publication(device, Kind.CONFIG_RESPONSE, {"status": status, "type": scope, **more})


def with_sensor(device: MockDevice, sensor: MockSensor, now_ms: int) -> MockDevice:
    """The device with a sensor added, or in the place of the one it had; one whose interval stays keeps its moments."""
    known = device.sensors_at(sensor.gpio, sensor.sensor_type)
    if known:
        sensors = [sensor if each is known[0] else each for each in device.setup.sensors]
    else:
        sensors = [*device.setup.sensors, sensor]
    if not device.life.running or (known and known[0].interval_s == sensor.interval_s):
        return device.set_up(sensors=sensors)
    return anchored(paused(device, known, now_ms).set_up(sensors=sensors), [sensor], now_ms)


def with_actuator(device: MockDevice, actuator: MockActuator) -> MockDevice:
    """The device with an actuator added, or in the place of the one at its gpio."""
    if device.actuator(actuator.gpio) is None:
        return device.set_up(actuators=[*device.setup.actuators, actuator])
    actuators = [actuator if each.gpio == actuator.gpio else each for each in device.setup.actuators]
    return device.set_up(actuators=actuators)


def _on_config_a(device: MockDevice, body: dict[str, Any], now_ms: int) -> Reaction:
    """Firmware a: an error for each refused item, and for a scope that is missing or empty; success of a scope only
    where every item was taken. No answer names the configuration."""
    said: list[Publication] = []
    for scope in ("sensor", "actuator"):
        items = body.get(f"{scope}s")
        if not isinstance(items, list) or not items:
            fault = "config array is empty" if items == [] else f"config missing '{scope}s' array"
            text = f"{scope.title()} {fault}"
            said.append(answer(device, scope, "error", count=0, message=text, error_code="MISSING_FIELD"))
            continue
        device, refused = _taken(device, scope, items, now_ms)
        for item, error in refused:
            said.append(_failed(device, scope, item, error))
        if not refused:
            text = f"Configured {len(items)} {scope}(s) successfully"
            said.append(answer(device, scope, "success", count=len(items), message=text))
    return Reaction(device.lived(config_id=_config_id(body)), tuple(said))


def _on_config_b(device: MockDevice, body: dict[str, Any], now_ms: int) -> Reaction:
    """Firmware b: nothing without a correlation_id or before it is acknowledged; a partial success of the sensors."""
    correlation_id = text_of(body, "correlation_id", 128)
    if not correlation_id:
        made = {"correlation_id": f"fw_{device.esp_id}_{now_ms}_1", "error_code": "CONTRACT_MISSING_CORRELATION"}
        text = "Config contract violation: required correlation_id missing"
        return Reaction(device, (answer(device, "system", "error", count=0, message=text, **made),))
    if not is_acknowledged(device):
        refusal = ("rejected", "REGISTRATION_PENDING", "Config update rejected")
        return Reaction(device, (payloads.intent(device, "config", body, *refusal, now_ms),))
    accepted = ("accepted", "COMMAND_ACCEPTED", "Config intent accepted for processing")
    said = [payloads.intent(device, "config", body, *accepted, now_ms)]
    correlation = {"correlation_id": correlation_id}
    is_good = True
    for scope in ("sensor", "actuator"):
        if f"{scope}s" not in body:
            continue
        items = body[f"{scope}s"]
        if not isinstance(items, list) or not items:
            text = f"No {scope}s configured"
            said.append(answer(device, scope, "success", count=0, message=text, **correlation))
            continue
        device, refused = _taken(device, scope, items, now_ms)
        is_good &= not refused
        if scope == "sensor":
            said.append(_sensors_answered(device, len(items), refused, correlation_id))
            continue
        said += [_failed(device, scope, item, error, **correlation) for item, error in refused]
        if not refused:
            text = f"Configured {len(items)} actuator(s) successfully"
            said.append(answer(device, scope, "success", count=len(items), message=text, **correlation))
    if not is_good:
        failed = {"message": "Config apply/persist failed", "error_code": "COMMIT_FAILED", **correlation}
        said.append(answer(device, "system", "error", count=0, **failed))
    end = ("persisted", "NONE") if is_good else ("failed", "COMMIT_FAILED")
    said.append(payloads.intent(device, "config", body, *end, "Config committed", now_ms))
    return Reaction(device.lived(config_id=_config_id(body)), tuple(said))


def _config_id(body: dict[str, Any]) -> str | None:
    return text_of(body, "config_id", 128) or None


def _taken(
    device: MockDevice, scope: str, items: list[Any], now_ms: int
) -> tuple[MockDevice, list[tuple[Any, ItemRefused]]]:
    """The device with every item that it takes, and those that it refuses."""
    refused: list[tuple[Any, ItemRefused]] = []
    for item in items:
        try:
            if not isinstance(item, dict):
                raise ItemRefused("TYPE_MISMATCH", "Item is no object")
            if scope == "sensor":
                device = _configured_sensor(device, item, now_ms)
            else:
                device = _configured_actuator(device, item, now_ms)
        except ItemRefused as error:
            refused.append((item, error))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            text = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"[:200]
            refused.append((item, ItemRefused("VALIDATION_FAILED", text)))
    return device, refused


def _sensors_answered(
    device: MockDevice, asked: int, refused: list[tuple[Any, ItemRefused]], correlation_id: str
) -> Publication:
    """Firmware b's one answer for all sensors."""
    done = asked - len(refused)
    failures = [
        {
            "type": "sensor",
            "gpio": item.get("gpio", 0) if isinstance(item, dict) else 0,
            "error_code": _NUMBERS.get(error.error, _VALIDATION_FAILED),
            "error": error.error,
            "detail": error.text,
        }
        for item, error in refused[:10]
    ]
    return answer(
        device,
        "sensor",
        "success" if not refused else "partial_success" if done else "error",
        count=done,
        failed_count=len(refused),
        message=f"{done} configured, {len(refused)} failed",
        failures=failures or None,
        correlation_id=correlation_id,
    )


def _failed(device: MockDevice, scope: str, item: Any, error: ItemRefused, **more: Any) -> Publication:
    """The answer for one refused item, of firmware a and of the actuators of b."""
    named = {"failed_item": item} if isinstance(item, dict) and item else {}
    return answer(device, scope, "error", count=0, message=error.text, error_code=error.error, **named, **more)


def _field(item: dict[str, Any], name: str, old: str, what: str) -> str:
    """A text that an item must have, under its name or the older one."""
    value = item.get(name, item.get(old))
    if value is None:
        raise ItemRefused("MISSING_FIELD", f"{what} config missing required field '{name}'")
    if not isinstance(value, str):
        raise ItemRefused("TYPE_MISMATCH", f"{what} field '{name}' must be a string")
    return value


def _configured_sensor(device: MockDevice, item: dict[str, Any], now_ms: int) -> MockDevice:
    """The device with a sensor as configured: a known one keeps what it simulates, a new one is constant.

    ItemRefused, or ValidationError where the item is out of a mock's bounds and could not be loaded again.
    """
    missing = next((name for name in ("gpio", "sensor_type", "sensor_name") if item.get(name) is None), None)
    if missing is not None:
        raise ItemRefused("MISSING_FIELD", f"Missing required field '{missing}'")
    sensor_type = _field(item, "sensor_type", "sensor_type", "Sensor")
    name = _field(item, "sensor_name", "sensor_name", "Sensor")
    address = text_of(item, "onewire_address", 17)
    if device.setup.firmware == "b" and sensor_type.lower() == "ds18b20" and len(address) != _ROM_CODE:
        raise ItemRefused("VALIDATION_FAILED", "Sensor validation failed")
    gpio = item["gpio"]
    if device.actuator(gpio) is not None:
        raise ItemRefused("GPIO_CONFLICT", f"GPIO {gpio} is in use by an actuator")
    known = [each for each in device.sensors_at(gpio) if each.sensor_type.lower() == sensor_type.lower()]
    kept = sensor_type.lower() if device.setup.firmware == "b" else sensor_type
    before = known[0] if known else MockSensor(gpio=gpio, sensor_type=kept)
    changed: dict[str, Any] = {"name": name, "raw_mode": item.get("raw_mode", True)}
    if item.get("subzone_id"):
        changed["subzone_id"] = item["subzone_id"]
    changed["interval_s"] = item.get("measurement_interval_seconds", 30)
    sensor = MockSensor.model_validate(before.model_dump() | changed)
    return with_sensor(device, sensor, now_ms).with_sensor_life(sensor, active=item.get("active") is not False)


def _configured_actuator(device: MockDevice, item: dict[str, Any], now_ms: int) -> MockDevice:
    """The device with an actuator as configured, in its default state: the firmware makes it new, and a stop that held
    it is lost. ItemRefused, or ValidationError where it is out of a mock's bounds."""
    if item.get("gpio") is None:
        raise ItemRefused("MISSING_FIELD", "Actuator config missing required field 'gpio'")
    actuator_type = _field(item, "actuator_type", "type", "Actuator")
    name = _field(item, "actuator_name", "name", "Actuator")
    gpio = item["gpio"]
    if device.setup.firmware == "b" and actuator_type not in _B_ACTUATORS:
        raise ItemRefused("UNKNOWN_ERROR", f"Failed to configure actuator on GPIO {gpio}")
    known = device.actuator(gpio)
    if known is None and device.sensors_at(gpio):
        raise ItemRefused("GPIO_CONFLICT", f"GPIO {gpio} is in use by a sensor")
    changed: dict[str, Any] = {"gpio": gpio, "actuator_type": actuator_type, "name": name}
    changed["default_state"] = item.get("default_state") is True
    if item.get("subzone_id"):
        changed["subzone_id"] = item["subzone_id"]
    if isinstance(item.get("max_runtime_ms"), int):
        changed["max_runtime_s"] = -(-item["max_runtime_ms"] // 1000)
    before = {} if known is None else known.model_dump()
    actuator = MockActuator.model_validate(before | changed)
    is_on = actuator.default_state
    life = ActuatorLife(state=is_on, value=float(is_on), on_since=now_ms if is_on else None)
    return with_actuator(device, actuator).with_actuator_life(gpio, life)
