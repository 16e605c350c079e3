"""The WebSocket endpoint /api/v1/ws/realtime/{client_id}: who is let in, and who is sent away with which code."""

import math
import time

from fastapi import APIRouter, WebSocket

from kaiser_gateway.domain.conflation import Outlet
from kaiser_gateway.domain.tokens import Identity, NotAllowed, TokenRefused
from kaiser_gateway.http.auth import Guard
from kaiser_gateway.http.issuer import IssuerUnreachable
from kaiser_gateway.settings import GatewaySettings
from kaiser_gateway.ws.client import Client
from kaiser_gateway.ws.conversation import Conversation
from kaiser_gateway.ws.hub import Hub
from kaiser_gateway.ws.replay import Replays

_LONGEST_ID = 128


class _SentAway(Exception):
    """The connection is to be closed."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def router(hub: Hub, replays: Replays, guard: Guard, settings: GatewaySettings) -> APIRouter:
    """The route. A browser sees no status of a refused handshake, so all are accepted first and closed with a code."""
    routes = APIRouter()

    @routes.websocket("/api/v1/ws/realtime/{client_id}")
    async def realtime(websocket: WebSocket, client_id: str) -> None:
        subprotocols = websocket.scope.get("subprotocols", [])
        by_subprotocol = len(subprotocols) == 2 and subprotocols[0] == "bearer"
        token = subprotocols[1] if by_subprotocol else websocket.query_params.get("token", "")
        await websocket.accept(subprotocol="bearer" if by_subprotocol else None)
        try:
            identity = await _identity(guard, token)
            rate = _rate(websocket.query_params.get("rate"), settings)
            _admit(hub, (identity.user, client_id), settings)
        except _SentAway as refusal:
            await websocket.close(refusal.code, str(refusal)[:120])
            return

        async def send(frame: bytes) -> None:
            await websocket.send({"type": "websocket.send", "text": frame.decode()})

        outlet = Outlet(rate, settings.ws_client_bytes, time.monotonic())
        client = Client(client_id, identity, outlet, send)
        await Conversation(hub, replays, websocket, client, settings.ws_messages).run()

    return routes


async def _identity(guard: Guard, token: str) -> Identity:
    try:
        return await guard.verify(token)
    except TokenRefused as error:
        raise _SentAway(4001, str(error)) from error
    except NotAllowed as error:
        raise _SentAway(4003, str(error)) from error
    except IssuerUnreachable as error:
        raise _SentAway(1013, str(error)) from error


def _rate(text: str | None, settings: GatewaySettings) -> float:
    """Frames a second: what is asked for, up to the server's maximum."""
    if text is None:
        return min(settings.ws_rate, settings.ws_max_rate)
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not rate > 0:
        raise _SentAway(4400, "rate must be a number above 0")
    return min(rate, settings.ws_max_rate)


def _admit(hub: Hub, key: tuple[str, str], settings: GatewaySettings) -> None:
    user, client_id = key
    if hub.draining:
        raise _SentAway(1001, "the server is going away")
    if len(client_id) > _LONGEST_ID:
        raise _SentAway(4400, f"client_id is longer than {_LONGEST_ID} characters")
    if len(hub) >= settings.ws_max_clients:
        raise _SentAway(1013, "too many clients, try again later")
    if hub.clients_of(user, except_for=client_id) >= settings.ws_per_user:
        raise _SentAway(1013, f"a user may have {settings.ws_per_user} sockets, close one first")
