"""The conversation with one client: its messages are carried out, events are sent, and a replay runs beside both."""

import asyncio
import time
from typing import Any

import structlog
from fastapi import WebSocket, WebSocketDisconnect
from kaiser_common.contract.errors import Code

from kaiser_gateway.domain import messages
from kaiser_gateway.domain.filters import Filters
from kaiser_gateway.domain.frames import answer
from kaiser_gateway.domain.limits import TokenBucket
from kaiser_gateway.ws.client import Client
from kaiser_gateway.ws.hub import Hub
from kaiser_gateway.ws.replay import ReplayFailed, Replays

log = structlog.get_logger()

_BAD_MESSAGES = 3
_CLOSE_WITHIN_S = 2.0


class Conversation:
    """Runs one client until it leaves or is closed."""

    def __init__(self, hub: Hub, replays: Replays, websocket: WebSocket, client: Client, messages_per_s: float) -> None:
        self._messages_per_s = messages_per_s
        self._hub = hub
        self._replays = replays
        self._websocket = websocket
        self._client = client
        self._replay: asyncio.Task[None] | None = None
        self._bad = 0

    async def run(self) -> None:
        """Let the client in, then send and listen."""
        self._hub.add(self._client)
        loops: list[asyncio.Future[Any]] = [
            asyncio.create_task(self._client.send_events(), name="ws-send"),
            asyncio.create_task(self._listen(), name="ws-listen"),
        ]
        try:
            await asyncio.wait([*loops, self._client.closed], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.remove(self._client)
            if self._replay is not None:
                loops.append(self._replay)
            for loop in loops:
                loop.cancel()
            results = await asyncio.gather(*loops, return_exceptions=True)
        if self._client.closed.done():
            await self._close(*self._client.closed.result())
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect | RuntimeError | OSError):
                raise result

    async def _listen(self) -> None:
        allowed = TokenBucket.full(self._messages_per_s, time.monotonic(), 2 * self._messages_per_s)
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            await self._slow_down(allowed)
            try:
                action = messages.parse(message.get("text") or "")
            except messages.BadMessage as error:
                await self._complain(Code.FIELD_TYPE_MISMATCH, str(error))
                self._bad += 1
                if self._bad >= _BAD_MESSAGES:
                    self._client.close(messages.BAD_MESSAGE_CODE, "three bad messages")
                    return
            else:
                await self._act(action)

    async def _slow_down(self, allowed: TokenBucket) -> None:
        """Above its rate a client's messages are read more slowly: until then the socket is not read, and fills up."""
        await asyncio.sleep(allowed.reserve(time.monotonic()))

    async def _act(self, action: messages.Action) -> None:
        match action:
            case messages.Ping():
                await self._client.answer(answer("pong", time.time()))
            case messages.Subscribe(filters=filters):
                await self._set_filters(filters)
            case messages.Unsubscribe(filters=filters):
                current = self._client.filters
                await self._set_filters(None if filters is None or current is None else current.without(filters))
            case messages.Resume(after=after):
                await self._begin_replay(after)

    async def _set_filters(self, filters: Filters | None) -> None:
        if filters != self._client.filters:
            self._hub.set_filters(self._client, filters)
        in_force = None if filters is None else filters.model_dump()
        await self._client.answer(answer("subscribed", time.time(), {"filters": in_force}))

    async def _begin_replay(self, after: int) -> None:
        """Replay beside the listening, so that pings are answered; a later resume takes the place of an earlier."""
        if self._replay is not None:
            self._replay.cancel()
            await asyncio.wait([self._replay])
        self._replay = asyncio.create_task(self._run_replay(after), name="ws-replay")

    async def _run_replay(self, after: int) -> None:
        try:
            await self._replays.run(self._client, after)
        except ReplayFailed as error:
            log.warning("replay_failed", reason=str(error))
            await self._complain(Code.OPERATION_TIMEOUT, f"{error}: connect again and resume")
            self._client.close(1013, "kept events cannot be read now, connect again later")
        except (WebSocketDisconnect, RuntimeError, OSError):
            return  # the client has gone, which the listening finds too

    async def _complain(self, code: Code, message: str) -> None:
        await self._client.answer(answer("error", time.time(), {"code": int(code), "message": message}))

    async def _close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(_CLOSE_WITHIN_S):
                await self._websocket.close(code, reason[:120])
        except (TimeoutError, RuntimeError, OSError, WebSocketDisconnect):
            log.debug("client_gone_before_close", code=code)
