"""Asks for the factory's environment: `ingest-factory`, at the factory's own broker, if it runs, else `ingest`."""

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, NotRunning, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.factory import EnvironmentStatus
from kaiser_common.contract.schemas.api.system import MqttProfiles, SwitchProfile

_SWITCH_S = 75.0
"""A switch waits 30 s for the new broker, and 30 s for the old one where that does not come up."""


async def environment_of(bus: Bus, caller: Caller) -> EnvironmentStatus:
    """The environment in force. RpcError 404 where no ingest speaks the factory's dialect."""
    try:
        return await call(bus, "ingest-factory", "environment", Nothing(), EnvironmentStatus, caller=caller)
    except NotRunning:
        return await call(bus, "ingest", "environment", Nothing(), EnvironmentStatus, caller=caller)


async def switch_to(bus: Bus, request: SwitchProfile, caller: Caller) -> EnvironmentStatus:
    """Switch the environment. An ingest without the factory's dialect is never switched: the devices' broker stays."""
    try:
        await call(bus, "ingest-factory", "switch_profile", request, MqttProfiles, caller=caller, timeout_s=_SWITCH_S)
    except NotRunning:
        await call(bus, "ingest", "environment", Nothing(), EnvironmentStatus, caller=caller)
        await call(bus, "ingest", "switch_profile", request, MqttProfiles, caller=caller, timeout_s=_SWITCH_S)
    return await environment_of(bus, caller)
