"""FastStream's broker of a service: where handlers.py registers which message and which RPC method goes where.

The connection is the Bus's, so FastStream neither opens nor closes one, and declares nothing. FastStream's own
subscribers are not used: they wait, or lose (docs/decisions/1403).
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Unpack, cast

from faststream import AckPolicy, AsyncAPI
from faststream.nats import NatsBroker
from faststream.nats.broker.registrator import NatsRegistrator
from faststream.nats.configs import NatsBrokerConfig
from nats.aio.client import Client

from kaiser_common import __version__
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.consumer import Consumer
from kaiser_common.bus.requests import RpcSubscriber
from kaiser_common.runtime.asyncapi import with_replies
from kaiser_common.runtime.durable import DurableSubscriber
from kaiser_common.runtime.outside import DeadLetters, Taking
from kaiser_common.runtime.service import Service
from kaiser_common.runtime.settings import CommonSettings


class Broker(NatsBroker):
    """The handlers of a service, or of a part of it that starts and ends by itself, as with a lease.

    Extension points of FastStream: a subclass of its NATS broker (`_connect`, `stop`), and the registration of a
    subscriber of one's own (`Registrator.subscriber`). `apply_types` is off: the subscribers decode, and hand the
    handler what it takes.
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
        unavailable: tuple[type[Exception], ...] = (),
        always: frozenset[str] = frozenset(),
    ) -> RpcSubscriber:
        """The requests to the service, under its name or another. See RpcSubscriber."""
        subscriber = RpcSubscriber(
            self._bus, self._shared, name or self._service.name, unavailable=unavailable, always=always
        )
        self._rpc.append(subscriber)
        super(NatsRegistrator, self).subscriber(cast("Any", subscriber))
        return subscriber

    def durable(self, consumer: Consumer, **taking: Unpack[Taking]) -> DurableSubscriber:
        """The messages of a durable consumer: `broker.durable(Consumer(bus, HEALTH), ...)(messages.on_messages)`."""
        subscriber = DurableSubscriber(self._shared, consumer, self._letters, self._spawn, **taking)
        super(NatsRegistrator, self).subscriber(cast("Any", subscriber))
        self._durable.append(subscriber)
        return subscriber

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Answer and consume while the block runs; at its end finish what is at hand.

        Block cancelled, as when a lease is lost: consuming ends at once, and what was taken is delivered again. What a
        loop raises cancels the block and is raised, in an ExceptionGroup: no task dies unseen.
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

    async def _connect(self) -> Client:
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
