"""Requests to the OpenID Connect issuer: its discovery document, and answers of limited size and time."""

import json
import ssl
from collections.abc import Mapping
from typing import Any

import httpx
from kaiser_common import __version__

from kaiser_gateway.domain.oidc import Terms

TIMEOUT_S = 3.0
FAILED: tuple[type[Exception], ...] = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, TimeoutError)
"""Why an issuer cannot be asked: it is away, or answers what it must not."""
_USER_AGENT = f"Kaiser/{__version__}"
"""Some web firewalls refuse the default names of HTTP libraries."""
_MOST_BYTES = 1_000_000


def http_client() -> httpx.AsyncClient:
    """A client for the issuer; each step of a request has 3 s."""
    headers = {"User-Agent": _USER_AGENT, "Accept": "application/json"}
    return httpx.AsyncClient(
        headers=headers, timeout=TIMEOUT_S, verify=ssl.create_default_context(), follow_redirects=True
    )


async def describe(client: httpx.AsyncClient, terms: Terms) -> dict[str, Any]:
    """The discovery document (OpenID Connect Discovery 1.0). Raises ValueError where it is not this issuer's."""
    inner = (terms.inner_url or terms.issuer).rstrip("/")
    described = await ask(client, "GET", f"{inner}/.well-known/openid-configuration")
    named = described.get("issuer")
    if not (terms.is_issuer(named) or (terms.inner_url and str(named).rstrip("/") == inner)):
        raise ValueError(
            f"the issuer calls itself {str(named)[:200]!r}, KAISER_OIDC_ISSUER is {terms.issuer!r}:"
            " set it to that name, and KAISER_OIDC_INNER_URL to the address at which the gateway reaches it"
        )
    return described


def reached_at(terms: Terms, url: str) -> str:
    """Where the gateway reaches an address of the issuer: below the inner address if it is below the public one."""
    public, inner = terms.issuer.rstrip("/"), (terms.inner_url or terms.issuer).rstrip("/")
    return f"{inner}{url.removeprefix(public)}" if url.startswith(f"{public}/") else url


async def ask(client: httpx.AsyncClient, method: str, url: str, **more: Any) -> dict[str, Any]:
    """The object that an address answers. Raises ValueError or httpx.HTTPError."""
    status, answer = await exchange(client, method, url, **more)
    if status != httpx.codes.OK:
        raise ValueError(f"{url} answers with status {status}")
    return dict(answer)


async def exchange(client: httpx.AsyncClient, method: str, url: str, **more: Any) -> tuple[int, Mapping[str, Any]]:
    """The status and the object of an answer, of at most 1 MB."""
    text = bytearray()
    async with client.stream(method, url, **more) as response:
        async for part in response.aiter_bytes():
            text += part
            if len(text) > _MOST_BYTES:
                raise ValueError(f"{url} answers more than {_MOST_BYTES} bytes")
    found = json.loads(text) if text else {}
    if not isinstance(found, dict):
        raise ValueError(f"{url} does not answer with an object")
    return response.status_code, found
