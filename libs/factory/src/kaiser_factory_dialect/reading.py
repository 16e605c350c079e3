"""Turns a received message into its model, or into the reason why it has none; no topic or payload raises an error.

Source: docs/factory-dialect.md, "Reading".
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec
from kaiser_common.contract.errors import Code, Rejected
from msgspec import Struct

from kaiser_factory_dialect import ccu, machines, txt
from kaiser_factory_dialect.catalogue import COMMAND_KINDS, DEFAULT_INTERFACES, LARGE_BYTES, FactoryKind
from kaiser_factory_dialect.fields import Fields, as_object
from kaiser_factory_dialect.known import KNOWN_FIELDS
from kaiser_factory_dialect.messages import FactoryMessage
from kaiser_factory_dialect.payload import decode
from kaiser_factory_dialect.topics import FactoryTopic, parse

IgnoreReason = Literal[
    "uncatalogued", "observed", "cleared", "retained_command", "retained_same", "too_many", "elsewhere"
]


class Arrival(Struct, frozen=True, gc=False):
    """An MQTT message as ingest received it. received_at: ms since 1970. own: ingest has sent it within 60 s."""

    topic: str
    payload: bytes
    received_at: int
    qos: int = 0
    retained: bool = False
    env: str = "live"
    epoch: int = 0
    own: bool = False


class FactoryAccepted(Struct, frozen=True, gc=False):
    """A message that was read. unknown: its first 16 fields that Kaiser does not read.

    oddities: what was tolerated, each name once.
    """

    message: FactoryMessage
    oddities: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


class FactoryIgnored(Struct, frozen=True, gc=False):
    """A message that is kept as it came and not read."""

    reason: IgnoreReason


Verdict = FactoryAccepted | FactoryIgnored | Rejected

_OF_OBJECT: dict[FactoryKind, Callable[[FactoryTopic, Fields, dict[str, Any]], FactoryMessage]] = {
    FactoryKind.MODULE_STATE: machines.read_state,
    FactoryKind.MODULE_CONNECTION: machines.read_connection,
    FactoryKind.MODULE_FACTSHEET: machines.read_factsheet,
    FactoryKind.MODULE_ORDER: machines.read_module_order,
    FactoryKind.MODULE_INSTANT: machines.read_instant,
    FactoryKind.NODERED_STATUS: machines.read_connection,
    FactoryKind.AGV_STATE: machines.read_state,
    FactoryKind.AGV_CONNECTION: machines.read_connection,
    FactoryKind.AGV_FACTSHEET: machines.read_factsheet,
    FactoryKind.AGV_ORDER: machines.read_agv_order,
    FactoryKind.AGV_INSTANT: machines.read_instant,
    FactoryKind.CCU_REQUEST: ccu.read_request,
    FactoryKind.GATEWAY_REQUEST: ccu.read_request,
    FactoryKind.CCU_PAIRING: ccu.read_pairing,
    FactoryKind.CCU_PAIR: ccu.read_pair_request,
    FactoryKind.CCU_STOCK: ccu.read_stock,
    FactoryKind.CCU_LAYOUT: ccu.read_layout,
    FactoryKind.CCU_FLOWS: ccu.read_flows,
    FactoryKind.CCU_CONFIG: ccu.read_config,
    FactoryKind.CCU_GLOBAL: ccu.read_global,
    FactoryKind.CCU_SET: ccu.read_setting,
    FactoryKind.TXT_SENSOR: txt.read_sensor,
    FactoryKind.TXT_QUALITY: txt.read_quality,
}
_OF_VALUE: dict[FactoryKind, Callable[[FactoryTopic, Any, list[str], dict[str, Any]], FactoryMessage]] = {
    FactoryKind.CCU_RESPONSE: ccu.read_orders,
    FactoryKind.CCU_ACTIVE: ccu.read_orders,
    FactoryKind.CCU_COMPLETED: ccu.read_orders,
    FactoryKind.CCU_CANCEL: ccu.read_cancel,
}
_MAX_UNKNOWN = 16


def read(arrival: Arrival, interfaces: Iterable[str] = DEFAULT_INTERFACES) -> Verdict:
    """Read a message without knowledge of any message before it; see `intake` for what depends on them.

    FactoryAccepted: its model. FactoryIgnored: its reason. Rejected: code, detail and the field that is at fault.
    """
    topic = parse(arrival.topic, interfaces)
    if topic is None:
        return FactoryIgnored("uncatalogued")
    if not arrival.payload:
        return FactoryIgnored("cleared")
    if topic.kind is FactoryKind.OBSERVED:
        if len(arrival.payload) > LARGE_BYTES:
            return _too_large(LARGE_BYTES)
        return FactoryIgnored("observed")
    if arrival.retained and topic.kind in COMMAND_KINDS:
        return FactoryIgnored("retained_command")
    if len(arrival.payload) > topic.limit:
        return _too_large(topic.limit)
    try:
        return _read(topic, arrival)
    except Rejected as rejected:
        return rejected


def _too_large(limit: int) -> Rejected:
    return Rejected(Code.PAYLOAD_TOO_LARGE, f"the payload is larger than {limit} bytes")


def _read(topic: FactoryTopic, arrival: Arrival) -> FactoryAccepted:
    if not topic.is_well_formed:
        raise Rejected(Code.INVALID_ESP_ID, "the serial in the topic does not match [A-Za-z0-9_.:-]{1,64}", "serial")
    value = decode(arrival.payload)
    odd: list[str] = []
    common = {
        "kind": topic.kind,
        "topic": arrival.topic,
        "ts": arrival.received_at,
        "env": arrival.env,
        "epoch": arrival.epoch,
        "serial": topic.serial,
        "qos": arrival.qos,
        "retained": arrival.retained,
        "own": arrival.own,
    }
    if (of_object := _OF_OBJECT.get(topic.kind)) is not None:
        message = of_object(topic, as_object(value, odd), common)
    else:
        message = _OF_VALUE[topic.kind](topic, value, odd, common)
    if b"\\" in arrival.payload and b"\\u0000" in arrival.payload and _has_nul(msgspec.to_builtins(message)):
        raise Rejected(Code.VALUE_OUT_OF_RANGE, "a text contains the character U+0000")
    return FactoryAccepted(message, tuple(dict.fromkeys(odd)), _unknown(topic, value))


def _unknown(topic: FactoryTopic, value: Any) -> tuple[str, ...]:
    """The names of fields that Kaiser does not read; they show how the factory's software changes."""
    known = KNOWN_FIELDS.get(topic.kind)
    if known is None or not isinstance(value, dict) or known.issuperset(value):
        return ()
    return tuple(sorted(name[:64] for name in value.keys() - known))[:_MAX_UNKNOWN]


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(one) for key, one in value.items())
    return isinstance(value, list | tuple) and any(map(_has_nul, value))
