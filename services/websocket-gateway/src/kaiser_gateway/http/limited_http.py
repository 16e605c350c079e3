"""uvicorn's HTTP protocol with limits that apply before a request is read (docs/decisions/0803).

They bound how many connections an address may have without a token, how long and how large headers may be, and how
many bytes of framing and unread answers a client may cause. uvicorn has none of these; its protocol class is extended
by its documented callbacks.
"""

import asyncio
import time
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kaiser_gateway import metrics
from kaiser_gateway.domain.places import GRACE_S
from kaiser_gateway.http.connections import PLACE, Connections, slices

_MOST_HEADER_BYTES = 65_536
_SLICE = 16_384
_MOST_PIPELINED = 8
_FRAMING_PER_BODY = 8
"""A body in chunks of one byte has six bytes of framing for each."""
_HURRIED_HEADER_S = 2.0
"""How long the headers of a connection may take whose address began too many of late."""
_REFRESHES = frozenset({b"/api/v1/auth/refresh", b"/api/v1/auth/oidc/refresh"})
"""Their tokens are in their bodies."""
_TOKEN_HEADERS = frozenset({b"authorization", b"sec-websocket-protocol"})
_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_MANY = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 5\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def limited_http(connections: Connections) -> type[asyncio.Protocol]:
    """uvicorn's protocol for HTTP with these limits. uvicorn takes a class: it makes an object for each connection."""
    return type("LimitedHttp", (LimitedHttp,), {"counted": connections})


class LimitedHttp(HttpToolsProtocol):
    """A connection that sends no whole headers in time is closed; headers over 64 KiB are 431. Trailers are not
    kept. An address that asks too often without a token: 429, closed; one that begins too many connections: only
    requests with a token are answered on them. More than 8 requests that wait behind the one being answered, far
    more framing than body, or an answer that is not read where too much is unread already: closed.
    `Admission` notes at the place of a connection whose token it has presented."""

    counted: ClassVar[Connections]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._address = _address_of(transport)
        self._source = self.counted.source(self._address)
        self._hurried = not self.counted.may_begin(self._address)
        self._refused = False
        self._upgraded = False
        """Its further bytes are not requests: they belong to a WebSocket, or to a protocol that is not supported."""
        self._in_headers, self._header_bytes = True, 0
        self._messages = self._body_bytes = self._framing_bytes = 0
        self._unread = 0
        self._late: asyncio.TimerHandle | None = None
        self._place = self.counted.places.enter(self._source, self._give_way, time.monotonic())
        self.app_state = {**self.app_state, PLACE: self._place}
        if self.counted.places.is_over(self._source):
            self.loop.call_later(GRACE_S, self._trim)
        self._wait_for_headers()

    def _trim(self) -> None:
        self.counted.places.trim(self._source, time.monotonic())

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
        if not self.counted.hold(self._address, self._unread):
            metrics.CONNECTIONS_REFUSED.labels("unread").inc()
            self.transport.abort()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._let_go()

    def _let_go(self) -> None:
        if self._unread:
            self.counted.let_go(self._address, self._unread)
            self._unread = 0

    def data_received(self, data: bytes) -> None:
        for part in slices(data, _SLICE):
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
        if self._in_headers and self._header_bytes > _MOST_HEADER_BYTES:
            self._refuse(_TOO_LONG, "headers")
        elif self._framing_bytes > _MOST_HEADER_BYTES + _FRAMING_PER_BODY * self._body_bytes:
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
        if size > _MOST_HEADER_BYTES:
            self._refuse(_TOO_LONG, "headers")
        elif len(self.pipeline) >= _MOST_PIPELINED:
            self._refuse(b"", "pipelined")
        elif not has_token and (self._hurried or not self.counted.may_ask(self._address)):
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
        within_s = min(self.counted.header_s, _HURRIED_HEADER_S) if self._hurried else self.counted.header_s
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


def _has_token(url: bytes, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a request claims a token; requests with a valid one are limited by user."""
    return (
        any(name in _TOKEN_HEADERS for name, _ in headers) or url in _REFRESHES or b"token=" in url.partition(b"?")[2]
    )


def _address_of(transport: asyncio.BaseTransport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""
