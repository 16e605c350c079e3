"""Counts connections, requests without a token and unread bytes by address, and says which are too many."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network

from kaiser_gateway.domain.limits import Limiter, source_of
from kaiser_gateway.domain.places import Places

PLACE = "place"
"""The name of a connection's place in the state of its requests."""

_BEGUN_PER_S, _BEGUN_AT_ONCE = 50.0, 500.0
_ASKED_PER_S, _ASKED_AT_ONCE = 200.0, 1000.0
"""Of an address with up to 500 connections; where the setting allows more, these grow with it."""
_MOST_UNREAD, _MOST_UNREAD_OF_ALL = 32 * 1024 * 1024, 128 * 1024 * 1024
"""Bytes of answers that an address, and all together, leave unread."""


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


def slices(data: bytes, size: int) -> Iterator[bytes]:
    """Received bytes in slices: a refusal in one spares the event loop the others."""
    if len(data) <= size:
        yield data
        return
    for start in range(0, len(data), size):
        yield data[start : start + size]
