"""Admits WebSockets by token and rate; a refusal closes the socket with a code."""

import math

from fastapi import WebSocket

from kaiser_gateway.domain.tokens import Identity, NotAllowed, TokenRefused
from kaiser_gateway.http.admission import offers_bearer, token_of
from kaiser_gateway.http.auth import Guard
from kaiser_gateway.http.issuer import IssuerUnreachable
from kaiser_gateway.settings import GatewaySettings

LONGEST_ID = 128


class SentAway(Exception):
    """The connection is to be closed."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


async def accept(websocket: WebSocket) -> str:
    """Accept a connection; returns its token, "" without one.

    A browser sees no status of a refused handshake, so all are accepted first and closed with a code.
    """
    await websocket.accept(subprotocol="bearer" if offers_bearer(websocket.scope) else None)
    return token_of(websocket.scope)


async def refuse(websocket: WebSocket, refusal: SentAway) -> None:
    """Close a connection with the code and the reason of the refusal."""
    await websocket.close(refusal.code, str(refusal)[:120])


async def identity_of(guard: Guard, token: str) -> Identity:
    """The user of a token. SentAway: 4001, 4003, 1013."""
    try:
        return await guard.verify(token)
    except TokenRefused as error:
        raise SentAway(4001, str(error)) from error
    except NotAllowed as error:
        raise SentAway(4003, str(error)) from error
    except IssuerUnreachable as error:
        raise SentAway(1013, str(error)) from error


def rate_of(text: str | None, settings: GatewaySettings) -> float:
    """Frames a second: what is asked for, up to the server's maximum. SentAway (4400): it is no number above 0."""
    if text is None:
        return min(settings.ws_rate, settings.ws_max_rate)
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not rate > 0:
        raise SentAway(4400, "rate must be a number above 0")
    return min(rate, settings.ws_max_rate)
