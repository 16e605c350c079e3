"""Answers requests about the times in which conditions held, and figures of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import psycopg
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.api.alarms import AlarmFigures, AlarmFiguresQuery, AlarmSpans, AlarmSpansQuery
from kaiser_common.contract.times import ms_of, time_of
from kaiser_common.runtime.database import DatabasePool

from kaiser_alarm.domain.figures import figures_by
from kaiser_alarm.store import Connection, standing

_WEEK = timedelta(days=7)
LONGEST = timedelta(days=732)
"""Two years, the longest time that the console shows in one chart."""
_MOST_CONDITIONS = 20_000
_MOST_FIGURES = 1000
_MOST_WAITING = 32
"""Half of the requests that a service answers at once: acknowledgements always find room."""


class FiguresApi:
    """The handlers; each reads in a transaction of its own, and they take turns, so that they use one connection
    of the pool at a time and leave the others to events and notifications.

    zone_of: the zone in which a device is now. waits_s: how long a request waits for its turn, behind 32 others at
    most; 503 beyond that.
    statement_s: the longest time of one of its statements; 504 after that. Together they are less than a caller waits.
    """

    def __init__(
        self,
        pool: DatabasePool,
        zone_of: Callable[[str], str | None],
        clock_ms: Callable[[], int],
        waits_s: float = 6.0,
        statement_s: float = 5.0,
    ) -> None:
        self._pool = pool
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0
        self._waits_s = waits_s
        self._statement_s = statement_s
        self._zone_of = zone_of
        self._clock_ms = clock_ms

    async def spans(self, query: AlarmSpansQuery, caller: Caller) -> AlarmSpans:
        """The times that touch a span of 732 days at most."""
        from_at, to_at = time_of(query.from_ms), time_of(query.to_ms)
        _check(from_at, to_at)
        async with self._reading() as connection:
            found = await standing.spans(connection, query, from_at, to_at)
        return AlarmSpans(items=found[-query.limit :], left_out=len(found) > query.limit)

    async def figures(self, query: AlarmFiguresQuery, caller: Caller) -> AlarmFigures:
        """Figures of a span of 732 days at most: of the 20,000 conditions that held longest in it, and of the 20,000
        that were acknowledged most often."""
        now = time_of(self._clock_ms())
        to_at = now if query.to_ms is None else time_of(query.to_ms)
        from_at = to_at - _WEEK if query.from_ms is None else time_of(query.from_ms)
        _check(from_at, to_at)
        async with self._reading() as connection:
            stood = await standing.stood(connection, from_at, to_at, now, _MOST_CONDITIONS)
            acknowledged = await standing.acknowledged(connection, from_at, to_at, _MOST_CONDITIONS)
        are_more = max(len(stood), len(acknowledged)) > _MOST_CONDITIONS
        items = figures_by(query.by, stood[:_MOST_CONDITIONS], acknowledged[:_MOST_CONDITIONS], self._zone_of)
        return AlarmFigures(
            by=query.by,
            from_ms=ms_of(from_at),
            to_ms=ms_of(to_at),
            items=items[:_MOST_FIGURES],
            left_out=are_more or len(items) > _MOST_FIGURES,
        )

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Connection]:
        """A connection, of which these requests have one together, in a transaction with a short time for a
        statement."""
        if self._waiting >= _MOST_WAITING:
            raise _busy()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._waits_s):
                await self._turn.acquire()
        except TimeoutError as error:
            raise _busy() from error
        finally:
            self._waiting -= 1
        try:
            async with self._pool.connection() as connection:
                await standing.limit_statements(connection, self._statement_s)
                yield connection
        except psycopg.errors.QueryCanceled as error:
            text = f"counting took longer than {self._statement_s:g} s: ask for a shorter time"
            raise RpcError(504, Code.OPERATION_TIMEOUT, text, "from") from error
        finally:
            self._turn.release()


def _busy() -> RpcError:
    return RpcError(503, Code.DEPENDENCY_MISSING, "the figures of other requests are being counted: try again")


def _check(from_at: datetime, to_at: datetime) -> None:
    if from_at >= to_at:
        raise RpcError(422, Code.VALUE_OUT_OF_RANGE, "from must be before to", "from")
    if to_at - from_at > LONGEST:
        text = f"from is more than {LONGEST.days} days before to: ask for a shorter time"
        raise RpcError(422, Code.VALUE_OUT_OF_RANGE, text, "from")
