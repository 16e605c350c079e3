"""The gateway's application without a server behind it: for its routes and its OpenAPI document."""

from fastapi import FastAPI
from kaiser_common.runtime.service import Service
from kaiser_gateway.domain.limits import Limiter
from kaiser_gateway.domain.tokens import Signer
from kaiser_gateway.handlers import build_app
from kaiser_gateway.http.auth import Guard
from kaiser_gateway.settings import GatewaySettings
from kaiser_gateway.store.standing import Standings
from kaiser_gateway.store.users import Users
from kaiser_gateway.ws.hub import Hub
from kaiser_gateway.ws.topics import TopicsHub


def serverless_gateway(settings: GatewaySettings) -> FastAPI:
    """The application; a request to it that needs the bus or the database fails."""
    guard = Guard(Signer("k" * 40), Limiter(1, 1), None, Standings(None, None))  # type: ignore[arg-type]
    return build_app(
        Service("trial"),
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        Hub(None, 15.0),  # type: ignore[arg-type]
        TopicsHub(None),  # type: ignore[arg-type]
        Users(None, None),  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        guard,
        None,  # type: ignore[arg-type]
        settings,
    )
