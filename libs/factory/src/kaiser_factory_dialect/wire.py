"""Encodes models as JSON for the bus, and decodes them; the kind decides the model.

A message alone has its kind in its subject, and the id of its delivery as its message id. A line of a pack has both in
itself. What was odd about a message is written beside its fields, and is no part of its model.
"""

from collections.abc import Mapping, Sequence
from sys import intern
from types import MappingProxyType

import msgspec
from msgspec.structs import force_setattr

from kaiser_factory_dialect import ccu_messages as ccu
from kaiser_factory_dialect import messages
from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.messages import FactoryMessage

MODELS: Mapping[FactoryKind, type[FactoryMessage]] = MappingProxyType(
    {
        FactoryKind.MODULE_STATE: messages.MachineState,
        FactoryKind.MODULE_CONNECTION: messages.MachineConnection,
        FactoryKind.MODULE_FACTSHEET: messages.Factsheet,
        FactoryKind.MODULE_ORDER: messages.ModuleOrder,
        FactoryKind.MODULE_INSTANT: messages.InstantActions,
        FactoryKind.NODERED_STATUS: messages.MachineConnection,
        FactoryKind.AGV_STATE: messages.MachineState,
        FactoryKind.AGV_CONNECTION: messages.MachineConnection,
        FactoryKind.AGV_FACTSHEET: messages.Factsheet,
        FactoryKind.AGV_ORDER: messages.AgvOrder,
        FactoryKind.AGV_INSTANT: messages.InstantActions,
        FactoryKind.CCU_REQUEST: ccu.OrderRequest,
        FactoryKind.GATEWAY_REQUEST: ccu.OrderRequest,
        FactoryKind.CCU_RESPONSE: ccu.CcuOrders,
        FactoryKind.CCU_ACTIVE: ccu.CcuOrders,
        FactoryKind.CCU_COMPLETED: ccu.CcuOrders,
        FactoryKind.CCU_CANCEL: ccu.OrderCancel,
        FactoryKind.CCU_PAIRING: ccu.Pairing,
        FactoryKind.CCU_PAIR: ccu.PairRequest,
        FactoryKind.CCU_STOCK: ccu.FactoryStock,
        FactoryKind.CCU_LAYOUT: ccu.FactoryLayout,
        FactoryKind.CCU_FLOWS: ccu.ProductionFlows,
        FactoryKind.CCU_CONFIG: ccu.CcuConfig,
        FactoryKind.CCU_GLOBAL: ccu.CcuGlobal,
        FactoryKind.CCU_SET: ccu.CcuSetting,
        FactoryKind.TXT_SENSOR: messages.TxtSensor,
        FactoryKind.TXT_QUALITY: messages.QualityCheck,
    }
)
"""The model of each kind that is read; `observed` has none."""


class WireHead(msgspec.Struct, frozen=True, gc=False):
    """The fields of a message that are read before its model is decoded.

    ts: its receive time (ms). delivery: the id of its MQTT delivery, in a line of a pack. odd: the oddities that were
    tolerated; unknown: its fields that Kaiser does not read.
    """

    kind: FactoryKind
    topic: str = ""
    ts: int = 0
    env: str = "live"
    epoch: int = 0
    delivery: str | None = None
    odd: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


_WORDS_OF_STEPS = ("type", "command", "module_type", "source", "target", "serial")
_encoder = msgspec.json.Encoder()
_decode_head = msgspec.json.Decoder(WireHead).decode
_decoders = {kind: msgspec.json.Decoder(model) for kind, model in MODELS.items()}


def encode(message: FactoryMessage, odd: Sequence[str] = (), unknown: Sequence[str] = ()) -> bytes:
    """The JSON of a message. odd, unknown: as in its head."""
    text = _encoder.encode(message)
    beside = {name: words for name, words in (("odd", odd), ("unknown", unknown)) if words}
    return b"%b,%b" % (_encoder.encode(beside)[:-1], text[1:]) if beside else text


def decode(kind: FactoryKind, text: bytes) -> FactoryMessage:
    """The message of a JSON text. Raises msgspec.ValidationError or DecodeError if it is not of that kind."""
    message: FactoryMessage = _decoders[kind].decode(text)
    if isinstance(message, ccu.CcuOrders):
        _keep_words_once(message)
    return message


def _keep_words_once(message: ccu.CcuOrders) -> None:
    """Have the words that many steps have in memory once, as reading has them: thousands of orders may be kept."""
    for order in message.orders:
        for step in order.steps:
            for name in _WORDS_OF_STEPS:
                if (word := getattr(step, name)) is not None:
                    force_setattr(step, name, intern(word))


def to_line(text: bytes, delivery: str) -> bytes:
    """The line of a pack for a message. text: its JSON, as `encode` returns it; delivery: the id of its MQTT
    delivery."""
    return b'{"delivery":%b,%b' % (_encoder.encode(delivery), text[1:])


def from_line(line: bytes) -> FactoryMessage:
    """The message of a line. Raises as `decode`, or ValueError if its kind is none that is read."""
    return decode(head_of_line(line).kind, line)


def head_of_line(line: bytes) -> WireHead:
    """The head of a line, or of a message alone. Raises as `from_line`."""
    head = _decode_head(line)
    if head.kind not in _decoders:
        raise ValueError(f"messages of kind {head.kind} are not read")
    return head


def delivery_of(line: bytes) -> str | None:
    """The id of the delivery in a line; None where it cannot be read or has none."""
    try:
        return _decode_head(line).delivery
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
