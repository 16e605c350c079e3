"""The checks of the public port: how often they ask the dependencies."""

import asyncio
from types import SimpleNamespace

import httpx
from kaiser_common.runtime.service import Service
from kaiser_gateway.http import health
from starlette.applications import Starlette


async def test_however_many_ask_readyz_the_dependencies_are_asked_once_a_second(monkeypatch):
    now, asked, service = [0.0], [], Service("websocket-gateway")

    async def ping() -> None:
        asked.append(now[0])
        await asyncio.sleep(0)

    service.check("nats", ping)
    monkeypatch.setattr(health, "time", SimpleNamespace(monotonic=lambda: now[0]))
    transport = httpx.ASGITransport(Starlette(routes=health.routes(service)))
    async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client:
        for now[0] in (0.0, 0.4, 0.9, 1.1, 2.0, 2.2):
            answers = await asyncio.gather(*(client.get("/readyz") for _ in range(50)))
            assert {answer.status_code for answer in answers} == {200}
    assert asked == [0.0, 1.1, 2.2]
