"""The asyncio client; it does the same as `Kaiser`."""

import asyncio
import random
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import TypeVar

import httpx
from kaiser_common.contract.schemas.api.rejected import CauseReplay, RejectedCause, ReplayedCause
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from kaiser_client.call import USUAL_S, Call, Paged
from kaiser_client.calls import rejected
from kaiser_client.calls import sign_in as signing_in
from kaiser_client.exchange import answer_of, away, request_of, tls_of
from kaiser_client.problems import NotSignedIn, ServerAway
from kaiser_client.replaying import first_step, step_after
from kaiser_client.tokens import Tokens, tokens_of
from kaiser_client.watching import PING, SILENT_S, Watched, WatchFilters, WatchPlace, socket_url

AnswerT = TypeVar("AnswerT")
ItemT = TypeVar("ItemT")


class AsyncKaiser:
    """A server of Kaiser, for one event loop. Arguments as of `Kaiser`; `token` is a coroutine function."""

    def __init__(
        self,
        url: str,
        *,
        token: Callable[[], Awaitable[str]] | None = None,
        verify: ssl.SSLContext | bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._verify = verify
        self._http = httpx.AsyncClient(base_url=self.url, timeout=USUAL_S, verify=verify, transport=transport)

    async def __aenter__(self) -> "AsyncKaiser":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def sign_in(self, username: str, password: str) -> Tokens:
        """As `Kaiser.sign_in`."""
        tokens = tokens_of(await self.ask(signing_in.sign_in(username, password)), time.time())
        self._token = _Renewal(self, tokens)
        return tokens

    async def renew(self, tokens: Tokens) -> Tokens:
        """As `Kaiser.renew`."""
        return tokens_of(await self.ask(signing_in.refresh_sign_in(tokens.refresh_token)), time.time())

    async def ask(self, call: Call[AnswerT]) -> AnswerT:
        """As `Kaiser.ask`."""
        token = await self._token() if self._token is not None and not call.is_open else ""
        try:
            response = await self._http.send(request_of(self._http, call, token))
        except httpx.TransportError as error:
            raise away(self.url, error) from error
        return answer_of(call, response)

    async def each(self, call: Call[Paged[ItemT]]) -> AsyncIterator[ItemT]:
        """As `Kaiser.each`."""
        page = await self.ask(call)
        for item in page.items:
            yield item
        while page.next_cursor is not None:
            page = await self.ask(call.page(page.next_cursor))
            for item in page.items:
                yield item

    async def replay(self, cause: RejectedCause) -> AsyncIterator[ReplayedCause]:
        """As `Kaiser.replay`."""
        step: CauseReplay | None = first_step(cause)
        while step is not None:
            done = await self.ask(rejected.replay_cause(step))
            yield done
            step = step_after(step, done)

    async def watch(
        self, filters: WatchFilters, *, after: int = 0, rate: float | None = None
    ) -> AsyncIterator[Watched]:
        """As `Kaiser.watch`."""
        place = WatchPlace(filters, after)
        client_id = secrets.token_hex(8)
        while True:
            if self._token is None:
                raise NotSignedIn(401, "sign in first")
            try:
                async for event in self._follow(place, socket_url(self.url, client_id, rate), await self._token()):
                    yield event
            except ConnectionClosed as closed:
                code, reason = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")
                pause_s = place.closed(code, reason)
            except (ServerAway, OSError, WebSocketException, TimeoutError):
                pause_s = place.closed(1006, "")
            await asyncio.sleep(pause_s * (0.5 + random.random()))

    async def _follow(self, place: WatchPlace, url: str, token: str) -> AsyncIterator[Watched]:
        """One connection's events, until it closes. TimeoutError: the server does not answer any more."""
        subprotocols = [Subprotocol("bearer"), Subprotocol(token)]
        context = tls_of(url, self._verify)
        async with connect(url, subprotocols=subprotocols, ssl=context, open_timeout=USUAL_S) as socket:
            for message in place.opening():
                await socket.send(message)
            asked = False
            while True:
                try:
                    async with asyncio.timeout(SILENT_S):
                        text = await socket.recv()
                except TimeoutError:
                    if asked:
                        raise
                    await socket.send(PING)
                    asked = True
                    continue
                asked = False
                event = place.take(text)
                if event is not None:
                    yield event


class _Renewal:
    """Access tokens of one sign-in; the first caller renews them, and the others wait for it."""

    def __init__(self, kaiser: AsyncKaiser, tokens: Tokens) -> None:
        self._kaiser = kaiser
        self._tokens = tokens
        self._lock = asyncio.Lock()

    async def __call__(self) -> str:
        async with self._lock:
            if self._tokens.are_due(time.time()):
                self._tokens = await self._kaiser.renew(self._tokens)
            return self._tokens.access_token
