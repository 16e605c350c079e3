"""Decides which addresses webhooks may reach.

A host is resolved, its addresses are checked, and the connection goes to the address that was checked. The transport
replaces the host with that address and passes the host name for TLS (`sni_hostname`), by httpx's public API alone.
Advocate, a library that does the same, is made for requests and unmaintained.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Sequence
from ipaddress import ip_address
from typing import Any

import httpx
from kaiser_common.contract.addresses import Address, Network, may_reach

Resolve = Callable[[str, int], Coroutine[Any, Any, Sequence[Address]]]

_MOST_TRIED = 3


class Forbidden(httpx.RequestError):
    """The text names the host and the address that a webhook may not reach."""


async def resolve(host: str, port: int) -> list[Address]:
    """The addresses of a host, in the order to try. OSError: it has none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


class CheckedTransport(httpx.AsyncBaseTransport):
    """Connects to public addresses, to those of `networks`, and to whatever the hosts of `hosts` resolve to."""

    def __init__(
        self,
        hosts: Sequence[str],
        networks: Sequence[Network],
        resolve: Resolve = resolve,
        inner: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._hosts = frozenset(hosts)
        self._networks = tuple(networks)
        self._resolve = resolve
        # A kept connection would be found again by its address, whichever host its certificate was checked for.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._inner = inner or httpx.AsyncHTTPTransport(trust_env=False, limits=limits)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to an address that was checked. Forbidden: none of the host's may be reached."""
        host = request.url.host
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        try:
            addresses = await self._resolve(host, port)
        except OSError as error:
            raise httpx.ConnectError(f"{host} cannot be resolved: {error.strerror}", request=request) from error
        allowed = [address for address in addresses if self._is_allowed(host, address)]
        if not allowed:
            shown = ", ".join(map(str, addresses)) or "no address"
            raise Forbidden(f"webhooks may not reach {host} ({shown}): it is not public", request=request)
        for number, address in enumerate(allowed[:_MOST_TRIED], 1):
            try:
                return await self._inner.handle_async_request(_to(address, request))
            except httpx.ConnectError:
                if number == min(len(allowed), _MOST_TRIED):
                    raise
        raise AssertionError("the last try returns or raises")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()

    def _is_allowed(self, host: str, address: Address) -> bool:
        return host in self._hosts or may_reach(address, self._networks)


def _to(address: Address, request: httpx.Request) -> httpx.Request:
    """The request for this address; its Host header and the name that the certificate must have stay the host's."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=str(address)),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.host},
    )
