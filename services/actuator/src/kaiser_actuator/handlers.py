"""The table of contents of actuator: which function takes which messages, and which answers which RPC method."""

from collections.abc import Callable, Mapping
from datetime import timedelta

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.consumer import Consumer
from kaiser_common.contract.methods.actuator import METHODS
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.clock import now_ms, utc_now
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.wiring import UNREACHABLE, register

from kaiser_actuator.api.commands import CommandApi
from kaiser_actuator.api.emergencies import EmergencyApi
from kaiser_actuator.api.registry import ActuatorRegistryApi
from kaiser_actuator.consumers.devices import ActuatorMessages
from kaiser_actuator.jobs.clears import Clears
from kaiser_actuator.jobs.emergency_ledger import EmergencyLedger
from kaiser_actuator.settings import ActuatorServiceSettings
from kaiser_actuator.store.stops import Stops

ALWAYS = frozenset({"emergency_stop"})
"""Methods that never wait behind others."""


def consume(broker: Broker, consumer: Consumer, messages: ActuatorMessages) -> None:
    """Register what actuator takes."""
    broker.durable(consumer)(messages.on_messages)


def answer(
    broker: Broker,
    pool: DatabasePool,
    bus: Bus,
    devices: Mapping[str, DeviceRecord],
    stops: Stops,
    ledger: EmergencyLedger,
    clears: Clears,
    settings: ActuatorServiceSettings,
    takes_commands: Callable[[str], bool],
) -> None:
    """Register what actuator answers."""
    timeout = timedelta(seconds=settings.command_timeout_s)
    emergencies = EmergencyApi(bus, stops, ledger, clears, now_ms)
    per_minute = settings.commands_per_minute
    commands = CommandApi(pool, bus, devices, stops, timeout, per_minute, utc_now, takes_commands)
    registry = ActuatorRegistryApi(pool, devices, stops, utc_now)
    register(
        broker.rpc(unavailable=UNREACHABLE, always=ALWAYS),
        METHODS,
        {
            "emergency_stop": emergencies.stop,
            "clear_emergency": emergencies.clear,
            "emergencies": emergencies.list_stops,
            "command": commands.send,
            "read_command": commands.read,
            "failed_commands": commands.failed,
            "list": registry.list_actuators,
            "read": registry.read,
            "put": registry.put,
            "patch": registry.patch,
            "delete": registry.delete,
            "history": registry.history,
            "config_items": registry.config_items,
        },
    )
