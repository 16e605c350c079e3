"""Limits that apply before a request is read.

They bound how many connections an address may have without a token, how long and how large headers may be, and how
many bytes that are neither request nor message a client may send. uvicorn has none of these (docs/decisions/0803); its
two protocol classes are extended by their documented callbacks.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from kaiser_gateway import metrics
from kaiser_gateway.domain.limits import Limiter, TokenBucket, source_of
from kaiser_gateway.domain.places import GRACE_S, Place, Places

MOST_HEADER_BYTES = 65_536
PLACE = "place"
"""The name of a connection's place in the state of its requests."""
WRITE_NOW = "kaiser.write_now"
"""An extension in the scope of a WebSocket: a function of a text and of the same as one unmasked frame, which writes it
and returns True, or False where the client must be waited for."""

_SLICE, _FRAMES_SLICE = 16_384, 2_048
_MOST_PIPELINED = 8
_FRAMING_PER_BODY = 8
"""A body in chunks of one byte has six bytes of framing for each."""
_FRAMES_PER_S, _FRAMES_AT_ONCE = 100.0, 200.0
_BEGUN_PER_S, _BEGUN_AT_ONCE = 50.0, 500.0
_ASKED_PER_S, _ASKED_AT_ONCE = 200.0, 1000.0
"""Of an address with up to 500 connections; where the setting allows more, these grow with it."""
_HURRIED_HEADER_S = 2.0
"""How long the headers of a connection may take whose address began too many of late."""
_REFRESHES = frozenset({b"/api/v1/auth/refresh", b"/api/v1/auth/oidc/refresh"})
"""Their tokens are in their bodies."""
_TOKEN_HEADERS = frozenset({b"authorization", b"sec-websocket-protocol"})
_MOST_WAITING = 300
_MOST_UNREAD, _MOST_UNREAD_OF_ALL = 32 * 1024 * 1024, 128 * 1024 * 1024
"""Bytes of answers that an address, and all together, leave unread."""
_FLOODS = 1008
_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_MANY = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 5\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Connections:
    """Counts connections and requests by address (IPv6: by network of 64 bits), HTTP and WebSocket together; trusted
    proxies are counted as nobody. files: how many the process may open."""

    def __init__(self, most_per_address: int, proxies: Sequence[str], header_s: float, files: int = 1_048_576) -> None:
        self.places = Places(most_per_address, files)
        self._proxies = [ip_network(proxy) for proxy in proxies]
        self._begun = Limiter(max(_BEGUN_PER_S, most_per_address / 10), max(_BEGUN_AT_ONCE, most_per_address))
        self._asked = Limiter(max(_ASKED_PER_S, most_per_address * 0.4), max(_ASKED_AT_ONCE, most_per_address * 2))
        self._unread: Counter[str] = Counter()
        self.header_s = header_s

    def source(self, address: str) -> str | None:
        """The name under which an address is counted; None for a trusted proxy."""
        return None if self._is_proxy(address) else source_of(address)

    def may_begin(self, address: str) -> bool:
        """Whether an address begins no more connections than it may; counted if so."""
        return self._is_proxy(address) or self._begun.wait_s(source_of(address), time.monotonic()) == 0

    def hold(self, address: str, size: int) -> bool:
        """Count bytes that a client does not read yet; False when there are too many. Behind a trusted proxy all
        clients are one address, so that only the bound of all together holds there."""
        source = source_of(address)
        self._unread[source] += size
        most = _MOST_UNREAD_OF_ALL if self._is_proxy(address) else _MOST_UNREAD
        return self._unread[source] <= most and self._unread.total() <= _MOST_UNREAD_OF_ALL

    def let_go(self, address: str, size: int) -> None:
        """Count out what `hold` has counted."""
        source = source_of(address)
        self._unread[source] -= size
        if self._unread[source] <= 0:
            del self._unread[source]

    def may_ask(self, address: str) -> bool:
        """Whether a request without a token from an address goes on; counted if so."""
        return self._is_proxy(address) or self._asked.wait_s(source_of(address), time.monotonic()) == 0

    def _is_proxy(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._proxies)


