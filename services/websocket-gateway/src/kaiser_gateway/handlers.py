"""The table of contents of the gateway: which router, endpoint and middleware the public application has."""

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from kaiser_common import __version__
from kaiser_common.bus.connection import Bus
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.service import Service

from kaiser_gateway.api import (
    actuators,
    alarms,
    audit,
    commands,
    described,
    devices,
    factory,
    factory_steering,
    logic,
    mock,
    notifications,
    overview,
    rejected,
    sensors,
    sign_in,
    system,
)
from kaiser_gateway.api import status as status_api
from kaiser_gateway.api import users as users_api
from kaiser_gateway.api.system_status import Status
from kaiser_gateway.http import console_files, health, problems
from kaiser_gateway.http.auth import Guard
from kaiser_gateway.http.conditional import ConditionalGet
from kaiser_gateway.http.edge import Edge
from kaiser_gateway.http.requests import observe
from kaiser_gateway.settings import GatewaySettings
from kaiser_gateway.store.users import Users
from kaiser_gateway.ws import realtime
from kaiser_gateway.ws.hub import Hub
from kaiser_gateway.ws.replay import Replays

ROUTERS = (
    overview,
    devices,
    sensors,
    actuators,
    commands,
    logic,
    alarms,
    notifications,
    mock,
    rejected,
    factory,
    factory_steering,
    system,
)
"""One module a resource, each with `router(bus, guard)`."""


def build_app(
    service: Service,
    bus: Bus,
    hub: Hub,
    users: Users,
    pool: DatabasePool,
    guard: Guard,
    settings: GatewaySettings,
) -> FastAPI:
    """The public application."""
    app = FastAPI(
        title="Kaiser",
        version=__version__,
        description="Devices, sensors, actuators and rules of an ESP32 fleet.",
        docs_url=None,  # FastAPI's own page loads from a CDN, which a plant without internet does not reach
        redoc_url=None,
        openapi_url="/api/openapi.json",
        responses=problems.RESPONSES,
    )
    problems.install(app)
    app.router.routes.extend(health.routes(service))
    app.router.routes.extend(console_files.routes())
    app.include_router(described.router())
    app.include_router(sign_in.router(users, pool, guard.signer, settings))
    if guard.standings is not None:
        app.include_router(users_api.router(users, pool, guard, guard.standings))
    for module in ROUTERS:
        app.include_router(module.router(bus, guard))
    app.include_router(audit.router(bus, pool, guard))
    app.include_router(status_api.router(Status(bus, service, hub.behind), guard))
    app.include_router(realtime.router(hub, Replays(bus, hub), guard, settings))
    app.add_middleware(ConditionalGet)
    app.add_middleware(Edge, guard=guard, body_s=settings.http_body_s)
    app.middleware("http")(observe)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.cors_origins, allow_methods=["*"], allow_headers=["*"]
        )
    return app
