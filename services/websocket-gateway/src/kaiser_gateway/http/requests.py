"""Each request gets an id and is measured by its route."""

import secrets
import time
from collections.abc import Awaitable, Callable

from fastapi import Request, Response

from kaiser_gateway import metrics


async def observe(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Give each request an id and measure it by its route."""
    given = request.headers.get("X-Request-Id", "")
    request.state.request_id = given if given.isalnum() and len(given) <= 64 else secrets.token_hex(8)
    started = time.perf_counter()
    response = await call_next(request)
    route = getattr(request.scope.get("route"), "path", "none")
    metrics.REQUESTS.labels(request.method, route, str(response.status_code)).observe(time.perf_counter() - started)
    response.headers["X-Request-Id"] = request.state.request_id
    return response
