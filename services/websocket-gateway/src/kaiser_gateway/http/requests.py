"""Gives each request an id and measures it by route; during an emergency stop other requests wait, 0.2 s at most."""

import secrets
import time

from kaiser_common.bus.right_of_way import RightOfWay
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kaiser_gateway import metrics
from kaiser_gateway.http.admission import is_operator

STOP = "/api/v1/actuators/emergency_stop"


class Observe:
    """An ASGI middleware: the id of a request in its state and its answer, the time until its answer begins. A browser
    takes an answer for what its type says, never for what its bytes look like: pictures come from machines."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("X-Request-Id", "")
        request_id = given if given.isalnum() and len(given) <= 64 else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        started = time.perf_counter()

        async def on_message(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "none")
                took_s = time.perf_counter() - started
                metrics.REQUESTS.labels(scope["method"], route, str(message["status"])).observe(took_s)
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        await self._app(scope, receive, on_message)


class StopsFirst:
    """An ASGI middleware: while an emergency stop is under way, other requests wait, 0.2 s at most. A stop has a few
    steps; behind the requests of a user who floods the gateway each of them would wait for seconds. A request without
    the token of an operator is no stop, so it holds up nobody."""

    def __init__(self, app: ASGIApp, way: RightOfWay) -> None:
        self._app = app
        self._way = way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == STOP and scope["method"] == "POST" and is_operator(scope):
            with self._way.urgent():
                await self._app(scope, receive, send)
        else:
            await self._way.giving_way(_whole(self._app, scope, receive, send))


async def _whole(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)
