"""The factory: its state and its past, answered by factory."""

import base64
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, call
from kaiser_common.contract.bounds import MAX_EXACT
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.factory import (
    SERIAL,
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
    WindowQuery,
    Workpiece,
    WorkpieceId,
)
from kaiser_common.contract.schemas.api.times import Milliseconds
from kaiser_common.contract.schemas.factory import FactoryModule, FactoryOrder

from kaiser_gateway.http.auth import Guard

_FIGURES_TIMEOUT_S = 20.0

SerialPath = Annotated[str, Path(pattern=SERIAL, examples=["SVR3QA0022"])]
OrderIdPath = Annotated[str, Path(min_length=1, max_length=128, examples=["5b0c6d0e-3f4b-4f60-9b1e-0a1f5c2d7e31"])]
WorkpiecePath = Annotated[str, Path(min_length=1, max_length=64, examples=["04aa00bb11cc22"])]
QualityPath = Annotated[int, Path(ge=1, le=MAX_EXACT, examples=[17])]


def router(bus: Bus, guard: Guard) -> APIRouter:
    """/api/v1/factory."""
    routes = APIRouter(prefix="/api/v1/factory", tags=["factory"])
    viewer = guard.needs("viewer")

    @routes.get("/modules")
    async def list_factory_modules(caller: Caller = viewer) -> FactoryModules:
        """Every module and AGV as it is now, by serial."""
        return await call(bus, "factory", "modules", Nothing(), FactoryModules, caller=caller)

    @routes.get("/modules/{serial}")
    async def read_factory_module(serial: SerialPath, caller: Caller = viewer) -> FactoryModule:
        """One module or AGV."""
        return await call(bus, "factory", "module", SerialQuery(serial=serial), FactoryModule, caller=caller)

    @routes.get("/orders")
    async def list_factory_orders(
        state: Annotated[str | None, Query(pattern=r"^[A-Z_]{1,16}$")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[str | None, Query(max_length=300)] = None,
        caller: Caller = viewer,
    ) -> FactoryOrdersPage:
        """Orders of the central control, newest first, including those that it no longer lists."""
        query = FactoryOrdersQuery(state=state, limit=limit, cursor=cursor)
        return await call(bus, "factory", "orders", query, FactoryOrdersPage, caller=caller)

    @routes.get("/orders/{order_id}")
    async def read_factory_order(order_id: OrderIdPath, caller: Caller = viewer) -> FactoryOrder:
        """One order."""
        request = FactoryOrderId(order_id=order_id)
        return (await call(bus, "factory", "timeline", request, FactoryTimeline, caller=caller)).order

    @routes.get("/orders/{order_id}/timeline")
    async def read_factory_timeline(order_id: OrderIdPath, caller: Caller = viewer) -> FactoryTimeline:
        """An order with its steps: planned, started, stopped, as received, and the waiting between them."""
        request = FactoryOrderId(order_id=order_id)
        return await call(bus, "factory", "timeline", request, FactoryTimeline, caller=caller)

    @routes.get("/workpieces/{workpiece_id}")
    async def read_workpiece(workpiece_id: WorkpiecePath, caller: Caller = viewer) -> Workpiece:
        """A workpiece: its orders with their steps, and where it was stored."""
        request = WorkpieceId(workpiece_id=workpiece_id)
        return await call(bus, "factory", "workpiece", request, Workpiece, caller=caller)

    @routes.get("/stock")
    async def read_factory_stock(caller: Caller = viewer) -> FactoryStores:
        """The bays of every store as they are now."""
        return await call(bus, "factory", "stock", Nothing(), FactoryStores, caller=caller)

    @routes.get("/layout")
    async def read_factory_layout(caller: Caller = viewer) -> FactoryLayoutAnswer:
        """Where modules and intersections are, and the roads between them."""
        return await call(bus, "factory", "layout", Nothing(), FactoryLayoutAnswer, caller=caller)

    @routes.get("/flows")
    async def read_factory_flows(caller: Caller = viewer) -> FactoryFlows:
        """The types of module that a workpiece of each type passes."""
        return await call(bus, "factory", "flows", Nothing(), FactoryFlows, caller=caller)

    @routes.get("/quality")
    async def list_factory_quality(
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[int | None, Query(ge=1, le=MAX_EXACT)] = None,
        caller: Caller = viewer,
    ) -> QualityPage:
        """Checks of quality, newest first."""
        query = QualityQuery(limit=limit, before=cursor)
        return await call(bus, "factory", "quality", query, QualityPage, caller=caller)

    @routes.get("/quality/{quality_id}/picture", response_class=Response)
    async def read_quality_picture(quality_id: QualityPath, caller: Caller = viewer) -> Response:
        """The picture of a check; those of the last 200 are kept."""
        request = QualityId(quality_id=quality_id)
        found = await call(bus, "factory", "picture", request, QualityPicture, caller=caller)
        return Response(base64.b64decode(found.data_base64), media_type=found.mime)

    @routes.get("/figures")
    async def read_factory_figures(
        from_: Annotated[Milliseconds, Query(alias="from", description="ms since 1970")],
        to: Annotated[Milliseconds, Query(description="ms since 1970, not included")],
        caller: Caller = viewer,
    ) -> FactoryFigures:
        """Availability, performance, quality and OEE of each module, the AGVs' shares, and the line's lead times."""
        query = WindowQuery(from_ms=from_, to_ms=to)
        return await call(bus, "factory", "figures", query, FactoryFigures, caller=caller, timeout_s=_FIGURES_TIMEOUT_S)

    @routes.get("/coverage")
    async def read_factory_coverage(caller: Caller = viewer) -> FactoryCoverage:
        """The received kinds of messages, the tolerated oddities, and the fields that Kaiser does not read."""
        return await call(bus, "factory", "coverage", Nothing(), FactoryCoverage, caller=caller)

    return routes
