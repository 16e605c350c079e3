"""POSTs notifications to webhooks, with retries, never in the way of a command."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import structlog
from kaiser_common.contract.addresses import Network
from pydantic import HttpUrl

from kaiser_logic import metrics
from kaiser_logic.publish.destinations import CheckedTransport, Forbidden

log = structlog.get_logger()

_AT_ONCE = 8
_MOST_WAITING = 100
_TRY_AGAIN_S = (1.0, 5.0)
_TRANSIENT = (408, 425, 429)


class Webhooks:
    """At most 8 run concurrently and 100 wait; further ones fail immediately. Redirects are not followed, answers not
    read.

    Killed: a webhook may be posted again by the next start, with the same Idempotency-Key.
    """

    def __init__(self, client: httpx.AsyncClient, hosts: Sequence[str], timeout_s: float) -> None:
        self._client = client
        self._hosts = frozenset(hosts)
        self._timeout_s = timeout_s
        self._free = asyncio.Semaphore(_AT_ONCE)
        self._count = 0

    @classmethod
    @asynccontextmanager
    async def open(
        cls, hosts: Sequence[str], timeout_s: float, networks: Sequence[Network] = ()
    ) -> AsyncIterator["Webhooks"]:
        """With a client of its own, which connects to checked addresses and uses no proxy of the environment."""
        transport = CheckedTransport(hosts, networks)
        async with httpx.AsyncClient(
            timeout=timeout_s, follow_redirects=False, trust_env=False, transport=transport
        ) as client:
            yield cls(client, hosts, timeout_s)

    async def post(self, url: HttpUrl, body: dict[str, Any], key: str) -> str | None:
        """Post in up to three tries; None when it was taken, else why not."""
        if self._hosts and url.host not in self._hosts:
            return self._ended("refused", f"webhooks to {url.host} are not allowed")
        if self._count >= _AT_ONCE + _MOST_WAITING:
            return self._ended("refused", f"{self._count} webhooks are running already")
        self._count += 1
        try:
            async with self._free:
                return await self._tries(url, body, key)
        finally:
            self._count -= 1

    async def _tries(self, url: HttpUrl, body: dict[str, Any], key: str) -> str | None:
        for wait_s in (*_TRY_AGAIN_S, None):
            try:
                status, reason = await self._try(url, body, key)
            except Forbidden as error:
                return self._ended("refused", str(error))
            if reason is None:
                return self._ended("taken", None)
            if wait_s is None or not (status is None or status >= 500 or status in _TRANSIENT):
                break
            await asyncio.sleep(wait_s)
        log.warning("webhook_failed", host=url.host, reason=reason)
        return self._ended("failed", f"webhook of {url.host}: {reason}")

    async def _try(self, url: HttpUrl, body: dict[str, Any], key: str) -> tuple[int | None, str | None]:
        """The answer's status, and what was wrong."""
        headers = {"Idempotency-Key": key}
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream("POST", str(url), json=body, headers=headers) as answer,
            ):
                status = answer.status_code
        except Forbidden:
            raise
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            return None, str(error) or type(error).__name__
        return status, None if 200 <= status < 300 else f"status {status}"

    @staticmethod
    def _ended(result: str, reason: str | None) -> str | None:
        metrics.WEBHOOKS.labels(result).inc()
        return reason
