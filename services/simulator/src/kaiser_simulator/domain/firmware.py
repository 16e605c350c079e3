"""The messages that the two generations of firmware receive, accept and send; pure.

Source: docs/devices.md.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from kaiser_common.contract.schemas.api.mock import Firmware
from kaiser_common.contract.topics import Kind, Topic, build
from pydantic_core import from_json, to_json

from kaiser_simulator.domain.device import MockDevice

_A_HEARS = frozenset(
    {
        Kind.SYSTEM_COMMAND,
        Kind.CONFIG,
        Kind.ACTUATOR_COMMAND,
        Kind.EMERGENCY,
        Kind.BROADCAST_EMERGENCY,
        Kind.ZONE_ASSIGN,
        Kind.SUBZONE_ASSIGN,
        Kind.SUBZONE_REMOVE,
    }
)
_HEARS: Mapping[Firmware, frozenset[Kind]] = MappingProxyType(
    {
        "a": _A_HEARS,
        "b": _A_HEARS | {Kind.HEARTBEAT_ACK, Kind.SUBZONE_SAFE, Kind.SENSOR_COMMAND, Kind.SERVER_STATUS},
    }
)
_A_PACKET = 2048 - 7
"""PubSubClient's buffer, less the header that it counts with topic and payload."""
_B_PACKET = 4351
_B_PACKETS: Mapping[Kind, int] = MappingProxyType(
    {
        Kind.ACTUATOR_COMMAND: 511,
        Kind.EMERGENCY: 255,
        Kind.BROADCAST_EMERGENCY: 255,
        Kind.SYSTEM_COMMAND: 255,
    }
)
_B_SAYS_UNACKNOWLEDGED = frozenset(
    {
        Kind.SESSION,
        Kind.HEARTBEAT,
        Kind.HEARTBEAT_METRICS,
        Kind.WILL,
        Kind.SENSOR_RESPONSE,
        Kind.ACTUATOR_RESPONSE,
        Kind.SYSTEM_RESPONSE,
        Kind.CONFIG_RESPONSE,
        Kind.EMERGENCY_RESPONSE,
        Kind.EMERGENCY_ERROR,
        Kind.SYSTEM_ERROR,
        Kind.ZONE_ACK,
        Kind.SUBZONE_ACK,
    }
)
_AT_MOST_ONCE = frozenset({Kind.HEARTBEAT, Kind.HEARTBEAT_METRICS, Kind.DIAGNOSTICS})
"""Kinds that generation B sends at QoS 0; generation A has no other QoS."""


def hears(firmware: Firmware, kind: Kind) -> bool:
    """Whether the firmware subscribes to this kind of message."""
    return kind in _HEARS[firmware]


def packet_bytes(firmware: Firmware, kind: Kind) -> int:
    """The largest topic and payload together, in bytes, that the firmware takes of this kind."""
    return _A_PACKET if firmware == "a" else _B_PACKETS.get(kind, _B_PACKET)


def size_of(topic: Topic, payload: str) -> int:
    """Topic and payload together, in bytes."""
    text = build(topic.kind, topic.kaiser_id, topic.esp_id, topic.gpio)
    return len(text.encode()) + len(payload.encode())


def qos_of(firmware: Firmware, kind: Kind) -> Literal[0, 1]:
    """The QoS at which the firmware publishes this kind. A will is the broker's, at QoS 1."""
    if kind is Kind.WILL:
        return 1
    return 0 if firmware == "a" or kind in _AT_MOST_ONCE else 1


def may_say(device: MockDevice, kind: Kind) -> bool:
    """Whether the registration gate of generation B lets this kind out. Generation A has no gate."""
    return is_acknowledged(device) or kind in _B_SAYS_UNACKNOWLEDGED


def is_acknowledged(device: MockDevice) -> bool:
    """Whether Kaiser acknowledged a heartbeat since the device connected; always true of generation A."""
    return device.setup.firmware == "a" or device.life.acked


def token_of(device: MockDevice) -> str:
    """The token that an emergency for this device must carry: its own, by default its esp_id."""
    return device.life.token or device.esp_id


def to_object(payload: str) -> dict[str, Any]:
    """The JSON object in a payload. ValueError if it is not one."""
    body = from_json(payload, allow_inf_nan=False)
    if not isinstance(body, dict):
        raise ValueError("the payload is not a JSON object")
    return body


def as_string(body: Mapping[str, Any], name: str) -> str:
    """ArduinoJson's `as<String>()`: text as it is, anything else as JSON; a missing field and null are "null"."""
    value = body.get(name)
    return value if isinstance(value, str) else to_json(value).decode()


def number(body: Mapping[str, Any], name: str, default: float) -> float:
    """A number in a payload, `default` if there is none."""
    value = body.get(name)
    return default if isinstance(value, bool) or not isinstance(value, int | float) else value


def whole(body: Mapping[str, Any], name: str, most: int = 2**31 - 1) -> int:
    """A whole number of 0 to `most` in a payload, 0 if there is none."""
    value = body.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most else 0


def text_of(body: Mapping[str, Any], name: str, most: int) -> str:
    """A text in a payload, cut to `most` characters; "" if there is none."""
    value = body.get(name)
    return value[:most] if isinstance(value, str) else ""
