"""Events and the frames that clients get; an event is encoded once and its frame shared by all."""

from typing import Any

from kaiser_common.pull import Delivery
from pydantic_core import from_json, to_json

PRIORITY = frozenset({"actuator_alert", "system_event"})
"""Types that go first and are never conflated or dropped."""

_STATES: dict[str, tuple[str, ...]] = {
    "sensor_data": ("esp_id", "gpio", "sensor_type", "address"),
    "actuator_status": ("esp_id", "gpio"),
    "esp_health": ("esp_id",),
    "config_response": ("esp_id", "config_id"),
    "zone_assignment": ("esp_id",),
}
"""Types of which only the newest need wait, and the fields that say which are of the same thing."""


class Event:
    """An event with its frame."""

    __slots__ = ("_body", "_data", "_key", "esp_id", "frame", "seq", "type")

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

    @classmethod
    def of(cls, delivery: Delivery) -> "Event":
        """The event of a message on EVENTS: `event.{type}.{esp_id}`, seq and time are JetStream's."""
        event_type, _, esp_id = delivery.subject.removeprefix("event.").partition(".")
        return cls(event_type, esp_id, delivery.stream_sequence, delivery.timestamp_ns / 1e9, delivery.body)

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
        """Of what it tells the state, None when each such event counts by itself."""
        if self._key is None and self.type in _STATES:
            data = self.data()
            self._key = (self.type, *(_hashable(data.get(field)) for field in _STATES[self.type]))
        return self._key


def _hashable(value: Any) -> Any:
    """A field as part of a key: our services publish numbers and text, but the bus may carry any JSON."""
    return repr(value) if isinstance(value, list | dict) else value


def answer(kind: str, timestamp_s: float, data: dict[str, Any] | None = None) -> bytes:
    """A frame that answers a client: subscribed, pong, resumed or error."""
    return to_json({"type": kind, "timestamp": round(timestamp_s, 3), "data": data or {}})


def notice(event: str, message: str, timestamp_s: float, **details: Any) -> bytes:
    """A system_event for one client alone, so it has no seq."""
    data = {
        "event": event,
        "severity": "info",
        "message": message,
        "details": details,
        "ts": int(timestamp_s * 1000),
    }
    return answer("system_event", timestamp_s, data)
