"""The table of contents of factory: which function takes which messages, and which answers which RPC method."""

from kaiser_common.bus.consumer import Consumer
from kaiser_common.contract.methods.factory import METHODS
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.consume import Taking
from kaiser_common.runtime.wiring import UNREACHABLE, register

from kaiser_factory.api.past import PastApi
from kaiser_factory.api.state import StateApi
from kaiser_factory.api.steering import SteeringApi
from kaiser_factory.consumers.messages import MessageStore


def consume(broker: Broker, consumer: Consumer, messages: MessageStore) -> None:
    """Register what factory takes to store it. The live state follows the streams in consumers/live.py."""
    broker.durable(consumer, Taking(hold=True))(messages.on_messages)


def answer(broker: Broker, state: StateApi, past: PastApi, steering: SteeringApi) -> None:
    """Register what factory answers."""
    register(
        broker.rpc(unavailable=UNREACHABLE),
        METHODS,
        {
            "modules": state.modules,
            "module": state.module,
            "stock": state.stock,
            "layout": state.layout,
            "flows": state.flows,
            "coverage": state.coverage,
            "orders": past.orders,
            "timeline": past.timeline,
            "workpiece": past.workpiece,
            "quality": past.quality,
            "picture": past.picture,
            "figures": past.figures,
            "preview": steering.preview,
            "steer": steering.steer,
            "commands": steering.commands,
            "command": steering.command,
        },
    )
