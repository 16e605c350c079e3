"""Events and the frames that clients get; an event is encoded once and its frame shared by all."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import structlog
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.pack import LINE_NUMBERS, NotAPack, seq_of
from kaiser_common.contract.subjects import NO_DEVICE, is_packed
from kaiser_common.contract.system_events import SystemEventName
from pydantic_core import from_json, to_json
from websockets.frames import Frame, Opcode

log = structlog.get_logger()

PRIORITY = frozenset({"actuator_alert", "system_event"})
"""Types that go first and are never conflated or dropped."""

_STATES: dict[str, tuple[str, ...]] = {
    "sensor_data": ("esp_id", "gpio", "sensor_type", "address"),
    "actuator_status": ("esp_id", "gpio", "replayed"),
    "esp_health": ("esp_id",),
    "config_response": ("esp_id", "config_id"),
    "zone_assignment": ("esp_id",),
    "factory_module": ("serial",),
    "factory_order": ("order_id",),
    "factory_stock": ("hbw",),
    "factory_command": ("command_id",),
    "factory_replay": ("replay_id",),
    "alarm": ("alarm_id",),
}
"""Types of which only the newest need wait, and the fields that say which are of the same thing."""


class Event:
    """An event with its frame."""

    __slots__ = ("_body", "_data", "_key", "_packet", "esp_id", "frame", "seq", "type")

    def __init__(self, event_type: str, esp_id: str, seq: int, timestamp_s: float, body: bytes) -> None:
        self.type = event_type
        self.esp_id = esp_id
        self.seq = seq
        self.frame = b'{"type":"%b","timestamp":%.3f,"seq":%d,"data":%b}' % (
            event_type.encode(),
            timestamp_s,
            seq,
            body,
        )
        self._body = body
        self._data: dict[str, Any] | None = None
        self._key: tuple[Any, ...] | None = None
        self._packet = b""

    @property
    def packet(self) -> bytes:
        """The frame as WebSocket carries it without compression: made once for all clients."""
        if not self._packet:
            self._packet = Frame(Opcode.TEXT, self.frame).serialize(mask=False)
        return self._packet

    def data(self) -> dict[str, Any]:
        """The data, decoded when first asked for."""
        if self._data is None:
            try:
                decoded = from_json(self._body)
            except ValueError:  # no JSON, or nested too deeply: nothing to filter or conflate by
                decoded = None
            self._data = decoded if isinstance(decoded, dict) else {}
        return self._data

    def key(self) -> tuple[Any, ...] | None:
        """The key of the state that the event reports, None if each such event is independent."""
        if self._key is None and self.type in _STATES:
            data = self.data()
            self._key = (self.type, *(_hashable(data.get(field)) for field in _STATES[self.type]))
        return self._key


class _Head(msgspec.Struct):
    """The fields of a line that say which clients may want it: of a device, or of a module or AGV."""

    esp_id: str = ""
    serial: str = NO_DEVICE


_heads = msgspec.json.Decoder(_Head).decode_lines
_head = msgspec.json.Decoder(_Head).decode


def type_of(delivery: Delivery) -> str:
    """The type of a message on EVENTS: `event.{type}.{esp_id}`, of packs `event.{type}.{shard}`."""
    return delivery.subject.split(".", 2)[1]


def last_seq_of(delivery: Delivery) -> int:
    """The seq of the last line of a message. More lines than `seq` numbers have no event: the numbers behind them are
    those of the next message."""
    return seq_of(delivery.stream_sequence, min(delivery.count, LINE_NUMBERS) - 1)


def events_of(delivery: Delivery, wanted: Callable[[str, str], bool]) -> Iterator[Event]:
    """The events of a message, of those types and devices that are wanted: one, or one a line of a pack.

    seq and time are JetStream's. A line that cannot be read is no event.
    """
    _, event_type, esp_id = delivery.subject.split(".", 2)
    timestamp_s = delivery.timestamp_ns / 1e9
    if not is_packed(delivery.subject):
        if wanted(event_type, esp_id):
            yield Event(event_type, esp_id, seq_of(delivery.stream_sequence), timestamp_s, delivery.body)
        return
    first = seq_of(delivery.stream_sequence)
    for number, head, line in _lines(delivery):
        about = head.esp_id or head.serial
        if wanted(event_type, about):
            yield Event(event_type, about, first + number, timestamp_s, line)


def _lines(delivery: Delivery) -> Iterator[tuple[int, _Head, bytes]]:
    """The readable lines of a pack with their numbers: decoded in one call, or one by one where that fails."""
    try:
        lines = delivery.lines()
    except NotAPack as error:
        log.error("event_unreadable", subject=delivery.subject[:128], reason=str(error))
        return
    try:
        heads = _heads(delivery.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        heads = []
    if len(heads) == len(lines):
        yield from zip(range(len(lines)), heads, lines, strict=True)
        return
    for number, line in enumerate(lines):
        try:
            yield number, _head(line), line
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            log.error("event_unreadable", subject=delivery.subject[:128], line=number, reason=str(error))


def _hashable(value: Any) -> Any:
    """A field as part of a key: our services publish numbers and text, but the bus may carry any JSON."""
    return repr(value) if isinstance(value, list | dict) else value


def answer(kind: str, timestamp_s: float, data: dict[str, Any] | None = None) -> bytes:
    """A frame that answers a client: subscribed, pong, resumed or error."""
    return to_json({"type": kind, "timestamp": round(timestamp_s, 3), "data": data or {}})


def notice(event: SystemEventName, message: str, timestamp_s: float, **details: Any) -> bytes:
    """A system_event for one client alone, so it has no seq."""
    data = {
        "event": event,
        "severity": "info",
        "message": message,
        "details": details,
        "ts": int(timestamp_s * 1000),
    }
    return answer("system_event", timestamp_s, data)
