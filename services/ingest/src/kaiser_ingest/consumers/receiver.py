"""The receiver: a session and its pipeline, with the factory's dialect if the broker has a factory or is observed."""

from collections.abc import Callable
from typing import NamedTuple

from kaiser_common.bus.connection import Bus
from kaiser_common.runtime.clock import now_ms
from kaiser_common.runtime.tracing import Tracer

from kaiser_ingest.consumers.pipeline import Pipeline
from kaiser_ingest.consumers.session import MqttSession
from kaiser_ingest.domain.factory_dialect import FactoryDialect
from kaiser_ingest.domain.taps import Taps
from kaiser_ingest.publish import SystemEvents, report_wrong_clock
from kaiser_ingest.settings import IngestSettings
from kaiser_ingest.store.devices import KnownDevices
from kaiser_ingest.store.environments import Environments
from kaiser_ingest.store.session_store import SessionStore

_DAY_MS = 86_400_000

OnHeard = Callable[[dict[tuple[str, str], int]], None]
"""Called with (kaiser_id, esp_id) of accepted messages and the time of each, in ms."""


class Receiver(NamedTuple):
    """A message goes session → pipeline → bus; the session acknowledges what the pipeline gives back as stored."""

    session: MqttSession
    pipeline: Pipeline
    dialect: FactoryDialect | None
    environments: Environments | None
    taps: Taps


def receiver_of(
    bus: Bus,
    settings: IngestSettings,
    known: KnownDevices,
    kept: SessionStore,
    events: SystemEvents,
    on_heard: OnHeard,
    tracer: Tracer | None,
) -> Receiver:
    """A receiver that is not connected yet."""
    dialect, environments, taps = None, None, Taps(first_seq=now_ms() * 1000)
    if settings.has_factory or settings.observed():
        dialect = FactoryDialect(
            settings.vda5050_interfaces,
            settings.observed(),
            settings.device_filters(settings.mqtt_profile),
            lambda event, text, topic: events.report(event, "warning", text, topic=topic[:128]),
            settings.site,
            reads=settings.has_factory,
            keeps_factory="factory" in settings.topics_dialects,
        )
        environments = Environments(bus, settings.site, leads=settings.has_factory)

    def note_heard(devices: dict[tuple[str, str], int]) -> None:
        known.presence.heard(esp_id for _, esp_id in devices)
        on_heard(devices)

    pipeline = Pipeline(
        bus,
        known.sites,
        retention_ms=settings.sensor_retention_days * _DAY_MS,
        batch_size=settings.ingest_batch,
        qos0_limit=settings.ingest_qos0_limit,
        shards=settings.shards,
        on_heard=note_heard,
        on_wrong_clock=lambda wrong: report_wrong_clock(events, wrong),
        tracer=tracer,
        factory=dialect,
        taps=taps,
    )
    return Receiver(
        MqttSession(settings, pipeline, kept, events, dialect, environments), pipeline, dialect, environments, taps
    )
