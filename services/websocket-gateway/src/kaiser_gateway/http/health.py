"""/healthz and /readyz on the public port; /metrics is on the internal one alone."""

import asyncio
import time

from kaiser_common import __version__
from kaiser_common.runtime.service import Service
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

_KEPT_S = 1.0


def routes(service: Service) -> list[BaseRoute]:
    """Both routes. However many ask, the dependencies are asked once a second."""
    answers = _Readiness(service)

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok", "service": service.name, "version": __version__})

    async def readyz(_: Request) -> Response:
        ready = await answers.ready()
        return JSONResponse({"status": "ready" if ready else "not ready"}, status_code=200 if ready else 503)

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


class _Readiness:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._ready = False
        self._asked_at: float | None = None
        self._lock = asyncio.Lock()

    async def ready(self) -> bool:
        async with self._lock:
            if self._asked_at is None or time.monotonic() - self._asked_at > _KEPT_S:
                states = await self._service.readiness()
                self._ready = all(state == "ok" for state in states.values())
                self._asked_at = time.monotonic()
        return self._ready and not self._service.stopping.is_set()
