"""A stand-in for another service: it answers requests over a real NATS server, as the service would."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.requests import NO_OUTAGES, Outages
from kaiser_common.bus.rpc import Caller
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.service import Service
from kaiser_common.runtime.settings import CommonSettings
from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Method:
    """A method of the double: the model of its request, what answers it, and the least role that a caller needs."""

    request: type[BaseModel]
    handler: Callable[[Any, Caller], Awaitable[Any]]
    least: Literal["viewer", "operator", "admin"] = "viewer"


@asynccontextmanager
async def serve(
    bus: Bus,
    service: str,
    methods: Mapping[str, Method],
    *,
    unavailable: Outages = NO_OUTAGES,
    always: frozenset[str] = frozenset(),
) -> AsyncIterator[None]:
    """Answer as `service` while the block runs."""
    broker = Broker(bus, Service(service), CommonSettings())
    rpc = broker.rpc(unavailable=unavailable, always=always)
    for name, method in methods.items():
        rpc.method(name, least=method.least)(_annotated(method))
    async with broker.serving():
        yield


def _annotated(method: Method) -> Callable[[Any, Caller], Awaitable[Any]]:
    async def answer(request: Any, caller: Caller) -> Any:
        return await method.handler(request, caller)

    answer.__annotations__ = {"request": method.request, "caller": Caller, "return": BaseModel}
    return answer
