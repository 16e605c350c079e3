"""The requests of a WebSocket watcher, and the position from which it resumes. Pure: the clients own the socket."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from kaiser_client.problems import UnexpectedAnswer, WatchEnded

SILENT_S = 30.0
"""After so long without a frame the server is asked whether it is there."""
LONGEST_PAUSE_S = 30.0
_FIRST_PAUSE_S = 0.5
_FOR_GOOD = frozenset({4003, 4009, 4400})
_TOKEN_REFUSED = 4001


@dataclass(frozen=True, slots=True)
class WatchFilters:
    """Which events: lists combine with AND, an empty one means all. topics: MQTT filters of the factory's messages."""

    types: tuple[str, ...] = ()
    esp_ids: tuple[str, ...] = ()
    sensor_types: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Watched:
    """An event. timestamp in s; seq is its position, None for a notice to this client alone.

    Type `resumed`, after a gap: data has `missed`, how many messages are gone for good.
    """

    type: str
    timestamp: float
    seq: int | None
    data: dict[str, Any]


@dataclass(slots=True)
class WatchPlace:
    """How far a watcher is. after: the seq from which it goes on, 0 for what comes from now on."""

    filters: WatchFilters
    after: int = 0
    _caught_up: bool = field(default=True, init=False)
    _pause_s: float = field(default=_FIRST_PAUSE_S, init=False)

    def opening(self) -> Iterator[str]:
        """The messages that open a connection."""
        wanted = {name: list(getattr(self.filters, name)) for name in ("types", "esp_ids", "sensor_types", "topics")}
        yield json.dumps({"action": "subscribe", "filters": wanted})
        self._caught_up = not self.after  # live frames before `resumed` do not say which are still missing
        if self.after:
            yield json.dumps({"action": "resume", "after": self.after})

    def take(self, text: str | bytes) -> Watched | None:
        """The event in a frame; None for an answer. UnexpectedAnswer: the server did not understand this client."""
        frame = json.loads(text)
        kind, seq, data = frame["type"], frame.get("seq"), frame.get("data", {})
        self._pause_s = _FIRST_PAUSE_S
        if kind == "error":
            raise UnexpectedAnswer(f"{data.get('message', 'refused')} (code {data.get('code')})")
        if kind == "resumed":
            self._caught_up = True
            self.after = data["from"] - 1
            return Watched(kind, frame["timestamp"], None, data) if data["missed"] else None
        if kind in ("subscribed", "pong"):
            return None
        if seq is not None and self._caught_up:
            self.after = max(self.after, seq)
        return Watched(kind, frame["timestamp"], seq, data)

    def closed(self, code: int, reason: str) -> float:
        """Seconds to wait before connecting again. WatchEnded: there is no use in that."""
        pause_s = self._pause_s
        refused_again = code == _TOKEN_REFUSED and pause_s > _FIRST_PAUSE_S
        if code in _FOR_GOOD or refused_again:
            raise WatchEnded(code, reason)
        self._pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return pause_s


PING = json.dumps({"action": "ping"})


def socket_url(base: str, client_id: str, rate: float | None) -> str:
    """The WebSocket's address at a server."""
    scheme, _, rest = base.rstrip("/").partition("://")
    asked = "" if rate is None else f"?rate={rate:g}"
    return f"{'wss' if scheme == 'https' else 'ws'}://{rest}/api/v1/ws/realtime/{client_id}{asked}"
