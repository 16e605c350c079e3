"""The composition root of the gateway."""

import asyncio
import secrets
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime

import psycopg
import structlog
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from kaiser_common import __version__
from kaiser_common.bus import Bus, connect
from kaiser_common.database import UNAVAILABLE, DatabasePool, open_pool, ping, wait_for_schema
from kaiser_common.rpc import tell_status
from kaiser_common.service import HttpServer, Service, run

from kaiser_gateway import access_log, console_files, health, metrics, problems, realtime
from kaiser_gateway.api import (
    actuators,
    audit,
    commands,
    described,
    devices,
    logic,
    mock,
    rejected,
    sensors,
    sign_in,
    system,
)
from kaiser_gateway.api import status as status_api
from kaiser_gateway.api import users as users_api
from kaiser_gateway.auth import Guard
from kaiser_gateway.conditional import ConditionalGet
from kaiser_gateway.connections import Connections, protocols
from kaiser_gateway.edge import Edge
from kaiser_gateway.hub import Hub
from kaiser_gateway.issuer import Issuer
from kaiser_gateway.limits import Limiter
from kaiser_gateway.passwords import Passwords
from kaiser_gateway.replay import Replays
from kaiser_gateway.settings import GatewaySettings
from kaiser_gateway.standing import Standings
from kaiser_gateway.status import Status
from kaiser_gateway.tokens import Signer
from kaiser_gateway.users import Users

log = structlog.get_logger()

ROUTERS = (devices, sensors, actuators, commands, logic, mock, rejected, system)
"""One module a resource, each with `router(bus, guard)`."""

_SHORTEST_KEY = 32
_LINGER_S = 5.0
_DROP_EVERY_S = 3600.0
_SIGN_IN_WITHIN_S = 5.0
_NOT_YET: tuple[type[Exception], ...] = (*UNAVAILABLE, psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)
"""The database is away, or its migration still under way."""
_OTHER_CONNECTIONS = 2000
"""Beside the WebSocket clients; further ones are answered 503."""


def main() -> None:
    """Run the gateway until it is told to stop."""
    run("websocket-gateway", GatewaySettings, work, public=True)


async def work(service: Service, settings: GatewaySettings) -> None:
    """Serve REST and WebSocket. Killed: clients connect again and resume; no state is lost with the process."""
    key = settings.signing_key()
    if len(key) < _SHORTEST_KEY:
        log.error(
            "setting_missing", set="KAISER_TOKEN_SECRET or KAISER_TOKEN_SECRET_FILE", needs="32 characters or more"
        )
        sys.exit(2)
    if settings.oidc_issuer and not settings.oidc_audience:
        log.error("setting_missing", set="KAISER_OIDC_AUDIENCE", needs="the audience of the issuer's tokens")
        sys.exit(2)
    async with (
        connect(settings, "websocket-gateway") as bus,
        tell_status(bus, service),
        open_pool(settings, "gateway") as pool,
    ):
        server: HttpServer | None = None
        started_at = time.monotonic()

        async def served() -> None:
            if server is None or not server.started:
                raise ConnectionError("REST and WebSocket are not served yet")
            if not users.ready and time.monotonic() - started_at < _SIGN_IN_WITHIN_S:
                raise ConnectionError("sign-in is not ready yet; without the database it is not waited for")

        service.check("nats", bus.round_trip)
        service.check("http", served)
        service.check("database", lambda: ping(pool), needed=False)
        with closing(Passwords()) as passwords:
            users = Users(pool, passwords)
            standings = Standings(users)
            hub = Hub(bus, settings.ws_stalled_s, service.tracer, standings.ended)
            guard = Guard(
                Signer(key),
                Limiter(settings.request_per_second, settings.request_per_second * 2),
                Issuer(terms) if (terms := settings.oidc_terms()) else None,
                standings,
            )
            server = HttpServer(_http_config(build_app(service, bus, hub, users, pool, guard, settings), settings))
            listener = _listen(settings)
            async with asyncio.TaskGroup() as tasks:
                http = tasks.create_task(server.serve(sockets=[listener]), name="http")
                keeping = tasks.create_task(_keep_users(pool, users, standings, settings), name="users")
                log.info("listening", address=f"http://{settings.http_host}:{listener.getsockname()[1]}")
                await hub.run(service.stopping)
                keeping.cancel()
                server.should_exit = True
                await asyncio.wait([http], timeout=5.0)
                http.cancel()


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
    app.middleware("http")(_observe)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.cors_origins, allow_methods=["*"], allow_headers=["*"]
        )
    return app


async def _observe(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Give each request an id and measure it by its route."""
    given = request.headers.get("X-Request-Id", "")
    request.state.request_id = given if given.isalnum() and len(given) <= 64 else secrets.token_hex(8)
    started = time.perf_counter()
    response = await call_next(request)
    route = getattr(request.scope.get("route"), "path", "none")
    metrics.REQUESTS.labels(request.method, route, str(response.status_code)).observe(time.perf_counter() - started)
    response.headers["X-Request-Id"] = request.state.request_id
    return response


async def _keep_users(pool: DatabasePool, users: Users, standings: Standings, settings: GatewaySettings) -> None:
    """Set the first administrator once the database is there, follow the users, drop old entries of the log.

    The gateway serves meanwhile: tokens and emergency stops need no database.
    """
    await wait_for_schema(pool, "gateway")
    while not users.ready:
        try:
            await standings.read()
            await _ensure_admin(users, settings)
            users.ready = True
        except _NOT_YET as error:
            log.warning("users_not_ready", error=str(error).splitlines()[0])
            await asyncio.sleep(1.0)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(standings.follow(), name="standings")
        tasks.create_task(_drop_old_entries(pool), name="access-log")


async def _ensure_admin(users: Users, settings: GatewaySettings) -> None:
    password = settings.first_password()
    if password:
        await users.ensure_admin(settings.admin_user, password)
    else:
        log.warning("no_administrator_password", set="KAISER_ADMIN_PASSWORD or KAISER_ADMIN_PASSWORD_FILE")


async def _drop_old_entries(pool: DatabasePool) -> None:
    while True:
        try:
            await access_log.drop_old(pool, datetime.now(UTC))
        except UNAVAILABLE as error:
            log.debug("log_not_shortened", error=str(error))
        await asyncio.sleep(_DROP_EVERY_S)


def _http_config(app: FastAPI, settings: GatewaySettings) -> uvicorn.Config:
    connections = Connections(settings.http_per_address, settings.trusted_proxies, settings.http_header_s)
    http, websocket = protocols(connections)
    return uvicorn.Config(
        app,
        http=http,
        log_config=None,
        log_level="warning",  # uvicorn's info lines hold the query string, and so the token
        access_log=False,
        lifespan="off",
        ws=websocket,
        proxy_headers=bool(settings.trusted_proxies),  # uvicorn believes 127.0.0.1 by default
        forwarded_allow_ips=settings.trusted_proxies,
        limit_concurrency=settings.ws_max_clients + _OTHER_CONNECTIONS,
        ws_max_size=65_536,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
        ws_per_message_deflate=settings.ws_compression,
        timeout_graceful_shutdown=4,
        server_header=False,
    )


def _listen(settings: GatewaySettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sys.platform == "linux":  # inherited by each connection: the kernel ends one whose peer takes nothing
        within_ms = int((settings.ws_stalled_s + _LINGER_S) * 1000)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, within_ms)
    try:
        listener.bind((settings.http_host, settings.http_port))
    except OSError as error:
        log.error("port_in_use", port=settings.http_port, set="KAISER_HTTP_PORT", error=str(error))
        sys.exit(2)
    return listener
