"""The meaning of MQTT reason codes, so that none is logged as a bare number.

Source: MQTT 3.1.1 §3.2.2.3, MQTT 5.0 §2.4.
"""

from collections.abc import Mapping
from types import MappingProxyType

MQTT3_CONNACK: Mapping[int, str] = MappingProxyType(
    {
        0: "accepted",
        1: "unacceptable protocol version",
        2: "client identifier rejected",
        3: "server unavailable",
        4: "bad user name or password",
        5: "not authorized",
    }
)
MQTT5: Mapping[int, str] = MappingProxyType(
    {
        0x00: "success or normal disconnection",
        0x01: "granted QoS 1",
        0x02: "granted QoS 2",
        0x04: "disconnect with will message",
        0x10: "no matching subscribers",
        0x11: "no subscription existed",
        0x18: "continue authentication",
        0x19: "re-authenticate",
        0x80: "unspecified error",
        0x81: "malformed packet",
        0x82: "protocol error",
        0x83: "implementation specific error",
        0x84: "unsupported protocol version",
        0x85: "client identifier not valid",
        0x86: "bad user name or password",
        0x87: "not authorized",
        0x88: "server unavailable",
        0x89: "server busy",
        0x8A: "banned",
        0x8B: "server shutting down",
        0x8C: "bad authentication method",
        0x8D: "keep alive timeout",
        0x8E: "session taken over",
        0x8F: "topic filter invalid",
        0x90: "topic name invalid",
        0x91: "packet identifier in use",
        0x92: "packet identifier not found",
        0x93: "receive maximum exceeded",
        0x94: "topic alias invalid",
        0x95: "packet too large",
        0x96: "message rate too high",
        0x97: "quota exceeded",
        0x98: "administrative action",
        0x99: "payload format invalid",
        0x9A: "retain not supported",
        0x9B: "QoS not supported",
        0x9C: "use another server",
        0x9D: "server moved",
        0x9E: "shared subscriptions not supported",
        0x9F: "connection rate exceeded",
        0xA0: "maximum connect time",
        0xA1: "subscription identifiers not supported",
        0xA2: "wildcard subscriptions not supported",
    }
)
UNSUPPORTED_PROTOCOL = frozenset({0x01, 0x84})
AUTHENTICATION = frozenset({0x04, 0x05, 0x86, 0x87, 0x8A, 0x8C})
SESSION_TAKEN_OVER = 0x8E
TOPIC_NAME_INVALID = 0x90
PACKET_TOO_LARGE = 0x95
QUOTA_EXCEEDED = 0x97
FAILURE_FROM = 0x80


def connack_text(code: int) -> str:
    """Number and meaning of a CONNACK; the codes below 0x80 are those of 3.1.1."""
    return _text(code, MQTT3_CONNACK if code < FAILURE_FROM else MQTT5)


def reason_text(code: int) -> str:
    """Number and meaning of any other reason code of MQTT 5, SUBACK of 3.1.1 included."""
    return _text(code, MQTT5)


def _text(code: int, meanings: Mapping[int, str]) -> str:
    number = f"{code:#04x}" if code >= FAILURE_FROM else str(code)
    return f"{number} {meanings.get(code, 'unknown reason')}"
