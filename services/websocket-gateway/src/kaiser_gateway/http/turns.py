"""Answers at most 20 reads of one user at a time.

Each answer may be a page of 1 MB, which the bus and this process hold in memory. NATS disconnects a client for which 64
MiB are waiting: a hundred long lists at once would cost every user the connection to the bus.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from kaiser_common.contract.errors import Code
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from kaiser_gateway.domain.tokens import NotAllowed, TokenRefused
from kaiser_gateway.http.auth import Guard
from kaiser_gateway.http.issuer import IssuerUnreachable
from kaiser_gateway.http.problems import problem

MOST_AT_ONCE = 20
_PREFIX = "/api/"
"""Requests of other paths, as of /compat, ask for these: if they took a turn too, they would wait for themselves."""
_WAITS_S = 10.0


@dataclass(slots=True)
class _Queue:
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_AT_ONCE))
    requests: int = 0


class Turns:
    """An ASGI middleware. A user's GETs beyond 20 at once wait for their turn, 10 s at most, then they are 429. Those
    without a valid token pass: they are refused, or answered without the bus."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard
        self._queues: dict[str, _Queue] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_read = scope["type"] == "http" and scope["method"] == "GET" and scope["path"].startswith(_PREFIX)
        user = await self._user(scope) if is_read else ""
        if not user:
            await self._app(scope, receive, send)
            return
        async with self._turn(user) as has_turn:
            if has_turn:
                await self._app(scope, receive, send)
                return
        text = f"{MOST_AT_ONCE} of your requests are being answered: wait for their answers"
        refusal = problem(Request(scope), 429, Code.RATE_LIMIT_EXCEEDED, text, headers={"Retry-After": "1"})
        await refusal(scope, receive, send)

    async def _user(self, scope: Scope) -> str:
        """The name of the user who asks; empty without a valid token."""
        scheme, _, token = Request(scope).headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return ""
        try:
            identity = await self._guard.verify(token.strip())
        except (TokenRefused, NotAllowed, IssuerUnreachable):
            return ""
        return f"{identity.external} {identity.user}"

    @asynccontextmanager
    async def _turn(self, user: str) -> AsyncIterator[bool]:
        queue = self._queues.setdefault(user, _Queue())
        queue.requests += 1
        try:
            has_turn = await _within(queue.turns)
            try:
                yield has_turn
            finally:
                if has_turn:
                    queue.turns.release()
        finally:
            queue.requests -= 1
            if queue.requests == 0:
                del self._queues[user]


async def _within(turns: asyncio.Semaphore) -> bool:
    """Wait for a turn; whether it came."""
    try:
        async with asyncio.timeout(_WAITS_S):
            await turns.acquire()
    except TimeoutError:
        return False
    return True
