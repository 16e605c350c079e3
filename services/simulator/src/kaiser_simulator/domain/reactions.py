"""How a mock reacts to what Kaiser sends it, by the kind of the message, as its firmware does; pure."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from kaiser_common.contract.bounds import is_pin
from kaiser_common.contract.schemas.api.mock import MockSensor
from kaiser_common.contract.topics import Kind, Topic

from kaiser_simulator.domain import emergencies, payloads
from kaiser_simulator.domain.actuators import Reaction, on_command, to_default
from kaiser_simulator.domain.configuration import answer, on_config
from kaiser_simulator.domain.device import MOST_ANSWERS, Answer, MockDevice, Publication, is_connected, measures
from kaiser_simulator.domain.firmware import (
    as_string,
    hears,
    is_acknowledged,
    packet_bytes,
    size_of,
    text_of,
    to_object,
)
from kaiser_simulator.domain.system_commands import on_system_command

Measure = Callable[[MockDevice, MockSensor, int], Publication]
"""A reading of a sensor, taken now."""

UNREADABLE_CODE = 4900
"""The number under which a mock reports a message that it cannot read."""
_NUL = "\\u0000"
"""JSON's escape of U+0000, which no text column takes. An escaped backslash before it is refused too."""
_ONCE = frozenset({Kind.ACTUATOR_COMMAND, Kind.SENSOR_COMMAND})
"""Kinds that move something, and move it once however often the bus delivers them."""
_ZONE = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_B_CONFIG_BYTES = 4352


def react(device: MockDevice, topic: Topic, payload: str, now_ms: int, measure: Measure) -> Reaction:
    """The device's reaction to a message, and its answers. None if it is not connected, does not subscribe to the kind,
    or the message is larger than its buffers. A command that moved something and is delivered again (same correlation
    or request id) gets the same answer and does nothing more: the bus may deliver it twice. Firmware a stops at any
    broadcast, whatever its content.
    """
    firmware = device.setup.firmware
    if not is_connected(device) or not hears(firmware, topic.kind):
        return Reaction(device)
    if firmware == "b" and topic.kind is Kind.CONFIG and len(payload.encode()) >= _B_CONFIG_BYTES:
        return Reaction(device, (_too_large(device, payload),))
    if size_of(topic, payload) > packet_bytes(firmware, topic.kind):
        return Reaction(device)
    if firmware == "a" and topic.kind is Kind.BROADCAST_EMERGENCY:
        return emergencies.stopped(device, now_ms)
    if _NUL in payload:
        return _unreadable(device, topic, "it has U+0000 in a text", now_ms)
    try:
        body = to_object(payload)
    except ValueError as error:
        return _unreadable(device, topic, str(error), now_ms)
    key = _key(topic, body)
    before = next((each for each in device.life.answers if each.key == key), None)
    if before is not None:
        return Reaction(device, tuple(before.publications))
    reaction = _REACTIONS[topic.kind](device, topic, body, now_ms, measure)
    if key is None or reaction.device is device:
        return reaction
    answers = [*reaction.device.life.answers, Answer(key=key, publications=list(reaction.publications))]
    return Reaction(reaction.device.lived(answers=answers[-MOST_ANSWERS:]), reaction.publications)


def is_zone_id(text: str | None) -> bool:
    """Whether health takes this as a zone."""
    return text is not None and _ZONE.match(text) is not None


def _unreadable(device: MockDevice, topic: Topic, fault: str, now_ms: int) -> Reaction:
    text = f"cannot read {topic.kind.value}: {fault}"[:200]
    return Reaction(device, (payloads.system_error(device, UNREADABLE_CODE, "warning", text, now_ms),))


def _too_large(device: MockDevice, payload: str) -> Publication:
    try:
        correlation_id = text_of(to_object(payload), "correlation_id", 128)
    except ValueError:
        correlation_id = ""
    more = {"correlation_id": correlation_id or None, "error_code": "PAYLOAD_TOO_LARGE"}
    return answer(device, "system", "error", count=0, message="Payload too large", **more)


def _key(topic: Topic, body: Mapping[str, Any]) -> str | None:
    """The identity of a message that moves something, None where it has none."""
    if topic.kind not in _ONCE:
        return None
    name = text_of(body, "correlation_id", 128) or text_of(body, "request_id", 128)
    return f"{topic.kind.value}.{name}" if name else None


def _actuator_command(
    device: MockDevice, topic: Topic, body: dict[str, Any], now_ms: int, measure: Measure
) -> Reaction:
    assert topic.gpio is not None
    return on_command(device, topic.gpio, body, now_ms)


def _emergency(device: MockDevice, topic: Topic, body: dict[str, Any], now_ms: int, measure: Measure) -> Reaction:
    return emergencies.on_emergency(device, body, now_ms)


def _broadcast(device: MockDevice, topic: Topic, body: dict[str, Any], now_ms: int, measure: Measure) -> Reaction:
    return emergencies.on_broadcast(device, body, now_ms)


def _config(device: MockDevice, topic: Topic, body: dict[str, Any], now_ms: int, measure: Measure) -> Reaction:
    return on_config(device, body, now_ms)


def _system_command(device: MockDevice, topic: Topic, body: dict[str, Any], now_ms: int, measure: Measure) -> Reaction:
    return on_system_command(device, body, now_ms)


