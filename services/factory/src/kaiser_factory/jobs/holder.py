"""The work of the lease holder: the live state, the store, the journal and the answers; other replicas stand by. The
environment in force is followed: a different one, or a different epoch, restarts all of it.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.consumer import Consumer, Spacing
from kaiser_common.bus.environment import EnvironmentMirror
from kaiser_common.bus.rpc import RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_common.contract.subjects import FACTORY_STORE
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.clock import now_ms
from kaiser_common.runtime.database import DatabasePool, wait_for_schema
from kaiser_common.runtime.loops import beside, every, until_done
from kaiser_common.runtime.service import Service
from kaiser_factory_dialect.ccu_messages import FactoryLayout

from kaiser_factory import metrics, publish
from kaiser_factory.api.past import PastApi
from kaiser_factory.api.state import StateApi
from kaiser_factory.api.steering import SteeringApi
from kaiser_factory.consumers.command_news import CommandNews
from kaiser_factory.consumers.journal import Journal
from kaiser_factory.consumers.live import LiveReader
from kaiser_factory.consumers.messages import MessageStore
from kaiser_factory.domain.live import FactoryState
from kaiser_factory.jobs.samples import Sampling
from kaiser_factory.jobs.txt_devices import TxtDevices
from kaiser_factory.settings import FactorySettings
from kaiser_factory.store.beginning import begin
from kaiser_factory.store.commands import Command

log = structlog.get_logger()

_EXPIRE_EVERY_S = 0.5
_RETRY_S = 1.0
_BATCH = 200
"""Messages stored together: the live state waits while their rows are made."""
_SPACING = Spacing(least_s=0.02, small=_BATCH)
"""A transaction costs as much as many rows: small ones come 20 ms apart."""


class Contents(NamedTuple):
    """The table of contents of the service (handlers.py), which stands above this room."""

    consume: Callable[[Broker, Consumer, MessageStore], None]
    answer: Callable[[Broker, StateApi, PastApi, SteeringApi], None]


class FactoryHolder:
    """Works while the lease is held, in the environment in force."""

    def __init__(
        self,
        bus: Bus,
        pool: DatabasePool,
        environments: EnvironmentMirror,
        service: Service,
        settings: FactorySettings,
        contents: Contents,
    ) -> None:
        self._contents = contents
        self._bus = bus
        self._pool = pool
        self._environments = environments
        self._service = service
        self._settings = settings

    async def until(self, stop: asyncio.Event) -> None:
        """Work until the event is set."""
        news = CommandNews(self._bus)
        async with beside(environments=self._environments.work_in_each(partial(self._work, news))):
            await stop.wait()

    async def _work(self, news: CommandNews, environment: FactoryEnvironment) -> None:
        log.info("factory_environment", env=environment.env, kind=environment.kind, epoch=environment.epoch)
        new_broker = partial(Broker, self._bus, self._service, self._settings)
        journal = Journal(self._bus, environment, news)
        await Work(self._bus, self._pool, environment, self._settings, self._contents, new_broker, journal).run()


class Work:
    """The work in one environment and epoch."""

    def __init__(
        self,
        bus: Bus,
        pool: DatabasePool,
        environment: FactoryEnvironment,
        settings: FactorySettings,
        contents: Contents,
        new_broker: Callable[[], Broker],
        journal: Journal,
    ) -> None:
        self._contents = contents
        self._new_broker = new_broker
        self._bus = bus
        self._pool = pool
        self._environment = environment
        self._settings = settings
        self._live: FactoryState | None = None
        self._journal = journal
        self._storing = MessageStore(pool, self._journal, self._layout)

    async def run(self) -> None:
        """Answer, follow and store until cancelled."""
        answering = self._new_broker()
        self._contents.answer(
            answering,
            StateApi(self._ready, now_ms),
            PastApi(self._pool, lambda: self._environment, self._ready, now_ms),
            SteeringApi(self._pool, self._journal, self._ready, self._settings.vda5050_interfaces, now_ms),
        )
        reader = LiveReader(self._bus, self._environment, self._settings.vda5050_interfaces, self._on_live)
        async with (
            answering.serving(),
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(publish.entered(self._bus, self._environment), name="entered")
            tasks.create_task(reader.run(), name="live")
            tasks.create_task(Sampling(self._bus, self._pool, lambda: self._live).run(), name="samples")
            tasks.create_task(TxtDevices(self._bus, lambda: self._live).run(), name="txt-devices")
            tasks.create_task(self._store(), name="store")

    def _on_live(self, live: FactoryState) -> None:
        self._live = live

    def _layout(self) -> FactoryLayout | None:
        return None if self._live is None else self._live.factory.layout

    def _ready(self) -> FactoryState:
        if self._live is None:
            raise RpcError(503, Code.DEPENDENCY_MISSING, "the state of the factory is still being read")
        return self._live

    async def _store(self) -> None:
        await wait_for_schema(self._pool, "factory")
        await self._load()
        consumer = Consumer(self._bus, FACTORY_STORE, max_messages=_BATCH, most_lines=_BATCH, spacing=_SPACING)
        broker = self._new_broker()
        self._contents.consume(broker, consumer, self._storing)
        async with broker.serving():
            await self._expire(consumer)

    async def _load(self) -> None:
        """Clear what an earlier mock factory or replay has left, and take the journal up."""
        left: list[Command] = []

        async def step() -> None:
            await begin(self._pool, self._environment)
            async with self._pool.connection() as connection:
                left[:] = await self._journal.load(connection)

        await until_done(step, "journal_not_loaded", retry_s=_RETRY_S)
        metrics.COMMAND_ENDS.labels("abandoned").inc(len(left))
        await self._journal.publish()

    async def _expire(self, consumer: Consumer) -> None:
        async def step() -> None:
            await self._storing.expire(consumer.position)
            await self._journal.publish()

        await every(_EXPIRE_EVERY_S, step, "journal_postponed", delay_s=_EXPIRE_EVERY_S, retry_s=_RETRY_S)