def protocols(connections: Connections) -> tuple[type[asyncio.Protocol], type[asyncio.Protocol]]:
    """uvicorn's protocols for HTTP and WebSocket with these limits."""

    class LimitedHttp(HttpToolsProtocol):
        """A connection that sends no whole headers in time is closed; headers over 64 KiB are 431. Trailers are not
        kept. An address that asks too often without a token: 429, closed; one that begins too many connections: only
        requests with a token are answered on them. More than 8 requests that wait behind the one being answered, far
        more framing than body, or an answer that is not read where too much is unread already: closed.
        `Admission` notes at the place of a connection whose token it has presented."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._address = _address_of(transport)
            self._source = connections.source(self._address)
            self._hurried = not connections.may_begin(self._address)
            self._refused = False
            self._upgraded = False
            """Its further bytes are no request: those of a WebSocket, or of a protocol that is not spoken here."""
            self._in_headers, self._header_bytes = True, 0
            self._messages = self._body_bytes = self._framing_bytes = 0
            self._unread = 0
            self._late: asyncio.TimerHandle | None = None
            self._place = connections.places.enter(self._source, self._give_way, time.monotonic())
            self.app_state = {**self.app_state, PLACE: self._place}
            if connections.places.is_over(self._source):
                self.loop.call_later(GRACE_S, self._trim)
            self._wait_for_headers()

        def _trim(self) -> None:
            connections.places.trim(self._source, time.monotonic())

        def _give_way(self) -> None:
            is_silent = self.cycle is None or self.cycle.response_complete
            self._refuse(_TOO_MANY if is_silent else b"", "address")

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            self._place.leave()
            self._let_go()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._let_go()
            self._unread = self.transport.get_write_buffer_size()
            if not connections.hold(self._address, self._unread):
                metrics.CONNECTIONS_REFUSED.labels("unread").inc()
                self.transport.abort()

        def resume_writing(self) -> None:
            super().resume_writing()
            self._let_go()

        def _let_go(self) -> None:
            if self._unread:
                connections.let_go(self._address, self._unread)
                self._unread = 0

        def data_received(self, data: bytes) -> None:
            """Parse it in slices: a refusal in one spares the event loop the others."""
            for part in _slices(data, _SLICE):
                if self._refused or self._upgraded or self.transport.is_closing():
                    return
                self._take(part)

        def _take(self, data: bytes) -> None:
            in_headers, messages, body_bytes = self._in_headers, self._messages, self._body_bytes
            if in_headers:
                self._header_bytes += len(data)
                if self._late is None:  # behind an earlier request
                    self._wait_for_headers()
            super().data_received(data)
            self._upgraded = self._upgraded or bool(self.parser and self.parser.should_upgrade())
            if self._refused or self._upgraded:
                return
            if not in_headers and messages == self._messages:
                self._framing_bytes += len(data) - (self._body_bytes - body_bytes)
            if self._in_headers and self._header_bytes > MOST_HEADER_BYTES:
                self._refuse(_TOO_LONG, "headers")
            elif self._framing_bytes > MOST_HEADER_BYTES + _FRAMING_PER_BODY * self._body_bytes:
                self._refuse(_TOO_LONG, "framing")

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._messages += 1
            self._in_headers, self._header_bytes = True, 0
            self._body_bytes = self._framing_bytes = 0
            self._wait_for_headers()

        def on_header(self, name: bytes, value: bytes) -> None:
            if self._in_headers:
                super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self._in_headers = False
            self._stop_waiting()
            has_token = _has_token(self.url, self.headers)
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > MOST_HEADER_BYTES:
                self._refuse(_TOO_LONG, "headers")
            elif len(self.pipeline) >= _MOST_PIPELINED:
                self._refuse(b"", "pipelined")
            elif not has_token and (self._hurried or not connections.may_ask(self._address)):
                self._refuse(_TOO_MANY, "requests")
            if not self._refused:
                super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            self._body_bytes += len(body)
            if not self._refused:
                super().on_body(body)

        def on_message_complete(self) -> None:
            self._in_headers, self._header_bytes = True, 0
            if not self._refused:
                super().on_message_complete()

        def handle_websocket_upgrade(self) -> None:
            if not self._refused:
                self._upgraded = True  # the WebSocket protocol goes on with the place and leaves it
                self._stop_waiting()
                super().handle_websocket_upgrade()

        def _wait_for_headers(self) -> None:
            self._stop_waiting()
            within_s = min(connections.header_s, _HURRIED_HEADER_S) if self._hurried else connections.header_s
            self._late = self.loop.call_later(within_s, self._too_late)

        def _stop_waiting(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

        def _too_late(self) -> None:
            self._refused = True
            metrics.CONNECTIONS_REFUSED.labels("late").inc()
            self.transport.close()

        def _refuse(self, answer: bytes, reason: str) -> None:
            if not self._refused:
                metrics.CONNECTIONS_REFUSED.labels(reason).inc()
                self.transport.write(answer)
            self._refused = True
            self._stop_waiting()
            self.transport.close()

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
            for part in _slices(data, _FRAMES_SLICE):
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

    return LimitedHttp, LimitedWebSocket


def _has_token(url: bytes, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a request claims a token; requests with a valid one are limited by user."""
    return (
        any(name in _TOKEN_HEADERS for name, _ in headers) or url in _REFRESHES or b"token=" in url.partition(b"?")[2]
    )


def _slices(data: bytes, size: int) -> Iterator[bytes]:
    if len(data) <= size:
        yield data
        return
    for start in range(0, len(data), size):
        yield data[start : start + size]


def _address_of(transport: asyncio.BaseTransport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""
