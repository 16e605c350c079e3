"""The composition root of ingest: who may connect holds the session, its outbox and its RPC; the rest always runs."""

import asyncio
import gc
from collections.abc import Sequence
from typing import Any

import structlog
from kaiser_common.bus import Bus, connect
from kaiser_common.errors import Code
from kaiser_common.lease import Grant, Lease
from kaiser_common.mirror import Mirror
from kaiser_common.rpc import Caller, Method, Nothing, RpcError, serve, tell_status
from kaiser_common.schemas.api.factory import EnvironmentStatus
from kaiser_common.schemas.api.rejected import RejectedQuery, ReplayRequest
from kaiser_common.schemas.api.system import MqttProfiles, SwitchProfile
from kaiser_common.schemas.device import DeviceRecord
from kaiser_common.service import Service, run
from kaiser_common.subjects import DEVICES_BUCKET, INGEST_OUTBOX, INGEST_URGENT, LEASE_BUCKET
from prometheus_client import REGISTRY

from kaiser_ingest.api.rejected import RejectedMessages
from kaiser_ingest.consumers.factory_exit import FactoryExit
from kaiser_ingest.consumers.outbox import Outbox
from kaiser_ingest.consumers.pipeline import Pipeline
from kaiser_ingest.consumers.session import Session, SwitchFailed
from kaiser_ingest.domain.clocks import WrongClock
from kaiser_ingest.domain.factory_dialect import FactoryDialect
from kaiser_ingest.domain.presence import Presence
from kaiser_ingest.domain.stop_order import StopOrder
from kaiser_ingest.jobs.alive import Heard
from kaiser_ingest.jobs.streams import watch_streams
from kaiser_ingest.jobs.watchdog import watch_age
from kaiser_ingest.publish import SystemEvents
from kaiser_ingest.settings import IngestSettings
from kaiser_ingest.store.environments import Environments, EnvironmentUnknown
from kaiser_ingest.store.memory import Memory
from kaiser_ingest.store.read_back import last_packs, last_rejections

log = structlog.get_logger()

_OUTBOX_STOP_S = 2.0
_DAY_MS = 86_400_000
_GC_THRESHOLDS = (50_000, 20, 100)
"""What a message needs has no cycles and goes by reference count: looking for cycles less often saves 10 % CPU."""


def main() -> None:
    """Run ingest until it is told to stop."""
    gc.set_threshold(*_GC_THRESHOLDS)
    run("ingest", IngestSettings, work)


async def work(service: Service, settings: IngestSettings) -> None:
    """Hold the MQTT connection whenever the lease is ours."""
    async with connect(settings, "ingest") as bus, tell_status(bus, service), asyncio.TaskGroup() as tasks:
        known = KnownDevices(bus)
        events = SystemEvents(bus)
        heard = Heard(bus, settings.ingest_digest_s)

        def on_heard(devices: dict[tuple[str, str], int]) -> None:
            known.presence.heard(esp_id for _, esp_id in devices)
            heard.add(devices)

        dialect, environments = None, None
        if settings.has_factory:
            dialect = FactoryDialect(
                settings.vda5050_interfaces,
                settings.observe,
                settings.device_filters(),
                lambda event, text, topic: events.tell(event, "warning", text, topic=topic[:128]),
                settings.site,
            )
            environments = Environments(bus)

        def pipeline_of(session: Session) -> Pipeline:
            return Pipeline(
                bus,
                known.sites,
                retention_ms=settings.sensor_retention_days * _DAY_MS,
                batch_size=settings.ingest_batch,
                qos0_limit=settings.ingest_qos0_limit,
                shards=settings.shards,
                on_stored=session.on_stored,
                on_heard=on_heard,
                on_wrong_clock=lambda wrong: tell_wrong_clock(events, wrong),
                tracer=service.tracer,
                factory=dialect,
            )

        memory = Memory(bus, "" if settings.has_devices else "factory.")
        session = Session(settings, pipeline_of, memory, events, dialect, environments)
        holder = Holder(bus, session, events, known, memory, settings, dialect, environments)
        REGISTRY.register(session.pipeline.accounts)
        service.check("nats", bus.round_trip)
        service.check("mqtt", holder.check)
        background = [
            tasks.create_task(each, name=name)
            for name, each in {
                "devices": known.mirror.keep(),
                "events": events.run(),
                "alive": heard.run(),
                "pipeline": session.pipeline.run(),
                "streams": watch_streams(bus),
                "watchdog": watch_age(session.pipeline.oldest_age_s, settings.ingest_ack_age_alarm_s, events),
            }.items()
        ]
        ready = tasks.create_task(known.ready(), name="devices-ready")
        if await _until(service, ready):
            await holder.run(service)
        for task in background:
            task.cancel()
        ready.cancel()
        REGISTRY.unregister(session.pipeline.accounts)


