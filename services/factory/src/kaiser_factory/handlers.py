"""The table of contents of factory: which messages and which RPC method go to which function."""

from kaiser_common.bus.consumer import Consumer
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.wiring import UNREACHABLE

from kaiser_factory.api.past import PastApi
from kaiser_factory.api.state import StateApi
from kaiser_factory.api.steering import SteeringApi
from kaiser_factory.consumers.messages import MessageStore


def consume(broker: Broker, consumer: Consumer, messages: MessageStore) -> None:
    """Register what factory takes to store it. Topics are followed by jobs/topics."""
    broker.durable(consumer, hold=True)(messages.on_messages)


def answer(broker: Broker, state: StateApi, past: PastApi, steering: SteeringApi) -> None:
    """Register what factory answers."""
    rpc = broker.rpc(unavailable=UNREACHABLE)
    rpc.method("modules")(state.modules)
    rpc.method("module")(state.module)
    rpc.method("stock")(state.stock)
    rpc.method("layout")(state.layout)
    rpc.method("flows")(state.flows)
    rpc.method("coverage")(state.coverage)
    rpc.method("orders")(past.orders)
    rpc.method("timeline")(past.timeline)
    rpc.method("workpiece")(past.workpiece)
    rpc.method("quality")(past.quality)
    rpc.method("picture")(past.picture)
    rpc.method("figures")(past.figures)
    rpc.method("preview", least="operator")(steering.preview)
    rpc.method("steer", least="operator")(steering.steer)
    rpc.method("commands")(steering.commands)
    rpc.method("command")(steering.command)
