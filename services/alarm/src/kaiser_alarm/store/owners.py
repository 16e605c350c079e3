"""Asks the owners of devices, sensors, stops and commands for their current state, and sensor once for thresholds."""

from collections.abc import Mapping
from types import MappingProxyType

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, all_pages, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.actuators import Emergencies, EmergenciesQuery, Emergency, FailedCommands
from kaiser_common.contract.schemas.api.devices import Device, DevicesPage, DevicesQuery
from kaiser_common.contract.schemas.api.sensors import (
    ConfigsPage,
    ConfigsQuery,
    LatestQuery,
    ReadingItem,
    ReadingsPage,
    SensorConfig,
)

OWNERS: Mapping[str, str] = MappingProxyType(
    {"devices": "health", "sensors": "sensor", "stops": "actuator", "commands": "actuator"}
)
"""Which service owns the state of each group of conditions."""

THRESHOLDS = "thresholds"
"""Asked once, of sensor: the thresholds that configurations had before limits took their place."""

ALARM = Caller(user="alarm", role="viewer")
_WITHIN_S = 3.0
_MOST_PAGES = 200


async def devices(bus: Bus) -> list[Device]:
    """All devices. RpcError: health does not answer."""
    return await all_pages(
        lambda cursor: call(
            bus,
            "health",
            "list",
            DevicesQuery(limit=1000, cursor=cursor),
            DevicesPage,
            caller=ALARM,
            timeout_s=_WITHIN_S,
        ),
        _MOST_PAGES,
    )


async def newest_readings(bus: Bus) -> list[ReadingItem]:
    """The newest reading of every sensor. RpcError: sensor does not answer."""
    return await all_pages(
        lambda cursor: call(
            bus, "sensor", "latest", LatestQuery(cursor=cursor), ReadingsPage, caller=ALARM, timeout_s=_WITHIN_S
        ),
        _MOST_PAGES,
    )


async def stops(bus: Bus) -> list[Emergency]:
    """The emergency stops in force. RpcError: actuator does not answer."""
    return await all_pages(
        lambda cursor: call(
            bus,
            "actuator",
            "emergencies",
            EmergenciesQuery(cursor=cursor),
            Emergencies,
            caller=ALARM,
            timeout_s=_WITHIN_S,
        ),
        _MOST_PAGES,
    )


async def failed_commands(bus: Bus) -> FailedCommands:
    """The actuators whose last command did not succeed. RpcError: actuator does not answer."""
    return await call(bus, "actuator", "failed_commands", Nothing(), FailedCommands, caller=ALARM, timeout_s=_WITHIN_S)


async def configs(bus: Bus) -> list[SensorConfig]:
    """All configured sensors. RpcError: sensor does not answer."""
    return await all_pages(
        lambda cursor: call(
            bus,
            "sensor",
            "configs",
            ConfigsQuery(limit=1000, cursor=cursor),
            ConfigsPage,
            caller=ALARM,
            timeout_s=_WITHIN_S,
        ),
        _MOST_PAGES,
    )
