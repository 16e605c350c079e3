"""The table of contents of actuator: which RPC method goes to which function."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Method, Nothing
from kaiser_common.contract.schemas.api.actuators import (
    ActuatorKey,
    ActuatorsQuery,
    ClearEmergency,
    CommandId,
    EmergencyStop,
    HistoryQuery,
    PutActuator,
    SendCommand,
)
from kaiser_common.contract.schemas.api.devices import DeviceId
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.runtime.database import DatabasePool

from kaiser_actuator.api.commands import CommandApi
from kaiser_actuator.api.emergencies import EmergencyApi
from kaiser_actuator.api.registry import ActuatorRegistryApi
from kaiser_actuator.jobs.clears import Clears
from kaiser_actuator.jobs.clock import now_ms, utc_now
from kaiser_actuator.settings import ActuatorServiceSettings
from kaiser_actuator.store.emergency_ledger import EmergencyLedger
from kaiser_actuator.store.stops import Stops

ALWAYS = frozenset({"emergency_stop"})
"""Methods that never wait behind others."""


def methods(
    pool: DatabasePool,
    bus: Bus,
    devices: Mapping[str, DeviceRecord],
    stops: Stops,
    ledger: EmergencyLedger,
    clears: Clears,
    settings: ActuatorServiceSettings,
) -> dict[str, Method[Any, Any]]:
    """By the name of the method."""
    timeout = timedelta(seconds=settings.command_timeout_s)
    emergencies = EmergencyApi(bus, stops, ledger, clears, now_ms)
    commands = CommandApi(pool, bus, devices, stops, timeout, settings.commands_per_minute, utc_now)
    registry = ActuatorRegistryApi(pool, devices, stops, utc_now)
    return {
        "emergency_stop": Method(EmergencyStop, emergencies.stop, least="operator"),
        "clear_emergency": Method(ClearEmergency, emergencies.clear, least="operator"),
        "emergencies": Method(Nothing, emergencies.list_stops),
        "command": Method(SendCommand, commands.send, least="operator"),
        "read_command": Method(CommandId, commands.read),
        "list": Method(ActuatorsQuery, registry.list_actuators),
        "read": Method(ActuatorKey, registry.read),
        "put": Method(PutActuator, registry.put, least="operator"),
        "delete": Method(ActuatorKey, registry.delete, least="operator"),
        "history": Method(HistoryQuery, registry.history),
        "config_items": Method(DeviceId, registry.config_items),
    }
