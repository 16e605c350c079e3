"""The OpenID Connect issuer's keys: found by discovery, kept, fetched again when a token names a new one."""

import asyncio
import json
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import structlog
from kaiser_common import __version__

from kaiser_gateway import metrics
from kaiser_gateway.domain import oidc
from kaiser_gateway.domain.oidc import Terms
from kaiser_gateway.domain.tokens import Identity, TokenRefused

log = structlog.get_logger()

_FETCH_TIMEOUT_S = 3.0
_USER_AGENT = f"Kaiser/{__version__}"
"""Some web firewalls refuse the default names of HTTP libraries."""
_MOST_BYTES = 1_000_000
_FRESH_S = 300.0
"""Keys are fetched again after this time, so that a key that the issuer has withdrawn is refused."""
_STALE_S = 86_400.0
"""So long keys are used while the issuer does not answer."""
_PAUSE_S = 5.0
"""Least time between two fetches: tokens with made-up key ids must not become requests to the issuer."""


class IssuerUnreachable(Exception):
    """The issuer's keys are not known and cannot be fetched now."""


class Issuer:
    """Verifies tokens of one issuer. Issuer away: the keys that are known serve for a day; then IssuerUnreachable."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._keys: list[dict[str, Any]] = []
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._lock = asyncio.Lock()
        if urlsplit(terms.issuer).scheme != "https":
            log.warning("issuer_without_tls", issuer=terms.issuer)

    async def verify(self, token: str) -> Identity:
        """The user of a token. Raises TokenRefused, NotAllowed or IssuerUnreachable."""
        key = oidc.key_of(token, self._keys)
        if key is None or self._age_s() > _FRESH_S:
            await self._refresh()
            key = oidc.key_of(token, self._keys)
        if self._age_s() > _STALE_S:
            raise IssuerUnreachable(f"{self.terms.issuer} has not given its keys")
        if key is None:
            raise TokenRefused("the token names no key of the issuer")
        return oidc.read(token, key, self.terms, time.time())

    def _age_s(self) -> float:
        return float("inf") if self._fetched_at is None else time.monotonic() - self._fetched_at

    async def _refresh(self) -> None:
        async with self._lock:
            if self._tried_at is not None and time.monotonic() - self._tried_at < _PAUSE_S:
                return
            self._tried_at = time.monotonic()
            try:
                async with asyncio.timeout(2 * _FETCH_TIMEOUT_S):
                    self._keys = await _fetch_keys(self.terms)
            except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, TimeoutError) as error:
                metrics.ISSUER_FETCHES.labels("failed").inc()
                log.warning("issuer_unreachable", issuer=self.terms.issuer, error=str(error) or type(error).__name__)
            else:
                self._fetched_at = time.monotonic()
                metrics.ISSUER_FETCHES.labels("ok").inc()
                log.info("issuer_keys_read", issuer=self.terms.issuer, keys=len(self._keys))


async def _fetch_keys(terms: Terms) -> list[dict[str, Any]]:
    """The issuer's keys by OpenID Connect Discovery 1.0. Raises ValueError where an answer is not what it must be."""
    headers = {"User-Agent": _USER_AGENT, "Accept": "application/json"}
    async with httpx.AsyncClient(
        headers=headers, timeout=_FETCH_TIMEOUT_S, verify=ssl.create_default_context(), follow_redirects=True
    ) as client:
        keys = (await _get(client, terms.jwks_url or await _key_set_url(client, terms))).get("keys")
    if not isinstance(keys, list):
        raise ValueError("the issuer's key set has no keys")
    return [key for key in keys if isinstance(key, dict)]


async def _key_set_url(client: httpx.AsyncClient, terms: Terms) -> str:
    """The key set's address from the discovery document; below the inner address if it is below the public one."""
    public, inner = terms.issuer.rstrip("/"), (terms.inner_url or terms.issuer).rstrip("/")
    described = await _get(client, f"{inner}/.well-known/openid-configuration")
    named = described.get("issuer")
    if not (terms.is_issuer(named) or (terms.inner_url and str(named).rstrip("/") == inner)):
        raise ValueError(
            f"the issuer calls itself {str(named)[:200]!r}, KAISER_OIDC_ISSUER is {terms.issuer!r}:"
            " set it to that name, and KAISER_OIDC_INNER_URL to the address at which the gateway reaches it"
        )
    url = str(described.get("jwks_uri"))
    return f"{inner}{url.removeprefix(public)}" if url.startswith(f"{public}/") else url


async def _get(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    text = bytearray()
    async with client.stream("GET", url) as response:
        response.raise_for_status()
        async for part in response.aiter_bytes():
            text += part
            if len(text) > _MOST_BYTES:
                raise ValueError(f"{url} answers more than {_MOST_BYTES} bytes")
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"{url} does not answer with an object")
    return found
