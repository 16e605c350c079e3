"""uvicorn's WebSocket protocol with limits on frames that are no message, and a way to write frames directly.

Its class is extended by its documented callbacks (docs/decisions/0803).
"""

import time
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from kaiser_gateway import metrics
from kaiser_gateway.domain.limits import TokenBucket
from kaiser_gateway.domain.places import Place
from kaiser_gateway.http.connections import PLACE, slices

WRITE_NOW = "kaiser.write_now"
"""An extension in the scope of a WebSocket: a function of a text and of the same as one unmasked frame, which writes it
and returns True, or False where the client must be waited for."""

_SLICE = 2_048
_FRAMES_PER_S, _FRAMES_AT_ONCE = 100.0, 200.0
_MOST_WAITING = 300
_FLOODS = 1008


class LimitedWebSocket(WebSocketsSansIOProtocol):
    """Leaves the place that its HTTP connection had taken. Pings and fragments cost time that no limit of messages
    sees: over 100 a second, or more messages waiting than are read in half a minute, it is closed (1008)."""

    def connection_made(self, transport: Any) -> None:
        self._place: Place = self.app_state[PLACE]
        self._place.end = transport.close
        self._frames = TokenBucket.full(_FRAMES_PER_S, time.monotonic(), _FRAMES_AT_ONCE)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._place.leave()
        super().connection_lost(exc)

    def handle_connect(self, event: Any) -> None:
        """Let the application write frames itself, by an extension of ASGI (WRITE_NOW)."""
        super().handle_connect(event)
        if not self.close_sent:
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[WRITE_NOW] = self._write_now

    def _write_now(self, text: bytes, packet: bytes) -> bool:
        if not self.writable.is_set() or self.conn.state is not State.OPEN or self.transport.is_closing():
            return False
        if self.conn.extensions:  # compressed, with what this connection sent before
            self.conn.send_text(text)
            packet = b"".join(self.conn.data_to_send())
        self.transport.write(packet)
        return True

    def data_received(self, data: bytes) -> None:
        for part in slices(data, _SLICE):
            if self.transport.is_closing():
                return
            super().data_received(part)

    def handle_ping(self) -> None:
        self._count_frame()
        super().handle_ping()

    def handle_pong(self, event: Any) -> None:
        self._count_frame()
        super().handle_pong(event)

    def handle_cont(self, event: Any) -> None:
        self._count_frame()
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        if self.close_sent:
            self._count_frame()
        super().send_receive_event_to_app()
        if self.queue.qsize() > _MOST_WAITING:
            self._fail("too many messages")

    def _count_frame(self) -> None:
        if not self._frames.take(time.monotonic()):
            self._fail("too many pings or fragments")

    def _fail(self, reason: str) -> None:
        if self.transport.is_closing():
            return
        if not self.close_sent:
            metrics.CLOSED.labels(str(_FLOODS)).inc()
            self.conn.fail(_FLOODS, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
        self.transport.close()
