"""The table of contents of actuator: which messages and which RPC method go to which function."""

from collections.abc import Mapping
from datetime import timedelta

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.consumer import Consumer
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.wiring import UNREACHABLE

from kaiser_actuator.api.commands import CommandApi
from kaiser_actuator.api.emergencies import EmergencyApi
from kaiser_actuator.api.registry import ActuatorRegistryApi
from kaiser_actuator.consumers.devices import ActuatorMessages
from kaiser_actuator.jobs.clears import Clears
from kaiser_actuator.jobs.clock import now_ms, utc_now
from kaiser_actuator.settings import ActuatorServiceSettings
from kaiser_actuator.store.emergency_ledger import EmergencyLedger
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
) -> None:
    """Register what actuator answers."""
    timeout = timedelta(seconds=settings.command_timeout_s)
    emergencies = EmergencyApi(bus, stops, ledger, clears, now_ms)
    commands = CommandApi(pool, bus, devices, stops, timeout, settings.commands_per_minute, utc_now)
    registry = ActuatorRegistryApi(pool, devices, stops, utc_now)
    rpc = broker.rpc(unavailable=UNREACHABLE, always=ALWAYS)
    rpc.method("emergency_stop", least="operator")(emergencies.stop)
    rpc.method("clear_emergency", least="operator")(emergencies.clear)
    rpc.method("emergencies")(emergencies.list_stops)
    rpc.method("command", least="operator")(commands.send)
    rpc.method("read_command")(commands.read)
    rpc.method("list")(registry.list_actuators)
    rpc.method("read")(registry.read)
    rpc.method("put", least="operator")(registry.put)
    rpc.method("delete", least="operator")(registry.delete)
    rpc.method("history")(registry.history)
    rpc.method("config_items")(registry.config_items)
