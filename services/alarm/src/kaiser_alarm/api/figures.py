"""Answers requests about the times in which conditions held, and figures of them."""

from collections.abc import Callable
from datetime import datetime, timedelta

from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.api.alarms import AlarmFigures, AlarmFiguresQuery, AlarmSpans, AlarmSpansQuery
from kaiser_common.contract.times import ms_of, time_of
from kaiser_common.runtime.database import DatabasePool

from kaiser_alarm.domain.figures import figures_by
from kaiser_alarm.store import standing

_WEEK = timedelta(days=7)
_MOST_CONDITIONS = 20_000
_MOST_FIGURES = 1000


class FiguresApi:
    """The handlers; each reads in a transaction of its own. zone_of: the zone in which a device is now."""

    def __init__(self, pool: DatabasePool, zone_of: Callable[[str], str | None], clock_ms: Callable[[], int]) -> None:
        self._pool = pool
        self._zone_of = zone_of
        self._clock_ms = clock_ms

    async def spans(self, query: AlarmSpansQuery, caller: Caller) -> AlarmSpans:
        """The times that touch a span."""
        from_at, to_at = time_of(query.from_ms), time_of(query.to_ms)
        _check(from_at, to_at)
        async with self._pool.connection() as connection:
            found = await standing.spans(connection, query, from_at, to_at)
        return AlarmSpans(items=found[-query.limit :], left_out=len(found) > query.limit)

    async def figures(self, query: AlarmFiguresQuery, caller: Caller) -> AlarmFigures:
        """Figures of a span, of the 20,000 conditions at most that held longest in it."""
        now = time_of(self._clock_ms())
        to_at = now if query.to_ms is None else time_of(query.to_ms)
        from_at = to_at - _WEEK if query.from_ms is None else time_of(query.from_ms)
        _check(from_at, to_at)
        async with self._pool.connection() as connection:
            stood = await standing.stood(connection, from_at, to_at, now, _MOST_CONDITIONS)
            acknowledged = await standing.acknowledged(connection, from_at, to_at, _MOST_CONDITIONS)
        items = figures_by(query.by, stood[:_MOST_CONDITIONS], acknowledged, self._zone_of)
        return AlarmFigures(
            by=query.by,
            from_ms=ms_of(from_at),
            to_ms=ms_of(to_at),
            items=items[:_MOST_FIGURES],
            left_out=len(stood) > _MOST_CONDITIONS or len(items) > _MOST_FIGURES,
        )


def _check(from_at: datetime, to_at: datetime) -> None:
    if from_at >= to_at:
        raise RpcError(422, Code.VALUE_OUT_OF_RANGE, "from must be before to", "from")
