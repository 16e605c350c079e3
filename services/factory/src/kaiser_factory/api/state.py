"""Answers requests about the present from the live state in memory, also while the database is away."""

from collections.abc import Callable

from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.factory import (
    FactoryCoverage,
    FactoryFlows,
    FactoryLayoutAnswer,
    FactoryModules,
    FactoryStores,
    LayoutEdge,
    LayoutNode,
    SerialQuery,
)
from kaiser_common.contract.schemas.factory import FactoryModule
from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.layout import DEFAULT_LAYOUT

from kaiser_factory.domain.live import FactoryState


class StateApi:
    """The methods that need the live state alone. RpcError 503 (5402) until it is ready."""

    def __init__(self, live: Callable[[], FactoryState], now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._live = live

    async def modules(self, _: Nothing, __: Caller) -> FactoryModules:
        """Every module and AGV."""
        live = self._live()
        environment = live.environment
        return FactoryModules(
            env=environment.env, kind=environment.kind, epoch=environment.epoch, items=live.rows(self._now_ms())
        )

    async def module(self, query: SerialQuery, _: Caller) -> FactoryModule:
        """One module or AGV; 404 (5001) where it is not known."""
        try:
            return self._live().row(query.serial, self._now_ms())
        except KeyError as error:
            raise RpcError(404, Code.ESP_DEVICE_NOT_FOUND, f"there is no {query.serial}", "serial") from error

    async def stock(self, _: Nothing, __: Caller) -> FactoryStores:
        """The bays of every store."""
        return FactoryStores(items=self._live().stores(self._now_ms()))

    async def layout(self, _: Nothing, __: Caller) -> FactoryLayoutAnswer:
        """The layout, or the default installation until one is received."""
        known = self._live().factory.layout
        layout = known or DEFAULT_LAYOUT
        return FactoryLayoutAnswer(
            modules=[LayoutNode(serial=one.serial, type=one.type) for one in layout.modules],
            intersections=list(layout.intersections),
            roads=[
                LayoutEdge(start=one.start, end=one.end, length=one.length, direction=one.direction)
                for one in layout.roads
            ],
            fallback=known is None,
        )

    async def flows(self, _: Nothing, __: Caller) -> FactoryFlows:
        """The route of a workpiece of each type; empty until it is received."""
        flows = self._live().factory.flows
        return FactoryFlows(flows={} if flows is None else {name: list(one) for name, one in flows.flows.items()})

    async def coverage(self, _: Nothing, __: Caller) -> FactoryCoverage:
        """The received kinds of the catalogue, the tolerated oddities, and the fields that Kaiser does not read."""
        found = self._live().coverage
        kinds = {kind.value for kind in FactoryKind if kind is not FactoryKind.OBSERVED}
        return FactoryCoverage(
            kinds=dict(found.kinds),
            missing=sorted(kinds - found.kinds.keys()),
            oddities=dict(found.oddities),
            unknown={kind: dict(names) for kind, names in found.unknown.items()},
        )
