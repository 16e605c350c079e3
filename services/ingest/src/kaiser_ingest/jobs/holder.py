"""The work of the lease holder: the MQTT session, what it sends and its answers; other replicas stand by."""

import asyncio
from collections.abc import Callable, Sequence

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.lease import Grant, Lease
from kaiser_common.contract.subjects import LEASE_BUCKET
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.durable import DurableSubscriber
from kaiser_common.runtime.loops import until_stopped
from kaiser_common.runtime.service import Service

from kaiser_ingest.consumers.receiver import Receiver
from kaiser_ingest.domain.stop_order import StopOrder
from kaiser_ingest.publish import SystemEvents
from kaiser_ingest.settings import IngestSettings
from kaiser_ingest.store.memory import Memory
from kaiser_ingest.store.read_back import last_packs, last_rejections

log = structlog.get_logger()

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
        memory: Memory,
        events: SystemEvents,
        settings: IngestSettings,
        new_broker: Callable[[], Broker],
        register: Register,
    ) -> None:
        self._bus = bus
        self._memory = memory
        self._session = receiver.session
        self._pipeline = receiver.pipeline
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
        """Acquire the lease and hold the session until the lease is lost, repeatedly, until stopped."""
        while not service.stopping.is_set():
            acquiring = asyncio.create_task(self._lease.acquire(), name="lease")
            if not await until_stopped(service, acquiring):
                acquiring.cancel()
                return
            grant = acquiring.result()
            self.is_holding = True
            try:
                await self._hold(service, grant)
            finally:
                self.is_holding = False

    async def _hold(self, service: Service, grant: Grant) -> None:
        broker = self._new_broker()
        exits = self._register(broker, await self._stops())
        async with broker.serving(), asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(self._lease.keep(grant), name="lease")
            connecting = tasks.create_task(self._connect(grant), name="session")
            if await until_stopped(service, keeping):
                self._session.abort()
                log.error("lease_lost", reason=keeping.result(), next="disconnected, waiting for the lease")
                self._events.report(
                    "ingest_lease_lost", "warning", f"ingest disconnected from MQTT: {keeping.result()}"
                )
            else:
                await self._leave(exits)
            for exit_ in exits:
                exit_.cancel()
            for task in (keeping, connecting):
                task.cancel()
        if service.stopping.is_set():
            await self._lease.release(grant)

    async def _connect(self, grant: Grant) -> None:
        """Hold the session, once what the holder before has stored is known: the broker may deliver it again."""
        packs, rejections = await asyncio.gather(last_packs(self._bus, self._sites), last_rejections(self._bus))
        self._pipeline.hold(packs, rejections, lambda: grant.valid_until)
        await self._session.run()

    async def _stops(self) -> StopOrder:
        """The stops that went out, as the last holder of the lease stored them."""
        stops = StopOrder()
        stored = await self._memory.stops()
        try:
            stops.load(stored or b'{"forgotten":0,"stops":{}}')
        except ValueError as error:
            log.error("stops_unreadable", error=str(error))
        return stops

    async def _leave(self, exits: Sequence[DurableSubscriber]) -> None:
        """Stop in order: nothing new to send, finish what was received, DISCONNECT."""
        stopping = [asyncio.create_task(each.stop(), name="stop") for each in exits]
        if stopping:
            await asyncio.wait(stopping, timeout=_OUTBOX_STOP_S)
        await self._session.leave("shutdown")
