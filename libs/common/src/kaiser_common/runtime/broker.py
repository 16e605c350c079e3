"""A service's FastStream broker: handlers.py registers with it which function handles each message and each RPC method.

It uses the connection of the Bus, so FastStream neither opens nor closes one, and declares nothing. FastStream's own
subscribers are not used, because they add delay or lose messages (docs/decisions/1403).
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, cast

from faststream import AckPolicy, AsyncAPI
from faststream.nats import NatsBroker
from faststream.nats.broker.registrator import NatsRegistrator
from faststream.nats.configs import NatsBrokerConfig
from nats.aio.client import Client

from kaiser_common import __version__
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.consumer import Consumer
from kaiser_common.bus.requests import NO_OUTAGES, Outages, RpcSubscriber
from kaiser_common.runtime.asyncapi import with_replies
from kaiser_common.runtime.consume import AS_USUAL, DeadLetters, Taking
from kaiser_common.runtime.durable import DurableSubscriber
from kaiser_common.runtime.service import Service
from kaiser_common.runtime.settings import CommonSettings


class Silent:
    """Takes FastStream's own log lines, one or two a message, and writes none: our loops log what they do."""

    logger = None

    def log(self, level: int, msg: Any, /, **_: Any) -> None:
        """Nothing."""


class Broker(NatsBroker):
    """The handlers of a service, or of a part of it with a start and an end of its own, as with a lease.

    A subclass of FastStream's NATS broker: `connect` and `stop` are our own, and subscribers of our own are registered
    (`Registrator.subscriber`). `apply_types` is off: the subscribers decode, and hand the handler what it takes.
    """

    def __init__(self, bus: Bus, service: Service, settings: CommonSettings) -> None:
        super().__init__(
            name=service.name,
            logger=None,
            apply_types=False,
            serializer=None,
            ack_policy=AckPolicy.MANUAL,
            graceful_timeout=None,
            specification_url="nats://127.0.0.1:4222",
        )
        self._bus = bus
        self._service = service
        self._letters = DeadLetters(bus, service, settings)
        self._tasks: asyncio.TaskGroup | None = None
        self._shared = cast("NatsBrokerConfig", self.config)
        self._rpc: list[RpcSubscriber] = []
        self._durable: list[DurableSubscriber] = []

    def rpc(
        self,
        *,
        name: str | None = None,
        unavailable: Outages = NO_OUTAGES,
        always: frozenset[str] = frozenset(),
    ) -> RpcSubscriber:
        """The requests to the service, under its name or another. See RpcSubscriber."""
        subscriber = RpcSubscriber(
            self._bus, self._shared, name or self._service.name, unavailable=unavailable, always=always
        )
        self._rpc.append(subscriber)
        super(NatsRegistrator, self).subscriber(cast("Any", subscriber))
        return subscriber

    def durable(self, consumer: Consumer, taking: Taking = AS_USUAL) -> DurableSubscriber:
        """The messages of a durable consumer: `broker.durable(Consumer(bus, HEALTH), ...)(messages.on_messages)`."""
        subscriber = DurableSubscriber(self._shared, consumer, self._letters, self._spawn, taking)
        super(NatsRegistrator, self).subscriber(cast("Any", subscriber))
        self._durable.append(subscriber)
        return subscriber

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Answer and consume while the block runs; at its end finish what is at hand.

        Block cancelled, as when a lease is lost: consuming ends immediately, and messages taken are delivered again.
        An error in a loop cancels the block and is raised, in an ExceptionGroup: no task dies unseen.
        """
        async with asyncio.TaskGroup() as self._tasks:
            self._service.documents.append(self.document)
            went_well = False
            try:
                await self.start()
                yield
                went_well = True
            finally:
                if not went_well:
                    for durable in self._durable:
                        durable.cancel()
                self._service.documents.remove(self.document)
                await self.stop()

    def document(self) -> dict[str, Any]:
        """The AsyncAPI 3.0 document of what is registered, by FastStream's generator."""
        title = f"Kaiser {self._service.name}"
        described = AsyncAPI(self, title=title, version=__version__, schema_version="3.0.0").to_specification()
        rows = [row for each in self._rpc for row in each.methods.values()]
        return with_replies(described.to_jsonable(), {row.subject: row.answer for row in rows})

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        assert self._tasks is not None, "only while running"
        return self._tasks.create_task(work, name=name)

    async def connect(self) -> Client:
        """Use the connection of the Bus. FastStream calls this at the start."""
        self._shared.logger.logger = cast("Any", Silent())
        self.config.broker_config.connect(self._bus.client)
        return self._bus.client

    async def stop(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None:
        """Stop the subscribers. The connection stays: it is the Bus's."""
        await super(NatsBroker, self).stop(exc_type, exc_val, exc_tb)
