"""The work of the lease holder: the MQTT session, what it sends and its answers; other replicas stand by."""

import asyncio
from collections.abc import Callable, Sequence

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.lease import Lease
from kaiser_common.contract.subjects import LEASE_BUCKET
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.durable import DurableSubscriber
from kaiser_common.runtime.loops import leader
from kaiser_common.runtime.service import Service

from kaiser_ingest.consumers.receiver import Receiver
from kaiser_ingest.domain.stop_order import StopOrder
from kaiser_ingest.jobs.state import StateWatch
from kaiser_ingest.jobs.topics import TopicsWatch
from kaiser_ingest.publish import SystemEvents
from kaiser_ingest.settings import IngestSettings
from kaiser_ingest.store.read_back import last_of_factory, last_packs, last_rejections
from kaiser_ingest.store.session_store import SessionStore

_OUTBOX_STOP_S = 2.0

Register = Callable[[Broker, StopOrder], Sequence[DurableSubscriber]]
"""Registers all that the holder takes and answers (handlers.py, which stands above this room); what it sends over MQTT
is returned."""


class SessionHolder:
    """Runs what only the holder of the lease may run."""

    def __init__(
        self,
        bus: Bus,
        receiver: Receiver,
        kept: SessionStore,
        events: SystemEvents,
        settings: IngestSettings,
        new_broker: Callable[[], Broker],
        register: Register,
    ) -> None:
        self._bus = bus
        self._state = StateWatch(kept, receiver.environments)
        self._session = receiver.session
        self._pipeline = receiver.pipeline
        self._reads_factory = receiver.dialect is not None and receiver.dialect.reads
        self._topics = None if receiver.dialect is None else TopicsWatch(bus, receiver.session.ask_retained_again)
        self._events = events
        self._sites = settings.sites_of_readings
        self._new_broker = new_broker
        self._register = register
        self._lease = Lease(bus, settings.source, LEASE_BUCKET.ttl_s or 5.0)
        self.is_holding = False
        """Whether the lease is ours."""

    async def check(self) -> None:
        """Readiness: a standby is ready to take over, a holder once it is connected."""
        if self.is_holding or not self._lease.held_by_another:
            await self._session.check()

    async def run(self, service: Service) -> None:
        """Hold the session whenever the lease is ours, until stopped."""
        await leader(service, self._lease, self._hold)

    async def _hold(self, stop: asyncio.Event) -> None:
        self.is_holding = True
        broker = self._new_broker()
        try:
            stops = await self._state.stops()
            exits = self._register(broker, stops)
            async with broker.serving(), asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(self._connect(), name="session"),
                    tasks.create_task(self._state.run(stops), name="state"),
                ]
                if self._topics is not None:
                    running.append(tasks.create_task(self._topics.run(), name="topics"))
                try:
                    await stop.wait()
                    await self._leave(exits)
                finally:
                    if self._lease.lost:
                        self._disconnect()
                    for exit_ in exits:
                        exit_.cancel()
                    for task in running:
                        task.cancel()
        finally:
            self.is_holding = False

    def _disconnect(self) -> None:
        """At once: the next holder may have the session already."""
        self._session.abort()
        self._events.report(
            "ingest_lease_lost",
            "warning",
            f"ingest disconnected from MQTT: {self._lease.lost}",
            reason=str(self._lease.lost),
        )

    async def _connect(self) -> None:
        """Hold the session, once what the holder before has stored is known: the broker may deliver it again.

        To read it takes up to 10 s; the lease is renewed beside it."""
        packs, rejections, of_factory = await asyncio.gather(
            last_packs(self._bus, self._sites), last_rejections(self._bus), self._last_of_factory()
        )
        self._pipeline.hold(packs, rejections, of_factory, lambda: self._lease.valid_until)
        await self._session.run()

    async def _last_of_factory(self) -> list[tuple[str, float]]:
        return await last_of_factory(self._bus) if self._reads_factory else []

    async def _leave(self, exits: Sequence[DurableSubscriber]) -> None:
        """Stop in order: nothing new to send, finish what was received, DISCONNECT."""
        stopping = [asyncio.create_task(each.stop(), name="stop") for each in exits]
        if stopping:
            await asyncio.wait(stopping, timeout=_OUTBOX_STOP_S)
        await self._session.leave("shutdown")
