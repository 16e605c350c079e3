"""The table of contents of logic: which function takes which messages, and which answers which RPC method."""

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.consumer import Consumer
from kaiser_common.contract.methods.logic import METHODS
from kaiser_common.contract.subjects import LOGIC_STORE
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.wiring import UNREACHABLE, register

from kaiser_logic.api.rules import LogicApi
from kaiser_logic.consumers.executions import ExecutionMessages


def consume(broker: Broker, bus: Bus, executions: ExecutionMessages) -> None:
    """Register what each replica of logic takes. Events are read by the holder of the lease (consumers/evaluator)."""
    broker.durable(Consumer(bus, LOGIC_STORE, max_messages=500))(executions.on_messages)


def answer(broker: Broker, rules: LogicApi) -> None:
    """Register what the holder of the lease answers."""
    register(
        broker.rpc(unavailable=UNREACHABLE),
        METHODS,
        {
            "list": rules.page,
            "read": rules.read,
            "create": rules.create,
            "put": rules.put,
            "patch": rules.patch,
            "delete": rules.delete,
            "test": rules.test,
            "test_settings": rules.test_settings,
            "executions": rules.executions,
        },
    )