class KnownDevices:
    """The devices that are registered and approved, with the site that each must speak under, the generation of
    every firmware, and who is offline; kept current from KV."""

    def __init__(self, bus: Bus) -> None:
        self.sites: dict[str, str | None] = {}
        self.generations: dict[str, str] = {}
        self.presence = Presence()
        self.mirror: Mirror[DeviceRecord] = Mirror(bus, DEVICES_BUCKET, DeviceRecord.model_validate_json)
        self.mirror.on_change(self._changed)

    async def ready(self) -> None:
        """Wait until the registry was read once, with a log line every half minute."""
        while True:
            try:
                await self.mirror.ready(30.0)
            except TimeoutError:
                log.warning("devices_not_read_yet", bucket=DEVICES_BUCKET.name, hint="run migrate")
            else:
                log.info("devices_read", approved=len(self.sites))
                return

    def _changed(self, esp_id: str, record: DeviceRecord | None) -> None:
        self.presence.registered(esp_id, record)
        if record is None:
            self.generations.pop(esp_id, None)
        else:
            self.generations[esp_id] = record.generation
        if record is not None and record.state == "approved":
            self.sites[esp_id] = record.kaiser_id if record.kaiser_id_fixed else None
        else:
            self.sites.pop(esp_id, None)


class Holder:
    """Runs what only the holder of the lease may run."""

    def __init__(
        self,
        bus: Bus,
        session: Session,
        events: SystemEvents,
        known: KnownDevices,
        memory: Memory,
        settings: IngestSettings,
        dialect: FactoryDialect | None = None,
        environments: Environments | None = None,
    ) -> None:
        self._bus = bus
        self._settings = settings
        self._dialect = dialect
        self._environments = environments
        self._known = known
        self._memory = memory
        self._session = session
        self._events = events
        self._rejected = RejectedMessages(bus, known.sites, settings.sensor_retention_days * _DAY_MS)
        self._lease = Lease(bus, f"ingest.{settings.site}", LEASE_BUCKET.ttl_s or 5.0)
        self._holding = False

    async def check(self) -> None:
        """Readiness: a standby is ready to take over, a holder once it is connected."""
        if self._holding or not self._lease.held_by_another:
            await self._session.check()

    async def run(self, service: Service) -> None:
        """Take the lease, hold the session until the lease is lost, and again; until told to stop."""
        while not service.stopping.is_set():
            acquiring = asyncio.create_task(self._lease.acquire(), name="lease")
            if not await _until(service, acquiring):
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
        name = "ingest" if self._settings.has_devices else "ingest-factory"
        async with serve(self._bus, name, self._methods()), asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(self._lease.keep(grant), name="lease")
            connecting = tasks.create_task(self._connect(grant), name="session")
            sending = [tasks.create_task(outbox.run(service), name="outbox") for outbox in outboxes]
            if await _until(service, keeping):
                self._session.abort()
                for outbox in outboxes:
                    outbox.stop()
                log.error("lease_lost", reason=keeping.result(), next="disconnected, waiting for the lease")
                self._events.tell("ingest_lease_lost", "warning", f"ingest let go of MQTT: {keeping.result()}")
            else:
                await self._leave(outboxes, sending)
            for task in (keeping, connecting, *sending):
                task.cancel()
        if service.stopping.is_set():
            await self._lease.release(grant)

    async def _connect(self, grant: Grant) -> None:
        """Hold the session, once what the holder before has stored is known: the broker may deliver it again."""
        packs, rejections = await asyncio.gather(last_packs(self._bus), last_rejections(self._bus))
        self._session.pipeline.hold(packs, rejections, lambda: grant.valid_until)
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

    def _methods(self) -> dict[str, Method[Any, Any]]:
        return {
            "rejected_list": Method(RejectedQuery, self._rejected.page, least="operator"),
            "rejected_replay": Method(ReplayRequest, self._rejected.replay, least="operator"),
            "mqtt_profiles": Method(Nothing, self._profiles),
            "switch_profile": Method(SwitchProfile, self._switch, least="admin"),
            "environment": Method(Nothing, self._environment),
        }

    async def _profiles(self, _: Nothing, __: Caller) -> MqttProfiles:
        session = self._session
        return MqttProfiles(active=session.active, profiles=sorted(session.profiles))

    async def _environment(self, _: Nothing, __: Caller) -> EnvironmentStatus:
        """The factory's environment. RpcError 404: the dialect is off; 503: none was entered yet."""
        if self._environments is None:
            raise RpcError(404, Code.PROCESSING_FAILED, "the factory's dialect is off: see KAISER_MQTT_DIALECTS")
        found, session = self._environments.current, self._session
        if found is None:
            raise RpcError(503, Code.BROKER_UNAVAILABLE, "no environment of the factory was entered yet")
        return EnvironmentStatus(
            env=found.env,
            kind=found.kind,
            epoch=found.epoch,
            broker=found.broker,
            since=found.since,
            armed=found.armed,
            connected_since=session.connected_since,
            client_id=session.client_id(),
            session_present=session.session_present,
            profiles=sorted(session.profiles),
        )

    async def _switch(self, request: SwitchProfile, caller: Caller) -> MqttProfiles:
        """Answers once the new broker is up; 502 with the reason if it is not within 30 s."""
        if request.profile not in self._session.profiles:
            raise RpcError(404, Code.BROKER_UNAVAILABLE, f"no MQTT profile {request.profile!r}", "profile")
        self._check_arm(request)
        log.info("profile_switch_asked", profile=request.profile, user=caller.user, arm=request.arm is not None)
        try:
            await self._session.switch(request.profile)
            if self._environments is not None:
                await self._environments.arm(armed=request.arm is not None)
        except SwitchFailed as error:
            raise RpcError(502, Code.BROKER_UNAVAILABLE, f"profile {request.profile}: {error}") from error
        except EnvironmentUnknown as error:
            raise RpcError(503, Code.DEPENDENCY_MISSING, f"profile {request.profile}: {error}") from error
        return await self._profiles(Nothing(), caller)

    def _check_arm(self, request: SwitchProfile) -> None:
        """RpcError 422: arm is not the name of the profile; 409 (5405): it is no replay."""
        if request.arm is None:
            return
        if request.arm != request.profile:
            raise RpcError(422, Code.VALUE_OUT_OF_RANGE, "arm is the name of the profile once more", "arm")
        kind = self._session.profiles[request.profile].kind_of(request.profile)
        if self._environments is None or kind != "replay":
            raise RpcError(409, Code.PERMISSION_DENIED, f"{request.profile} is no replay of the factory", "arm")


def tell_wrong_clock(events: SystemEvents, wrong: WrongClock) -> None:
    """A system event that names the device and how far its clock is off."""
    ahead = wrong.event == "clock_ahead"
    side, instead = ("ahead", "the receive time is used instead") if ahead else ("behind", "its readings look old")
    message = f"the clock of {wrong.esp_id} is {wrong.off_s} s {side}: {instead}"
    events.tell(wrong.event, "warning", message, esp_id=wrong.esp_id, off_s=wrong.off_s)


async def _until(service: Service, task: "asyncio.Task[Any]") -> bool:
    """Wait for the task or for the signal to stop; True if the task is done. It is not cancelled."""
    stopping = asyncio.create_task(service.stopping.wait())
    try:
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    return task.done()
