"""The table of contents of ingest: which messages and which RPC method go to which function."""

from kaiser_common.bus.connection import Bus
from kaiser_common.runtime.broker import Broker

from kaiser_ingest.api.profiles import ProfilesApi
from kaiser_ingest.api.rejected import RejectedMessages
from kaiser_ingest.consumers.receiver import Receiver
from kaiser_ingest.settings import IngestSettings
from kaiser_ingest.store.devices import KnownDevices

_DAY_MS = 86_400_000


def answer(
    broker: Broker, name: str, bus: Bus, receiver: Receiver, known: KnownDevices, settings: IngestSettings
) -> None:
    """Register what the holder of the lease answers."""
    rejected = RejectedMessages(bus, known.sites, settings.sensor_retention_days * _DAY_MS)
    profiles = ProfilesApi(receiver.session, receiver.environments)
    rpc = broker.rpc(name=name)
    rpc.method("rejected_list", least="operator")(rejected.page)
    rpc.method("rejected_replay", least="operator")(rejected.replay)
    rpc.method("mqtt_profiles")(profiles.profiles)
    rpc.method("switch_profile", least="admin")(profiles.switch)
    rpc.method("environment")(profiles.environment)
