"""The table of contents of ingest: which RPC method goes to which function."""

from typing import Any

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Method, Nothing
from kaiser_common.contract.schemas.api.rejected import RejectedQuery, ReplayRequest
from kaiser_common.contract.schemas.api.system import SwitchProfile

from kaiser_ingest.api.profiles import ProfilesApi
from kaiser_ingest.api.rejected import RejectedMessages
from kaiser_ingest.consumers.receiver import Receiver
from kaiser_ingest.settings import IngestSettings
from kaiser_ingest.store.devices import KnownDevices

_DAY_MS = 86_400_000


def methods(bus: Bus, receiver: Receiver, known: KnownDevices, settings: IngestSettings) -> dict[str, Method[Any, Any]]:
    """By the name of the method."""
    rejected = RejectedMessages(bus, known.sites, settings.sensor_retention_days * _DAY_MS)
    profiles = ProfilesApi(receiver.session, receiver.environments)
    return {
        "rejected_list": Method(RejectedQuery, rejected.page, least="operator"),
        "rejected_replay": Method(ReplayRequest, rejected.replay, least="operator"),
        "mqtt_profiles": Method(Nothing, profiles.profiles),
        "switch_profile": Method(SwitchProfile, profiles.switch, least="admin"),
        "environment": Method(Nothing, profiles.environment),
    }
