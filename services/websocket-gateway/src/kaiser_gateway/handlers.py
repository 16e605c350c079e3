"""The table of contents of the gateway: which router, endpoint and middleware the public application has."""

from functools import cache

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from kaiser_common import __version__
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.right_of_way import RightOfWay
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.service import Service

from kaiser_gateway.api import (
    actuators,
    alarms,
    audit,
    commands,
    compat,
    described,
    devices,
    emergency_stops,
    factory,
    factory_steering,
    limits,
    logic,
    message_sending,
    messages,
    mock,
    mock_factory,
    notifications,
    oidc,
    overview,
    pushes,
    readings,
    recordings,
    rejected,
    replays,
    sensors,
    sign_in,
    site,
    system,
    zones,
)
from kaiser_gateway.api import sessions as sessions_api
from kaiser_gateway.api import status as status_api
from kaiser_gateway.api import users as users_api
from kaiser_gateway.api.system_status import Status
from kaiser_gateway.http import console_files, health, problems
from kaiser_gateway.http.admission import Admission
from kaiser_gateway.http.auth import Guard
from kaiser_gateway.http.conditional import ConditionalGet
from kaiser_gateway.http.edge import Edge
from kaiser_gateway.http.oidc_client import OidcClient
from kaiser_gateway.http.requests import Observe, StopsFirst
from kaiser_gateway.http.turns import Turns
from kaiser_gateway.settings import GatewaySettings
from kaiser_gateway.store.sessions import Sessions
from kaiser_gateway.store.users import Users
from kaiser_gateway.ws import messages as message_sockets
from kaiser_gateway.ws import realtime
from kaiser_gateway.ws.hub import Hub
from kaiser_gateway.ws.replay import Replays
from kaiser_gateway.ws.topics import TopicsHub

ROUTERS = (
    overview,
    devices,
    pushes,
    zones,
    sensors,
    readings,
    actuators,
    commands,
    logic,
    limits,
    alarms,
    notifications,
    mock,
    mock_factory,
    rejected,
    factory,
    factory_steering,
    message_sending,
    replays,
    system,
)
"""One module per resource, each with `router(bus, guard)`. `limits` comes before `alarms`, whose `/{alarm_id}` would
take its path too."""


def build_app(
    service: Service,
    bus: Bus,
    stops: Bus,
    hub: Hub,
    topics: TopicsHub,
    users: Users,
    sessions: Sessions,
    pool: DatabasePool,
    guard: Guard,
    status: Status,
    settings: GatewaySettings,
) -> FastAPI:
    """The public application. stops: a connection to NATS for emergency stops alone, since NATS closes the other one
    if too much waits on it."""
    app = FastAPI(
        title="Kaiser",
        version=__version__,
        description="Devices, sensors, actuators and rules of an ESP32 fleet.",
        docs_url=None,  # FastAPI's own page loads from a CDN, which a plant without internet does not reach
        redoc_url=None,
        openapi_url=None,  # `described` serves it, made once
        responses=problems.RESPONSES,
        generate_unique_id_function=lambda route: route.name,  # a name worth having, for clients
    )
    way = RightOfWay()
    problems.install(app)
    described_by_routes = app.openapi
    app.openapi = cache(lambda: problems.with_problems(described_by_routes()))  # type: ignore[method-assign]
    app.router.routes.extend(health.routes(service))
    app.router.routes.extend(console_files.routes())
    app.include_router(described.router(app.openapi))
    app.include_router(site.router(settings))
    app.include_router(sign_in.router(users, pool, guard.signer, settings))
    app.include_router(oidc.router(_client_of(guard, settings), sessions, pool, guard, settings))
    if guard.standings is not None:
        app.include_router(users_api.router(users, pool, guard, guard.standings))
        app.include_router(sessions_api.router(users, sessions, pool, guard, guard.standings, settings))
    for module in ROUTERS:
        app.include_router(module.router(bus, guard))
    app.include_router(recordings.router(bus, guard, settings))
    app.include_router(emergency_stops.router(bus, stops, guard))
    app.include_router(messages.router(bus, topics, pool, guard, settings))
    app.include_router(audit.router(bus, pool, guard))
    app.include_router(status_api.router(status, pool, guard))
    app.include_router(realtime.router(hub, Replays(bus, hub, way), guard, settings))
    app.include_router(message_sockets.router(topics, guard, settings))
    app.add_middleware(ConditionalGet)
    app.add_middleware(Turns, guard=guard)
    app.add_middleware(Edge, guard=guard, body_s=settings.http_body_s)
    app.add_middleware(Observe)
    app.add_middleware(StopsFirst, way=way)
    app.add_middleware(Admission, guard=guard)
    if settings.compat:
        compat.add(app, guard)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.cors_origins, allow_methods=["*"], allow_headers=["*"]
        )
    return app


def _client_of(guard: Guard, settings: GatewaySettings) -> OidcClient | None:
    client = settings.oidc_client()
    return OidcClient(guard.issuer, client) if client is not None and guard.issuer is not None else None
