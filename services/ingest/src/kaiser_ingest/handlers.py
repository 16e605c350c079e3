"""The table of contents of ingest: which function takes which messages, and which answers which RPC method."""

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.consumer import Consumer
from kaiser_common.contract.methods.ingest import METHODS
from kaiser_common.contract.subjects import INGEST_FACTORY, INGEST_OUTBOX, INGEST_URGENT
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.clock import now_ms
from kaiser_common.runtime.durable import DurableSubscriber
from kaiser_common.runtime.wiring import register

from kaiser_ingest.api.inspection import InspectionApi
from kaiser_ingest.api.messages import MessagesApi
from kaiser_ingest.api.profiles import ProfilesApi
from kaiser_ingest.api.rejected import RejectedMessages
from kaiser_ingest.api.rejected_causes import RejectedCauses
from kaiser_ingest.consumers import factory_exit, outbox
from kaiser_ingest.consumers.factory_exit import FactoryExit
from kaiser_ingest.consumers.outbox import Outbox
from kaiser_ingest.consumers.receiver import Receiver
from kaiser_ingest.consumers.urgent_first import UrgentFirst
from kaiser_ingest.domain.stop_order import StopOrder
from kaiser_ingest.publish import SystemEvents
from kaiser_ingest.settings import IngestSettings
from kaiser_ingest.store.devices import KnownDevices
from kaiser_ingest.store.session_store import SessionStore

_DAY_MS = 86_400_000


def contents(
    bus: Bus,
    receiver: Receiver,
    known: KnownDevices,
    kept: SessionStore,
    events: SystemEvents,
    settings: IngestSettings,
    broker: Broker,
    stops: StopOrder,
) -> list[DurableSubscriber]:
    """Register what the holder of the lease takes and answers; what it sends over MQTT is returned."""
    answer(broker, bus, receiver, known, settings)
    return send(broker, bus, receiver, known, kept, events, settings, stops)


def send(
    broker: Broker,
    bus: Bus,
    receiver: Receiver,
    known: KnownDevices,
    kept: SessionStore,
    events: SystemEvents,
    settings: IngestSettings,
    stops: StopOrder,
) -> list[DurableSubscriber]:
    """Register what the holder of the lease sends over MQTT. Stops and clears have a consumer of their own, which waits
    for no other; of the rest, what a killed predecessor held comes before what is newer."""
    subscribers = []
    urgent_first = UrgentFirst()
    for spec in (INGEST_OUTBOX, INGEST_URGENT) if settings.has_devices else ():
        consumer = Consumer(
            bus,
            spec,
            max_messages=outbox.MAX_MESSAGES,
            most_lines=outbox.MAX_LINES,
            in_order=spec is INGEST_OUTBOX,
        )
        to_devices = Outbox(
            bus,
            consumer,
            receiver.session,
            events,
            stops=stops,
            kept=kept,
            generation_of=known.generations.get,
            is_offline=known.presence.is_offline,
            taps=receiver.taps,
            urgent_first=urgent_first,
        )
        subscribers.append(broker.durable(consumer))
        subscribers[-1](to_devices.on_messages)
    if receiver.dialect is not None and receiver.dialect.reads and (environments := receiver.environments) is not None:
        consumer = Consumer(bus, INGEST_FACTORY, max_messages=factory_exit.MAX_MESSAGES)
        to_factory = FactoryExit(
            bus,
            consumer,
            receiver.session,
            events,
            receiver.dialect,
            lambda: environments.current,
            settings.vda5050_interfaces,
        )
        subscribers.append(broker.durable(consumer))
        subscribers[-1](to_factory.on_messages)
    return subscribers


def answer(broker: Broker, bus: Bus, receiver: Receiver, known: KnownDevices, settings: IngestSettings) -> None:
    """Register what the holder of the lease answers."""
    rejected = RejectedMessages(bus, known.sites, settings.sensor_retention_days * _DAY_MS, now_ms)
    causes = RejectedCauses(bus, known.sites, rejected)
    inspection = InspectionApi(receiver.taps, now_ms)
    profiles = ProfilesApi(receiver.session, receiver.environments if settings.has_factory else None)
    messages = MessagesApi(
        receiver.dialect, known.sites, settings.vda5050_interfaces, settings.sensor_retention_days * _DAY_MS, now_ms
    )
    register(
        broker.rpc(name="ingest" if settings.has_devices else "ingest-factory"),
        METHODS,
        {
            "rejected_list": rejected.page,
            "rejected_replay": rejected.replay,
            "rejected_causes": causes.causes,
            "rejected_replay_cause": causes.replay,
            "rejected_item": rejected.item,
            "rejected_check": rejected.check,
            "rejected_fix": rejected.fix,
            "device_messages": inspection.device_messages,
            "mqtt_profiles": profiles.profiles,
            "switch_profile": profiles.switch,
            "environment": profiles.environment,
            "check_message": messages.check,
            "retained": messages.retained,
            "restart_environment": profiles.restart,
            "disarm_environment": profiles.disarm,
        },
    )
