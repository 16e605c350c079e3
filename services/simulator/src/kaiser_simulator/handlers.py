"""The table of contents of the simulator: which function takes which messages, and which answers which RPC method."""

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.consumer import Consumer
from kaiser_common.contract.methods.simulator import METHODS
from kaiser_common.contract.subjects import SIMULATOR
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.wiring import UNREACHABLE, register

from kaiser_simulator.api.factory import MockFactoryApi
from kaiser_simulator.api.mocks import MockApi
from kaiser_simulator.api.parts import PartsApi
from kaiser_simulator.consumers.downlinks import MockDownlinks
from kaiser_simulator.jobs.factory import MockFactoryRunner
from kaiser_simulator.jobs.registrar import Registrar
from kaiser_simulator.settings import SimulatorSettings
from kaiser_simulator.store.changes import Clock, Mocks


def consume(broker: Broker, bus: Bus, downlinks: MockDownlinks, settings: SimulatorSettings) -> None:
    """Register what the simulator takes."""
    broker.durable(Consumer(bus, SIMULATOR, max_messages=settings.simulator_batch))(downlinks.on_messages)


def answer(
    broker: Broker,
    mocks: Mocks,
    registrar: Registrar,
    runner: MockFactoryRunner,
    settings: SimulatorSettings,
    clock: Clock,
) -> None:
    """Register what the simulator answers."""
    api = MockApi(mocks, registrar, clock, settings.simulator_mocks_max)
    parts = PartsApi(mocks, clock)
    factory = MockFactoryApi(runner)
    register(
        broker.rpc(unavailable=UNREACHABLE),
        METHODS,
        {
            "list": api.list_mocks,
            "read": api.read,
            "create": api.create,
            "create_many": api.create_many,
            "delete": api.delete,
            "start": api.start,
            "stop": api.stop,
            "heartbeat": api.heartbeat,
            "state": api.state,
            "faults": api.faults,
            "emergency": api.emergency,
            "messages": api.messages,
            "add_sensor": parts.add_sensor,
            "remove_sensor": parts.remove_sensor,
            "set_values": parts.set_values,
            "clear_value": parts.clear_value,
            "add_actuator": parts.add_actuator,
            "remove_actuator": parts.remove_actuator,
            "actuators": parts.actuators,
            "factory": factory.read,
            "create_factory": factory.create,
            "factory_faults": factory.faults,
            "delete_factory": factory.delete,
        },
    )
