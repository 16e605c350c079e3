"""Requests to factory: the state, history and steering of the model factory."""

from functools import partial

from kaiser_common.contract.rpc import GATEWAY, Audited, Nothing, RpcMethod
from kaiser_common.contract.schemas.api.factory import (
    CommandsPage,
    CommandsQuery,
    FactoryCommandId,
    FactoryCoverage,
    FactoryFigures,
    FactoryFlows,
    FactoryLayoutAnswer,
    FactoryModules,
    FactoryOrderId,
    FactoryOrdersPage,
    FactoryOrdersQuery,
    FactoryStores,
    FactoryTimeline,
    QualityId,
    QualityPage,
    QualityPicture,
    QualityQuery,
    SerialQuery,
    SteerAnswer,
    SteerPlan,
    SteerRequest,
    WindowQuery,
    Workpiece,
    WorkpieceId,
)
from kaiser_common.contract.schemas.factory import FactoryCommandEntry, FactoryModule

_method = partial(RpcMethod, "factory")
_OF_REPLAYS = ("recorder", GATEWAY)
"""A replay compares the end with the one expected."""

METHODS: tuple[RpcMethod, ...] = (
    _method("modules", Nothing, FactoryModules, callers=_OF_REPLAYS),
    _method("module", SerialQuery, FactoryModule),
    _method("stock", Nothing, FactoryStores, callers=_OF_REPLAYS),
    _method("layout", Nothing, FactoryLayoutAnswer),
    _method("flows", Nothing, FactoryFlows),
    _method("coverage", Nothing, FactoryCoverage, callers=_OF_REPLAYS),
    _method("orders", FactoryOrdersQuery, FactoryOrdersPage, callers=_OF_REPLAYS),
    _method("timeline", FactoryOrderId, FactoryTimeline),
    _method("workpiece", WorkpieceId, Workpiece),
    _method("quality", QualityQuery, QualityPage),
    _method("picture", QualityId, QualityPicture),
    _method("figures", WindowQuery, FactoryFigures),
    _method("preview", SteerRequest, SteerPlan, least="operator"),
    _method(
        "steer",
        SteerRequest,
        SteerAnswer,
        least="operator",
        audited=Audited("steer_factory", ("do", "serial", "topic")),
    ),
    _method("commands", CommandsQuery, CommandsPage),
    _method("command", FactoryCommandId, FactoryCommandEntry),
)
