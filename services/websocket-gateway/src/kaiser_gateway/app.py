"""Wiring of the gateway: connections, users, the hubs of events and messages, and the public server."""

import asyncio
from contextlib import aclosing, closing

from kaiser_common.bus.connection import connect
from kaiser_common.runtime.database import open_pool, ping
from kaiser_common.runtime.loops import beside
from kaiser_common.runtime.service import HttpServer, Service, run
from kaiser_common.runtime.status import answer_status

from kaiser_gateway.api.system_status import Status
from kaiser_gateway.handlers import build_app
from kaiser_gateway.http.auth import guard_of, signing_key
from kaiser_gateway.http.readiness import Served
from kaiser_gateway.http.server import http_config, listen
from kaiser_gateway.jobs.starts import keep_starts
from kaiser_gateway.jobs.users import keep_users
from kaiser_gateway.settings import GatewaySettings
from kaiser_gateway.store.passwords import Passwords
from kaiser_gateway.store.sessions import Sessions
from kaiser_gateway.store.standing import Standings
from kaiser_gateway.store.users import Users
from kaiser_gateway.ws.hub import Hub
from kaiser_gateway.ws.topics import TopicsHub


def main() -> None:
    """Run the gateway until it is stopped."""
    run("websocket-gateway", GatewaySettings, work, public=True)


async def work(service: Service, settings: GatewaySettings) -> None:
    """Serve REST and WebSocket. Killed: clients connect again and resume; no state is lost with the process."""
    key = signing_key(settings)
    async with (
        connect(settings, "websocket-gateway") as bus,
        connect(settings, "websocket-gateway-stops", is_main=False) as stops,
        answer_status(bus, service),
        open_pool(settings, "gateway") as pool,
    ):
        with closing(Passwords()) as passwords:
            users, sessions = Users(pool, passwords), Sessions(pool, settings.token_minutes, settings.refresh_days)
            served, standings = Served(lambda: users.ready), Standings(users, sessions)
            service.check("nats", bus.round_trip)
            service.check("nats for stops", stops.round_trip)
            service.check("http", served.check)
            service.check("database", lambda: ping(pool), needed=False)
            hub, topics = Hub(bus, settings.ws_stalled_s, service.tracer, standings.ended), TopicsHub(bus)
            status, guard = Status(bus, service, hub.behind), guard_of(settings, key, standings)
            app = build_app(service, bus, stops, hub, topics, users, sessions, pool, guard, status, settings)
            served.server = server = HttpServer(http_config(app, settings))
            async with aclosing(guard), asyncio.TaskGroup() as tasks:
                http = tasks.create_task(server.serve(sockets=[listen(settings)]), name="http")
                people = keep_users(pool, users, sessions, standings, settings)
                async with beside(users=people, starts=keep_starts(pool, status), topics=topics.run()):
                    await hub.run(service.stopping)
                server.end()
                await asyncio.wait([http], timeout=5.0)
                http.cancel()
