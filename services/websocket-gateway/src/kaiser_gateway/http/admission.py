"""Notes for each connection whose token it has presented, before anything else is done with its request."""

import time
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from kaiser_gateway.domain.places import Place
from kaiser_gateway.domain.tokens import Identity, NotAllowed, TokenRefused
from kaiser_gateway.http.auth import Guard
from kaiser_gateway.http.connections import PLACE
from kaiser_gateway.http.issuer import IssuerUnreachable

IDENTITY = "identity"
"""The name of a valid token's identity in the state of a request."""


class Admission:
    """An ASGI middleware, the outermost. A connection that presents a valid token counts for its user and no longer for
    its address, so that clients without a token cannot use up its place. Nothing is refused here."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and (token := token_of(scope)):
            state = scope.setdefault("state", {})
            await self._note(state, state.get(PLACE), token, lasting=scope["type"] == "websocket")
        await self._app(scope, receive, send)

    async def _note(self, state: dict[str, object], place: Place | None, token: str, *, lasting: bool) -> None:
        try:
            identity = await self._guard.verify(token)
        except (TokenRefused, NotAllowed):
            if place is not None:
                place.doubt(time.monotonic())
        except IssuerUnreachable:
            return
        else:
            state[IDENTITY] = identity
            if place is not None:
                place.prove(f"{identity.external} {identity.user}", lasting=lasting)


def token_of(scope: Scope) -> str:
    """The token of a request, or of a WebSocket: in a header, the subprotocol, or the query; empty without one."""
    headers = Headers(scope=scope)
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    if scope["type"] != "websocket":
        return ""
    if offers_bearer(scope):
        return str(scope["subprotocols"][1])
    query: bytes = scope.get("query_string", b"")
    return parse_qs(query.decode("latin-1")).get("token", [""])[-1]


def offers_bearer(scope: Scope) -> bool:
    """Whether a WebSocket has its token as the pair of subprotocols `bearer, <token>`."""
    subprotocols = scope.get("subprotocols", [])
    return len(subprotocols) == 2 and subprotocols[0] == "bearer"


def is_operator(scope: Scope) -> bool:
    """Whether a request has a valid token of somebody who may press a stop."""
    identity = scope.get("state", {}).get(IDENTITY)
    return isinstance(identity, Identity) and identity.may("operator")
