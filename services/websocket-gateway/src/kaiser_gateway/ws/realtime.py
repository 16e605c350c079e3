"""The WebSocket endpoint /api/v1/ws/realtime/{client_id}: accepts clients, and closes others with a code.

With KAISER_COMPAT the same at /compat/v1, in the words of AutomationOne's frontend.
"""

import time
from typing import Any

from fastapi import APIRouter, WebSocket

from kaiser_gateway.domain.conflation import Outlet
from kaiser_gateway.http.auth import Guard
from kaiser_gateway.http.limited_websocket import WRITE_NOW
from kaiser_gateway.settings import GatewaySettings
from kaiser_gateway.ws.admission import LONGEST_ID, SentAway, accept, identity_of, rate_of, refuse
from kaiser_gateway.ws.client import Client, Write
from kaiser_gateway.ws.conversation import Conversation
from kaiser_gateway.ws.hub import Hub
from kaiser_gateway.ws.old_words import translated
from kaiser_gateway.ws.replay import Replays


def router(hub: Hub, replays: Replays, guard: Guard, settings: GatewaySettings) -> APIRouter:
    """The route."""
    routes = APIRouter()

    async def talk(websocket: WebSocket, client_id: str, write: Write = lambda *_: False) -> None:
        token = await accept(websocket)
        try:
            identity = await identity_of(guard, token)
            rate = rate_of(websocket.query_params.get("rate"), settings)
            _admit(hub, (identity.user, client_id), settings)
        except SentAway as refusal:
            await refuse(websocket, refusal)
            return

        async def send(frame: bytes) -> None:
            await websocket.send({"type": "websocket.send", "text": frame.decode()})

        outlet = Outlet(rate, settings.ws_client_bytes, time.monotonic())
        client = Client(client_id, identity, outlet, send, write)
        await Conversation(hub, replays, websocket, client, settings.ws_messages).run()

    @routes.websocket("/api/v1/ws/realtime/{client_id}")
    async def realtime(websocket: WebSocket, client_id: str) -> None:
        extensions: dict[str, Any] = websocket.scope.get("extensions", {})
        write: Write | None = extensions.get(WRITE_NOW)
        await (talk(websocket, client_id) if write is None else talk(websocket, client_id, write))

    if settings.compat:

        @routes.websocket("/compat/v1/ws/realtime/{client_id}")
        async def realtime_in_old_words(websocket: WebSocket, client_id: str) -> None:
            await talk(translated(websocket), client_id)

    return routes


def _admit(hub: Hub, key: tuple[str, str], settings: GatewaySettings) -> None:
    user, client_id = key
    if hub.draining:
        raise SentAway(1001, "the server is going away")
    if len(client_id) > LONGEST_ID:
        raise SentAway(4400, f"client_id is longer than {LONGEST_ID} characters")
    if len(hub) >= settings.ws_max_clients:
        raise SentAway(1013, "too many clients, try again later")
    if hub.clients_of(user, except_for=client_id) >= settings.ws_per_user:
        raise SentAway(1013, f"a user may have {settings.ws_per_user} sockets, close one first")
