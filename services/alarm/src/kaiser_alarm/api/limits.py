"""Answers requests about limits of sensors."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.bus.turns import TURN_WITHIN_S, turn_of
from kaiser_common.contract.errors import Code
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.alarms import (
    LimitsKey,
    LimitsOfSensors,
    LimitsPage,
    LimitsQuery,
    PutLimits,
    SensorLimits,
)
from kaiser_common.contract.times import time_of
from kaiser_common.runtime.cursors import to_cursor
from kaiser_common.runtime.database import DatabasePool

from kaiser_alarm import metrics
from kaiser_alarm.domain.board import Board
from kaiser_alarm.domain.life import Clear, LifeStep, applied
from kaiser_alarm.domain.limits import contradiction, dropped
from kaiser_alarm.domain.readings import Watch
from kaiser_alarm.store import Connection, alarms, limits
from kaiser_alarm.store.limits import sensor_of


class LimitsApi:
    """Limits are in force with the next reading. Taking a limit away clears its alarm, in the same transaction.

    changing: held by each change until it is in force, because each puts all limits in force. waits_s: how long a
    change waits for those before it; 503 beyond that.
    """

    def __init__(
        self,
        pool: DatabasePool,
        board: Board,
        watch: Watch,
        changing: asyncio.Lock,
        on_steps: Callable[[], None],
        clock_ms: Callable[[], int],
        waits_s: float = TURN_WITHIN_S,
    ) -> None:
        self._pool = pool
        self._board = board
        self._watch = watch
        self._changing = changing
        self._on_steps = on_steps
        self._clock_ms = clock_ms
        self._waits_s = waits_s

    async def page(self, query: LimitsQuery, caller: Caller) -> LimitsPage:
        """A page of limits, by sensor."""
        async with self._pool.connection() as connection:
            found = await limits.page(connection, query)
        items = found[: query.limit]
        more = len(found) > query.limit
        return LimitsPage(items=items, next_cursor=to_cursor(*sensor_of(items[-1].sensor)) if more else None)

    async def of_sensors(self, request: LimitsOfSensors, caller: Caller) -> LimitsPage:
        """The limits of up to 1,000 sensors; those without limits are left out."""
        async with self._pool.connection() as connection:
            return LimitsPage(items=await limits.of_sensors(connection, request.sensors))

    async def read(self, request: LimitsKey, caller: Caller) -> SensorLimits:
        """The limits of a sensor. 404: it has none."""
        async with self._pool.connection() as connection:
            return _found(await limits.read(connection, request), request)

    async def put(self, request: PutLimits, caller: Caller) -> SensorLimits:
        """Set the limits of a sensor as a whole. 422 names the fields that contradict each other; 503: changes before
        this one take too long."""
        if (wrong := contradiction(request.limits)) is not None:
            raise RpcError(422, Code.VALUE_OUT_OF_RANGE, wrong.text, wrong.fields)
        now = time_of(self._clock_ms())
        async with self._turn():
            async with self._pool.connection() as connection:
                before = await limits.read(connection, request.sensor)
                await limits.put(connection, request, caller.user, now)
                steps = await self._clear_dropped(connection, before, request)
                every = await limits.read_all(connection)
            self._take(steps)
            self._watch.set_limits(every)
        return every[sensor_of(request.sensor)]

    async def delete(self, request: LimitsKey, caller: Caller) -> Nothing:
        """Remove the limits of a sensor. 404: it has none; 503: changes before this one take too long."""
        async with self._turn():
            async with self._pool.connection() as connection:
                before = _found(await limits.read(connection, request), request)
                await limits.delete(connection, request)
                steps = await self._clear_dropped(connection, before, None)
                every = await limits.read_all(connection)
            self._take(steps)
            self._watch.set_limits(every)
        return Nothing()

    def _turn(self) -> AbstractAsyncContextManager[None]:
        return turn_of(self._changing, "other limits are being changed", self._waits_s)

    async def _clear_dropped(
        self, connection: Connection, before: SensorLimits | None, request: PutLimits | None
    ) -> list[LifeStep]:
        if before is None:
            return []
        keys = dropped(sensor_of(before.sensor), before.limits, None if request is None else request.limits)
        at = self._clock_ms()
        steps = applied(await alarms.locked(connection, keys), [(Clear(key, at), "") for key in keys])
        await alarms.note_steps(connection, steps)
        return steps

    def _take(self, steps: list[LifeStep]) -> None:
        for step in steps:
            metrics.STEPS.labels(step.what).inc()
        if steps:
            self._board.take(steps)
            self._on_steps()


def _found(found: SensorLimits | None, key: LimitsKey) -> SensorLimits:
    if found is None:
        raise RpcError(404, Code.NOT_FOUND, f"no limits are set for {sensor_of(key).source}", "sensor_type")
    return found
