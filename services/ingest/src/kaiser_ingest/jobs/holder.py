"""The work of the lease holder: the MQTT session, its outboxes and its answers; other replicas stand by."""

import asyncio
from collections.abc import Sequence

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.lease import Grant, Lease
from kaiser_common.contract.subjects import INGEST_OUTBOX, INGEST_URGENT, LEASE_BUCKET
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.loops import until_stopped
from kaiser_common.runtime.service import Service

from kaiser_ingest.consumers.factory_exit import FactoryExit
from kaiser_ingest.consumers.outbox import Outbox
from kaiser_ingest.consumers.receiver import Receiver
from kaiser_ingest.domain.stop_order import StopOrder
from kaiser_ingest.publish import SystemEvents
from kaiser_ingest.settings import IngestSettings
from kaiser_ingest.store.devices import KnownDevices
from kaiser_ingest.store.memory import Memory
from kaiser_ingest.store.read_back import last_packs, last_rejections

log = structlog.get_logger()

_OUTBOX_STOP_S = 2.0


class SessionHolder:
    """Runs what only the holder of the lease may run."""

    def __init__(
        self,
        bus: Bus,
        receiver: Receiver,
        known: KnownDevices,
        memory: Memory,
        events: SystemEvents,
        settings: IngestSettings,
        broker: Broker,
    ) -> None:
        self._bus = bus
        self._settings = settings
        self._dialect = receiver.dialect
        self._environments = receiver.environments
        self._known = known
        self._memory = memory
        self._session = receiver.session
        self._pipeline = receiver.pipeline
        self._events = events
        self._broker = broker
        self._lease = Lease(bus, f"ingest.{settings.site}", LEASE_BUCKET.ttl_s or 5.0)
        self._holding = False

    async def check(self) -> None:
        """Readiness: a standby is ready to take over, a holder once it is connected."""
        if self._holding or not self._lease.held_by_another:
            await self._session.check()

    async def run(self, service: Service) -> None:
        """Acquire the lease and hold the session until the lease is lost, repeatedly, until stopped."""
        while not service.stopping.is_set():
            acquiring = asyncio.create_task(self._lease.acquire(), name="lease")
            if not await until_stopped(service, acquiring):
                acquiring.cancel()
                return
            grant = acquiring.result()
            self._holding = True
            try:
                await self._hold(service, grant)
            finally:
                self._holding = False

    async def _hold(self, service: Service, grant: Grant) -> None:
        stops = await self._stops()
        outboxes: list[Outbox | FactoryExit] = [
            Outbox(
                self._bus,
                self._session,
                self._events,
                spec,
                stops=stops,
                memory=self._memory,
                generation_of=self._known.generations.get,
                is_offline=self._known.presence.is_offline,
            )
            for spec in (INGEST_OUTBOX, INGEST_URGENT)
            if self._settings.has_devices
        ]
        if (exit_ := self._factory_exit()) is not None:
            outboxes.append(exit_)
        async with self._broker.serving(), asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(self._lease.keep(grant), name="lease")
            connecting = tasks.create_task(self._connect(grant), name="session")
            sending = [tasks.create_task(outbox.run(service), name="outbox") for outbox in outboxes]
            if await until_stopped(service, keeping):
                self._session.abort()
                for outbox in outboxes:
                    outbox.stop()
                log.error("lease_lost", reason=keeping.result(), next="disconnected, waiting for the lease")
                self._events.tell("ingest_lease_lost", "warning", f"ingest disconnected from MQTT: {keeping.result()}")
            else:
                await self._leave(outboxes, sending)
            for task in (keeping, connecting, *sending):
                task.cancel()
        if service.stopping.is_set():
            await self._lease.release(grant)

    async def _connect(self, grant: Grant) -> None:
        """Hold the session, once what the holder before has stored is known: the broker may deliver it again."""
        packs, rejections = await asyncio.gather(last_packs(self._bus), last_rejections(self._bus))
        self._pipeline.hold(packs, rejections, lambda: grant.valid_until)
        await self._session.run()

    def _factory_exit(self) -> FactoryExit | None:
        """The way out to the factory, where its dialect is spoken."""
        if self._dialect is None or self._environments is None:
            return None
        environments = self._environments
        return FactoryExit(
            self._bus,
            self._session,
            self._events,
            self._dialect,
            lambda: environments.current,
            self._settings.vda5050_interfaces,
        )

    async def _stops(self) -> StopOrder:
        """The stops that went out, as the last holder of the lease stored them."""
        stops = StopOrder()
        stored = await self._memory.stops()
        try:
            stops.load(stored or b'{"forgotten":0,"stops":{}}')
        except ValueError as error:
            log.error("stops_unreadable", error=str(error))
        return stops

    async def _leave(self, outboxes: Sequence[Outbox | FactoryExit], sending: Sequence[asyncio.Task[None]]) -> None:
        """Stop in order: nothing new from the outbox, finish what was received, DISCONNECT."""
        for outbox in outboxes:
            outbox.stop()
        await asyncio.wait(sending, timeout=_OUTBOX_STOP_S)
        await self._session.leave("shutdown")
