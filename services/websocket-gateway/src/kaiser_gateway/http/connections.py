"""Limits of a connection before there is a request: how many from an address, how late and how long headers may be.

uvicorn has none of these (docs/decisions/0803); its two protocol classes are extended by their documented callbacks.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from kaiser_gateway import metrics

MOST_HEADER_BYTES = 65_536

_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_MANY = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 5\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Connections:
    """Counts connections by address, HTTP and WebSocket together; trusted proxies are counted as nobody."""

    def __init__(self, most_per_address: int, proxies: Sequence[str], header_s: float) -> None:
        self._most = most_per_address
        self._proxies = [ip_network(proxy) for proxy in proxies]
        self._open: Counter[str] = Counter()
        self.header_s = header_s

    def enter(self, address: str) -> bool:
        """Count a connection in; False when the address has as many as it may."""
        if self._is_proxy(address):
            return True
        if self._open[address] >= self._most:
            return False
        self._open[address] += 1
        return True

    def leave(self, address: str) -> None:
        """Count out what was counted in."""
        if address not in self._open:
            return
        self._open[address] -= 1
        if self._open[address] <= 0:
            del self._open[address]

    def count(self, address: str) -> int:
        """Connections open from an address."""
        return self._open.get(address, 0)

    def _is_proxy(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._proxies)


def protocols(connections: Connections) -> tuple[type[asyncio.Protocol], type[asyncio.Protocol]]:
    """uvicorn's protocols for HTTP and WebSocket with these limits."""

    class LimitedHttp(HttpToolsProtocol):
        """A connection that sends no whole headers in time is closed; headers over 64 KiB are 431."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._address = _address_of(transport)
            self._counted = connections.enter(self._address)
            self._refused = not self._counted
            self._in_headers, self._header_bytes = True, 0
            self._late: asyncio.TimerHandle | None = None
            if self._refused:
                self._refuse(_TOO_MANY, "address")
            else:
                self._wait_for_headers()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            self.leave()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._refused:
                return
            if self._in_headers:
                self._header_bytes += len(data)
            super().data_received(data)
            if self._in_headers and self._header_bytes > MOST_HEADER_BYTES and not self._refused:
                self._refuse(_TOO_LONG, "headers")

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._in_headers, self._header_bytes = True, 0
            self._wait_for_headers()

        def on_headers_complete(self) -> None:
            self._in_headers = False
            self._stop_waiting()
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > MOST_HEADER_BYTES:
                self._refuse(_TOO_LONG, "headers")
            if not self._refused:
                super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            if not self._refused:
                super().on_body(body)

        def on_message_complete(self) -> None:
            if not self._refused:
                super().on_message_complete()

        def handle_websocket_upgrade(self) -> None:
            if not self._refused:
                self._counted = False  # the WebSocket protocol goes on with the place and leaves it
                super().handle_websocket_upgrade()

        def leave(self) -> None:
            if self._counted:
                self._counted = False
                connections.leave(self._address)

        def _wait_for_headers(self) -> None:
            self._stop_waiting()
            self._late = self.loop.call_later(connections.header_s, self._too_late)

        def _stop_waiting(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

        def _too_late(self) -> None:
            self._refused = True
            metrics.CONNECTIONS_REFUSED.labels("late").inc()
            self.transport.close()

        def _refuse(self, answer: bytes, reason: str) -> None:
            self._refused = True
            metrics.CONNECTIONS_REFUSED.labels(reason).inc()
            self._stop_waiting()
            self.transport.write(answer)
            self.transport.close()

    class LimitedWebSocket(WebSocketsSansIOProtocol):
        """Leaves the place that its HTTP connection had taken."""

        def connection_made(self, transport: Any) -> None:
            self._address = _address_of(transport)
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.leave(self._address)
            super().connection_lost(exc)

    return LimitedHttp, LimitedWebSocket


def _address_of(transport: asyncio.BaseTransport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""
