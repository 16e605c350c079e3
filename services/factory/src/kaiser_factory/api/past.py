"""Answers requests about the past: orders, workpieces, quality and figures, from the tables."""

import base64
from collections.abc import Callable

from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.api.factory import (
    FactoryFigures,
    FactoryOrderId,
    FactoryOrdersPage,
    FactoryOrdersQuery,
    FactoryTimeline,
    QualityId,
    QualityPage,
    QualityPicture,
    QualityQuery,
    WindowQuery,
    Workpiece,
    WorkpieceId,
)
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_common.contract.times import time_of
from kaiser_common.runtime.cursors import parse_cursor, to_cursor
from kaiser_common.runtime.database import DatabasePool
from psycopg.errors import QueryCanceled

from kaiser_factory.domain.figures import figures
from kaiser_factory.domain.live import FactoryState
from kaiser_factory.domain.workpieces import checked_between, stations
from kaiser_factory.store import figures as window
from kaiser_factory.store import reading

_LONGEST_WINDOW_MS = 31 * 86_400_000


class PastApi:
    """The methods that read the tables. The database does not answer: 503 (5304)."""

    def __init__(
        self,
        pool: DatabasePool,
        environment: Callable[[], FactoryEnvironment],
        live: Callable[[], FactoryState],
        now_ms: Callable[[], int],
        figures_within_s: float = 12.0,
    ) -> None:
        """figures_within_s: the longest time of the statements of one answer; the gateway waits for 20 s."""
        self._figures_within_s = figures_within_s
        self._pool = pool
        self._environment = environment
        self._live = live
        self._now_ms = now_ms

    async def orders(self, query: FactoryOrdersQuery, _: Caller) -> FactoryOrdersPage:
        """A page of orders, newest first."""
        before = None
        if query.cursor:
            at, order_id = parse_cursor(query.cursor, int, str)
            before = (int(at), str(order_id))
        async with self._pool.reading() as connection:
            found = await reading.orders(connection, self._env(), query.state, before, query.limit, self._now_ms())
        more = len(found) == query.limit
        cursor = to_cursor(found[-1][0], found[-1][1].order_id) if more else None
        return FactoryOrdersPage(items=[order for _, order in found], next_cursor=cursor)

    async def timeline(self, request: FactoryOrderId, _: Caller) -> FactoryTimeline:
        """An order with its steps; 404 where it is not known."""
        async with self._pool.reading() as connection:
            found = await reading.timeline(connection, self._env(), request.order_id, self._now_ms())
        if found is None:
            raise RpcError(404, Code.ESP_DEVICE_NOT_FOUND, f"there is no order {request.order_id}", "order_id")
        return found

    async def workpiece(self, request: WorkpieceId, _: Caller) -> Workpiece:
        """A workpiece; 404 where nothing is known of it."""
        env = self._env()
        async with self._pool.reading() as connection:
            orders = await reading.of_workpiece(connection, env, request.workpiece_id, self._now_ms())
            stock = await reading.stock_of_workpiece(connection, env, request.workpiece_id)
            checks = [
                check
                for start, end in checked_between(orders)
                for check in await reading.quality_between(connection, env, time_of(start), time_of(end))
            ]
        if not orders and not stock:
            text = f"nothing is known of a workpiece {request.workpiece_id}"
            raise RpcError(404, Code.ESP_DEVICE_NOT_FOUND, text, "workpiece_id")
        return Workpiece(
            workpiece_id=request.workpiece_id, orders=orders, stations=stations(orders), quality=checks, stock=stock
        )

    async def quality(self, query: QualityQuery, _: Caller) -> QualityPage:
        """A page of checks, newest first."""
        async with self._pool.reading() as connection:
            items = await reading.quality(connection, self._env(), query.before, query.limit)
        more = len(items) == query.limit
        return QualityPage(items=items, next_cursor=str(items[-1].quality_id) if more else None)

    async def picture(self, request: QualityId, _: Caller) -> QualityPicture:
        """The picture of a check; 404 where none is kept."""
        async with self._pool.reading() as connection:
            found = await reading.picture(connection, self._env(), request.quality_id)
        if found is None:
            text = f"there is no picture of check {request.quality_id}: those of the last 200 are kept"
            raise RpcError(404, Code.NOT_FOUND, text, "quality_id")
        return QualityPicture(mime=found[0], data_base64=base64.b64encode(found[1]).decode())

    async def figures(self, query: WindowQuery, _: Caller) -> FactoryFigures:
        """Figures over a window of at most 31 days; 422 for another one, and where its rows take too long to add up."""
        if not 0 < query.to_ms - query.from_ms <= _LONGEST_WINDOW_MS:
            raise RpcError(422, Code.VALUE_OUT_OF_RANGE, "from must be before to, by at most 31 days", "to")
        config = self._live().factory.config
        start, end = time_of(query.from_ms), time_of(query.to_ms)
        try:
            async with self._pool.reading() as connection:
                sums = await window.sums(connection, self._env(), start, end, self._figures_within_s)
        except QueryCanceled as error:
            text = f"the figures of this window take longer than {self._figures_within_s:g} s: ask for a shorter one"
            raise RpcError(422, Code.VALUE_OUT_OF_RANGE, text, "from") from error
        return figures(start, end, sums, {} if config is None else config.durations)

    def _env(self) -> str:
        return self._environment().env
