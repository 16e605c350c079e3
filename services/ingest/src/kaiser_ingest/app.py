"""Wiring of ingest: the holder of the lease has the MQTT session, its outboxes and its RPC; the rest always runs."""

import gc
from functools import partial

from kaiser_common.bus.connection import connect
from kaiser_common.contract.schemas.api.system import FACTORY_CHECK
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.loops import beside, unless_stopped
from kaiser_common.runtime.service import Service, run
from kaiser_common.runtime.status import answer_status
from prometheus_client import REGISTRY

from kaiser_ingest.consumers.receiver import receiver_of
from kaiser_ingest.handlers import contents
from kaiser_ingest.jobs.conditions import watch_conditions
from kaiser_ingest.jobs.digest import PresenceDigest
from kaiser_ingest.jobs.holder import SessionHolder
from kaiser_ingest.jobs.watchdog import watch_age
from kaiser_ingest.publish import SystemEvents
from kaiser_ingest.settings import IngestSettings
from kaiser_ingest.store.devices import KnownDevices
from kaiser_ingest.store.session_store import SessionStore

_GC_THRESHOLDS = (50_000, 20, 100)
"""A message's objects have no cycles and are freed by reference count: seeking cycles less often saves 10 % CPU."""


def main() -> None:
    """Run ingest until it is stopped."""
    gc.set_threshold(*_GC_THRESHOLDS)
    run("ingest", IngestSettings, work)


async def work(service: Service, settings: IngestSettings) -> None:
    """Hold the MQTT connection whenever the lease is ours."""
    async with connect(settings, "ingest") as bus, answer_status(bus, service):
        known, events, digest = KnownDevices(bus), SystemEvents(bus), PresenceDigest(bus, settings.ingest_digest_s)
        kept = SessionStore(bus, "" if settings.has_devices else "factory.")
        receiver = receiver_of(bus, settings, known, kept, events, digest.add, service.tracer)
        pipeline = receiver.pipeline
        new_broker = partial(Broker, bus, service, settings)
        register = partial(contents, bus, receiver, known, kept, events, settings)
        holder = SessionHolder(bus, receiver, kept, events, settings, new_broker, register)
        REGISTRY.register(pipeline.accounts)
        service.check("nats", bus.round_trip)
        service.check("mqtt", holder.check)
        if settings.has_factory:
            service.check(f"{FACTORY_CHECK}{settings.site}", bus.round_trip, needed=False)
        async with beside(
            devices=known.mirror.keep(),
            events=events.run(),
            digest=digest.run(),
            pipeline=pipeline.run(receiver.session.on_stored, receiver.session.read),
            conditions=watch_conditions(bus, holder, receiver, settings, events),
            watchdog=watch_age(pipeline.oldest_age_s, settings.ingest_ack_age_alarm_s, events, settings.source),
        ):
            if await unless_stopped(service, known.ready()):
                await holder.run(service)
        REGISTRY.unregister(pipeline.accounts)
