"""Applies a message to the state of the factory, through the function for its kind."""

from kaiser_factory_dialect import world_machines as machines
from kaiser_factory_dialect import world_orders as orders
from kaiser_factory_dialect.ccu_messages import (
    CcuConfig,
    CcuGlobal,
    CcuOrders,
    FactoryLayout,
    FactoryStock,
    OrderRequest,
    Pairing,
    ProductionFlows,
)
from kaiser_factory_dialect.facts import Fact
from kaiser_factory_dialect.messages import (
    AgvOrder,
    FactoryMessage,
    Factsheet,
    MachineConnection,
    MachineState,
    ModuleOrder,
    QualityCheck,
)
from kaiser_factory_dialect.world import Factory


def apply(factory: Factory, message: FactoryMessage) -> list[Fact]:
    """Change the state by a message that was accepted, and say what changed.

    A retained message fills the state in and sets no time: when it was sent is not known.
    """
    factory.clocks.hear(message)
    factory.kinds[message.kind] = factory.kinds.get(message.kind, 0) + 1
    match message:
        case MachineState():
            return machines.apply_state(factory, message)
        case MachineConnection():
            return machines.apply_connection(factory, message)
        case Factsheet():
            return machines.apply_factsheet(factory, message)
        case ModuleOrder():
            return machines.apply_module_order(factory, message)
        case OrderRequest():
            orders.apply_request(factory, message)
        case AgvOrder():
            return machines.apply_agv_order(factory, message)
        case Pairing():
            return machines.apply_pairing(factory, message)
        case CcuOrders():
            return orders.apply_orders(factory, message)
        case CcuGlobal():
            return orders.apply_global(factory, message)
        case FactoryStock():
            return orders.apply_stock(factory, message)
        case QualityCheck():
            return orders.apply_quality(factory, message)
        case FactoryLayout():
            factory.layout = message
        case ProductionFlows():
            factory.flows = message
        case CcuConfig():
            factory.config = message
    return []
