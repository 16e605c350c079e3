"""The WebSocket endpoint: /api/v1/ws/realtime/{client_id}."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from kaiser_common.bus import Bus
from kaiser_common.errors import Code
from nats.errors import Error as NatsError

from kaiser_gateway import messages
from kaiser_gateway.client import Client
from kaiser_gateway.conflation import Outlet
from kaiser_gateway.filters import Filters
from kaiser_gateway.frames import answer
from kaiser_gateway.hub import Hub
from kaiser_gateway.replay import resume
from kaiser_gateway.settings import GatewaySettings
from kaiser_gateway.tokens import Identity, TokenRefused

log = structlog.get_logger()

_BAD_MESSAGES = 3
_CLOSE_WITHIN_S = 2.0

Verify = Callable[[str], Identity]


def router(bus: Bus, hub: Hub, verify: Verify, settings: GatewaySettings) -> APIRouter:
    """The route; `verify` reads a token or raises TokenRefused."""
    routes = APIRouter()

    @routes.websocket("/api/v1/ws/realtime/{client_id}")
    async def realtime(websocket: WebSocket, client_id: str, rate: float | None = None) -> None:
        subprotocols = websocket.scope.get("subprotocols", [])
        by_subprotocol = len(subprotocols) == 2 and subprotocols[0] == "bearer"
        token = subprotocols[1] if by_subprotocol else websocket.query_params.get("token", "")
        await websocket.accept(subprotocol="bearer" if by_subprotocol else None)
        try:
            identity = verify(token)
        except TokenRefused as error:
            await websocket.close(4001, str(error)[:120])
            return
        if hub.draining:
            await websocket.close(1001, "the server is going away")
            return

        async def send(frame: bytes) -> None:
            await websocket.send({"type": "websocket.send", "text": frame.decode()})

        wanted = min(rate if rate and rate > 0 else settings.ws_rate, settings.ws_max_rate)
        outlet = Outlet(wanted, settings.ws_client_bytes, time.monotonic())
        await _Conversation(bus, hub, websocket, Client(client_id, identity, outlet, send)).run()

    return routes


class _Conversation:
    """Runs one client until it leaves or is closed."""

    def __init__(self, bus: Bus, hub: Hub, websocket: WebSocket, client: Client) -> None:
        self._bus = bus
        self._hub = hub
        self._websocket = websocket
        self._client = client
        self._bad = 0

    async def run(self) -> None:
        self._hub.add(self._client)
        loops: list[asyncio.Future[Any]] = [
            asyncio.create_task(self._client.send_events(), name="ws-send"),
            asyncio.create_task(self._listen(), name="ws-listen"),
        ]
        try:
            await asyncio.wait([*loops, self._client.closed], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.remove(self._client)
            for loop in loops:
                loop.cancel()
            results = await asyncio.gather(*loops, return_exceptions=True)
        if self._client.closed.done():
            await self._close(*self._client.closed.result())
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect | RuntimeError | OSError):
                raise result

    async def _listen(self) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
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
                try:
                    await resume(self._bus, self._hub, self._client, after)
                except (NatsError, TimeoutError):
                    await self._complain(Code.OPERATION_TIMEOUT, "kept events cannot be read now, ask again")

    async def _set_filters(self, filters: Filters | None) -> None:
        self._hub.set_filters(self._client, filters)
        in_force = None if filters is None else filters.model_dump()
        await self._client.answer(answer("subscribed", time.time(), {"filters": in_force}))

    async def _complain(self, code: Code, message: str) -> None:
        await self._client.answer(answer("error", time.time(), {"code": int(code), "message": message}))

    async def _close(self, code: int, reason: str) -> None:
        try:
            await asyncio.wait_for(self._websocket.close(code, reason[:120]), _CLOSE_WITHIN_S)
        except (TimeoutError, RuntimeError, OSError, WebSocketDisconnect):
            log.debug("client_gone_before_close", code=code)
