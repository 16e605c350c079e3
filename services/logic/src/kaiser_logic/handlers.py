"""The table of contents of logic: which messages and which RPC method go to which function."""

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.consumer import Consumer
from kaiser_common.contract.subjects import LOGIC_STORE
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.wiring import UNREACHABLE

from kaiser_logic.api.rules import LogicApi
from kaiser_logic.consumers.executions import ExecutionMessages


def consume(broker: Broker, bus: Bus, executions: ExecutionMessages) -> None:
    """Register what each replica of logic takes. Events are read by the holder of the lease (consumers/evaluator)."""
    broker.durable(Consumer(bus, LOGIC_STORE, max_messages=500))(executions.on_messages)


def answer(broker: Broker, rules: LogicApi) -> None:
    """Register what the holder of the lease answers."""
    rpc = broker.rpc(unavailable=UNREACHABLE)
    rpc.method("list")(rules.page)
    rpc.method("read")(rules.read)
    rpc.method("create", least="operator")(rules.create)
    rpc.method("put", least="operator")(rules.put)
    rpc.method("delete", least="operator")(rules.delete)
    rpc.method("test", least="operator")(rules.test)
    rpc.method("executions")(rules.executions)
