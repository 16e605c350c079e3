"""The table of contents of factory: which RPC method goes to which function."""

from typing import Any

from kaiser_common.bus.rpc import Method, Nothing
from kaiser_common.contract.schemas.api.factory import (
    CommandsQuery,
    FactoryCommandId,
    FactoryOrderId,
    FactoryOrdersQuery,
    QualityId,
    QualityQuery,
    SerialQuery,
    SteerRequest,
    WindowQuery,
    WorkpieceId,
)

from kaiser_factory.api.past import PastApi
from kaiser_factory.api.state import StateApi
from kaiser_factory.api.steering import SteeringApi


def methods(state: StateApi, past: PastApi, steering: SteeringApi) -> dict[str, Method[Any, Any]]:
    """By the name of the method."""
    return {
        "modules": Method(Nothing, state.modules),
        "module": Method(SerialQuery, state.module),
        "stock": Method(Nothing, state.stock),
        "layout": Method(Nothing, state.layout),
        "flows": Method(Nothing, state.flows),
        "coverage": Method(Nothing, state.coverage),
        "orders": Method(FactoryOrdersQuery, past.orders),
        "timeline": Method(FactoryOrderId, past.timeline),
        "workpiece": Method(WorkpieceId, past.workpiece),
        "quality": Method(QualityQuery, past.quality),
        "picture": Method(QualityId, past.picture),
        "figures": Method(WindowQuery, past.figures),
        "preview": Method(SteerRequest, steering.preview, least="operator"),
        "steer": Method(SteerRequest, steering.steer, least="operator"),
        "commands": Method(CommandsQuery, steering.commands),
        "command": Method(FactoryCommandId, steering.command),
    }