def _sensor_command(device: MockDevice, topic: Topic, body: dict[str, Any], now_ms: int, measure: Measure) -> Reaction:
    """Measure now: the readings of every sensor at the gpio, then the answer. Before it is acknowledged: refused."""
    if not is_acknowledged(device):
        refusal = ("rejected", "REGISTRATION_PENDING", "Sensor command rejected")
        return Reaction(device, (payloads.intent(device, "command", body, *refusal, now_ms),))
    gpio = topic.gpio if topic.gpio is not None else -1
    sensors = [sensor for sensor in device.sensors_at(gpio) if device.sensor_life(sensor).active]
    able = bool(sensors) and measures(device) and gpio not in device.life.faults.silent
    answered = {
        "request_id": text_of(body, "request_id", 128),
        "gpio": gpio,
        "command": "measure",
        "success": able,
        "reason_code": "NONE" if able else "SENSOR_NOT_FOUND",
        "quality": "good",
        "sensor_type": sensors[0].sensor_type if able else "",
        "ts": payloads.device_ms(device, now_ms),
        "correlation_id": "corr_1_1",
    }
    response = payloads.publication(device, Kind.SENSOR_RESPONSE, answered, gpio)
    readings = [measure(device, sensor, now_ms) for sensor in sensors] if able else []
    return Reaction(device, (*readings, response))


def _heartbeat_ack(device: MockDevice, topic: Topic, body: dict[str, Any], now_ms: int, measure: Measure) -> Reaction:
    """The registration gate opens at an acknowledgement of this session's epoch; then the actuators' states follow."""
    life, epoch = device.life, body.get("handover_epoch")
    is_epoch = isinstance(epoch, int) and not isinstance(epoch, bool) and epoch > 0
    if "status" not in body or not is_epoch or life.active_epoch not in (0, epoch):
        return Reaction(device.lived(refused_acks=life.refused_acks + 1))
    pending = body["status"] not in ("approved", "online")
    seen = {"acked_at": now_ms, "isolated": False, "active_epoch": epoch, "pending": pending}
    after = device.lived(acked=True, **seen)
    return Reaction(after, () if life.acked else payloads.statuses(after, now_ms))


def _zone(device: MockDevice, topic: Topic, body: dict[str, Any], now_ms: int, measure: Measure) -> Reaction:
    """Into a zone, or out of it with ""; firmware a ignores "". A heartbeat follows the answer."""
    zone_id, is_b = as_string(body, "zone_id"), device.setup.firmware == "b"
    if is_b and zone_id == "null":
        zone_id = ""
    if not zone_id and not is_b:
        return Reaction(device)
    common = {"esp_id": device.esp_id, "ts": payloads.device_ms(device, now_ms)}
    if is_b:
        common["correlation_id"] = text_of(body, "correlation_id", 128) or f"fw_{device.esp_id}_{now_ms}_1"
    if zone_id and not is_zone_id(zone_id):
        refusal = {**common, "status": "error", "message": "Failed to save zone config"}
        return Reaction(device, (payloads.publication(device, Kind.ZONE_ACK, refusal),))
    master = as_string(body, "master_zone_id")[:64] if zone_id else ""
    after = device.lived(zone_id=zone_id or None, master_zone_id=master or None)
    status = "zone_assigned" if zone_id else "zone_removed"
    ack = {**common, "status": status, "zone_id": zone_id, "master_zone_id": master}
    return Reaction(after, (payloads.publication(after, Kind.ZONE_ACK, ack), payloads.heartbeat(after, now_ms)))


def _subzone(device: MockDevice, topic: Topic, body: dict[str, Any], now_ms: int, measure: Measure) -> Reaction:
    """Keep or forget which pins are in a subzone. Firmware a gives its time as seconds since the start."""
    is_b, subzone_id = device.setup.firmware == "b", as_string(body, "subzone_id")
    is_good = 0 < len(subzone_id) <= 64
    subzones = dict(device.life.subzones)
    status = "subzone_safe"
    if topic.kind is Kind.SUBZONE_ASSIGN:
        given = body.get("assigned_gpios")
        gpios = given if isinstance(given, list) else []
        is_good = is_good and all(type(gpio) is int and is_pin(gpio) for gpio in gpios)
        subzones[subzone_id], status = gpios, "subzone_assigned"
    elif topic.kind is Kind.SUBZONE_REMOVE:
        subzones.pop(subzone_id, None)
        status = "subzone_removed"
    at_ms = payloads.device_ms(device, now_ms) if is_b else max(0, now_ms - device.life.booted_at)
    ack: dict[str, Any] = {"esp_id": device.esp_id, "status": status if is_good else "error"}
    ack |= {"subzone_id": subzone_id[:64], "timestamp": at_ms // 1000}
    if is_b:
        ack["correlation_id"] = text_of(body, "correlation_id", 128) or "fw_1"
    after = device.lived(subzones=subzones) if is_good else device
    return Reaction(after, (payloads.publication(after, Kind.SUBZONE_ACK, ack),))


def _server_status(device: MockDevice, topic: Topic, body: dict[str, Any], now_ms: int, measure: Measure) -> Reaction:
    """Without its server firmware b holds nothing on: every actuator goes to its default."""
    return to_default(device, now_ms) if body.get("status") == "offline" else Reaction(device)


_REACTIONS: Mapping[Kind, Callable[[MockDevice, Topic, dict[str, Any], int, Measure], Reaction]] = MappingProxyType(
    {
        Kind.ACTUATOR_COMMAND: _actuator_command,
        Kind.EMERGENCY: _emergency,
        Kind.BROADCAST_EMERGENCY: _broadcast,
        Kind.SENSOR_COMMAND: _sensor_command,
        Kind.CONFIG: _config,
        Kind.ZONE_ASSIGN: _zone,
        Kind.SUBZONE_ASSIGN: _subzone,
        Kind.SUBZONE_REMOVE: _subzone,
        Kind.SUBZONE_SAFE: _subzone,
        Kind.SYSTEM_COMMAND: _system_command,
        Kind.HEARTBEAT_ACK: _heartbeat_ack,
        Kind.SERVER_STATUS: _server_status,
    }
)
"""Every kind that one of the two generations subscribes to (`firmware.hears`)."""
