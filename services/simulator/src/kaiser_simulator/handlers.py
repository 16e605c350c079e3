"""The table of contents of the simulator: which messages and which RPC method go to which function."""

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.consumer import Consumer
from kaiser_common.contract.subjects import SIMULATOR
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.wiring import UNREACHABLE

from kaiser_simulator.api.mocks import MockApi
from kaiser_simulator.api.parts import PartsApi
from kaiser_simulator.consumers.downlinks import MockDownlinks
from kaiser_simulator.jobs.registrar import Registrar
from kaiser_simulator.settings import SimulatorSettings
from kaiser_simulator.store.changes import Clock, Mocks


def consume(broker: Broker, bus: Bus, downlinks: MockDownlinks, settings: SimulatorSettings) -> None:
    """Register what the simulator takes."""
    broker.durable(Consumer(bus, SIMULATOR, max_messages=settings.simulator_batch))(downlinks.on_messages)


def answer(broker: Broker, mocks: Mocks, registrar: Registrar, settings: SimulatorSettings, clock: Clock) -> None:
    """Register what the simulator answers."""
    api = MockApi(mocks, registrar, clock, settings.simulator_mocks_max)
    parts = PartsApi(mocks, clock)
    rpc = broker.rpc(unavailable=UNREACHABLE)
    rpc.method("list", least="operator")(api.list_mocks)
    rpc.method("read", least="operator")(api.read)
    rpc.method("create", least="operator")(api.create)
    rpc.method("create_many", least="operator")(api.create_many)
    rpc.method("delete", least="operator")(api.delete)
    rpc.method("start", least="operator")(api.start)
    rpc.method("stop", least="operator")(api.stop)
    rpc.method("heartbeat", least="operator")(api.heartbeat)
    rpc.method("state", least="operator")(api.state)
    rpc.method("faults", least="operator")(api.faults)
    rpc.method("emergency", least="operator")(api.emergency)
    rpc.method("messages", least="operator")(api.messages)
    rpc.method("add_sensor", least="operator")(parts.add_sensor)
    rpc.method("remove_sensor", least="operator")(parts.remove_sensor)
    rpc.method("set_values", least="operator")(parts.set_values)
    rpc.method("clear_value", least="operator")(parts.clear_value)
    rpc.method("add_actuator", least="operator")(parts.add_actuator)
    rpc.method("remove_actuator", least="operator")(parts.remove_actuator)
    rpc.method("actuators", least="operator")(parts.actuators)
