"""The OpenID Connect issuer's keys: found by discovery, kept, fetched again when a token names a new one."""

import asyncio
import time
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import structlog

from kaiser_gateway import metrics
from kaiser_gateway.domain import oidc
from kaiser_gateway.domain.oidc import Terms
from kaiser_gateway.domain.tokens import Identity, TokenRefused
from kaiser_gateway.http.discovery import FAILED, TIMEOUT_S, ask, describe, http_client, reached_at

log = structlog.get_logger()

_FRESH_S = 300.0
"""Keys are fetched again once a token comes after this time, so that a key that the issuer has withdrawn is refused."""
_STALE_S = 86_400.0
"""So long keys are used while the issuer does not answer."""
_PAUSE_S = 5.0
"""Between two fetches at least: tokens with made-up key ids must not become requests to the issuer."""


class IssuerUnreachable(Exception):
    """The issuer's keys are not known and cannot be fetched now."""


class Issuer:
    """Verifies tokens of one issuer. Issuer away: the keys that are known serve for a day; then IssuerUnreachable.

    A token whose key is known waits for nothing: a stop must not wait for an issuer that hangs. What is old is fetched
    beside it, one fetch at a time, each at most 6 s.
    """

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._keys: list[dict[str, Any]] = []
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._lock = asyncio.Lock()
        self._beside: asyncio.Task[None] | None = None
        if urlsplit(terms.issuer).scheme != "https":
            log.warning("issuer_without_tls", issuer=terms.issuer)

    async def verify(self, token: str) -> Identity:
        """The user of a token. Raises TokenRefused, NotAllowed or IssuerUnreachable."""
        return oidc.read(token, await self._key_of(token), self.terms, time.time())

    async def claims_of(self, token: str, audience: str) -> dict[str, Any]:
        """The verified claims of a token for an audience. Raises TokenRefused or IssuerUnreachable."""
        terms = replace(self.terms, audience=audience)
        return oidc.claims_of(token, await self._key_of(token), terms, time.time())

    async def aclose(self) -> None:
        """End a fetch that is under way beside the requests."""
        if self._beside is not None:
            self._beside.cancel()
            await asyncio.wait([self._beside])

    async def _key_of(self, token: str) -> dict[str, Any]:
        key = oidc.key_of(token, self._keys)
        age_s = self._age_s()
        if key is None or age_s > _STALE_S:
            await self._refresh()
            key = oidc.key_of(token, self._keys)
            if self._age_s() > _STALE_S:
                raise IssuerUnreachable(f"{self.terms.issuer} has not given its keys")
        elif age_s > _FRESH_S and not self._is_paused and (self._beside is None or self._beside.done()):
            self._beside = asyncio.create_task(self._refresh(), name="issuer-keys")
        if key is None:
            raise TokenRefused("the token names no key of the issuer")
        return key

    @property
    def _is_paused(self) -> bool:
        return self._tried_at is not None and time.monotonic() - self._tried_at < _PAUSE_S

    def _age_s(self) -> float:
        return float("inf") if self._fetched_at is None else time.monotonic() - self._fetched_at

    async def _refresh(self) -> None:
        async with self._lock:
            if self._is_paused:
                return
            try:
                async with asyncio.timeout(2 * TIMEOUT_S):
                    self._keys = await _fetch_keys(self.terms)
            except FAILED as error:
                metrics.ISSUER_FETCHES.labels("failed").inc()
                log.warning("issuer_unreachable", issuer=self.terms.issuer, error=str(error) or type(error).__name__)
            else:
                self._fetched_at = time.monotonic()
                metrics.ISSUER_FETCHES.labels("ok").inc()
                log.info("issuer_keys_read", issuer=self.terms.issuer, keys=len(self._keys))
            finally:
                self._tried_at = time.monotonic()  # its end: requests that waited do not ask again


async def _fetch_keys(terms: Terms) -> list[dict[str, Any]]:
    """The issuer's keys. Raises ValueError where an answer is not what it must be."""
    async with http_client() as client:
        url = terms.jwks_url or reached_at(terms, str((await describe(client, terms)).get("jwks_uri")))
        keys = (await ask(client, "GET", url)).get("keys")
    if not isinstance(keys, list):
        raise ValueError("the issuer's key set has no keys")
    return [key for key in keys if isinstance(key, dict)]
