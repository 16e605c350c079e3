"""Answers requests about alarms."""

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.alarms import (
    AcknowledgeAlarm,
    ActiveAlarms,
    Alarm,
    AlarmKey,
    AlarmsPage,
    AlarmsQuery,
    AlarmStatistics,
    AlarmWithSteps,
    ShelveAlarm,
    StatisticsQuery,
)
from kaiser_common.contract.times import time_of
from kaiser_common.runtime.cursors import to_cursor
from kaiser_common.runtime.database import DatabasePool

from kaiser_alarm import metrics
from kaiser_alarm.domain import life
from kaiser_alarm.domain.board import Board
from kaiser_alarm.domain.conditions import is_momentary
from kaiser_alarm.store import alarms

_MOST_ACTIVE = 200

FoundT = TypeVar("FoundT")


class AlarmApi:
    """A change is committed before it is answered; on_steps is called after the commit."""

    def __init__(
        self,
        pool: DatabasePool,
        board: Board,
        is_loaded: Callable[[], bool],
        on_steps: Callable[[], None],
        clock_ms: Callable[[], int],
        devices_in: Callable[[str], list[str]],
    ) -> None:
        self._is_loaded = is_loaded
        self._pool = pool
        self._board = board
        self._on_steps = on_steps
        self._clock_ms = clock_ms
        self._devices_in = devices_in

    async def active(self, request: Nothing, caller: Caller) -> ActiveAlarms:
        """The active alarms, from memory."""
        if not self._is_loaded():
            raise RpcError(503, Code.DEPENDENCY_MISSING, "the alarms are not loaded yet")
        now = self._clock_ms()
        return ActiveAlarms(items=self._board.active(now, _MOST_ACTIVE), kinds=self._board.active_kinds(now))

    async def page(self, query: AlarmsQuery, caller: Caller) -> AlarmsPage:
        """A page of alarms."""
        devices = None if query.zone_id is None else self._devices_in(query.zone_id)
        async with self._pool.connection() as connection:
            found = await alarms.page(connection, query, time_of(self._clock_ms()), devices)
        items = found[: query.limit]
        more = len(found) > query.limit
        return AlarmsPage(items=items, next_cursor=to_cursor(items[-1].raised_at, items[-1].alarm_id) if more else None)

    async def read(self, request: AlarmKey, caller: Caller) -> AlarmWithSteps:
        """An alarm with its steps."""
        async with self._pool.connection() as connection:
            alarm = _found(await alarms.read(connection, request.alarm_id), request.alarm_id)
            return AlarmWithSteps(alarm=alarm, steps=await alarms.steps_of(connection, request.alarm_id))

    async def acknowledge(self, request: AcknowledgeAlarm, caller: Caller) -> Alarm:
        """Acknowledge an alarm. 409: it is acknowledged already."""

        def step(alarm: Alarm, now: int) -> life.LifeStep:
            done = life.acknowledged(alarm, now, caller.user, request.note, momentary=is_momentary(alarm.kind))
            if done is None:
                by = f" by {alarm.acknowledged_by}" if alarm.acknowledged_by else ""
                state = "closed" if alarm.state == "closed" else f"acknowledged{by} already"
                raise RpcError(409, Code.STATE_CHANGED, f"alarm {alarm.alarm_id} is {state}", "alarm_id")
            return done

        return await self._change(request.alarm_id, step)

    async def shelve(self, request: ShelveAlarm, caller: Caller) -> Alarm:
        """Silence an alarm for some time. 409: it is closed."""

        def step(alarm: Alarm, now: int) -> life.LifeStep:
            if alarm.state == "closed":
                raise RpcError(409, Code.STATE_CHANGED, f"alarm {alarm.alarm_id} is closed", "alarm_id")
            return life.shelved(alarm, now, caller.user, now + request.for_s * 1000, request.note)

        return await self._change(request.alarm_id, step)

    async def unshelve(self, request: AlarmKey, caller: Caller) -> Alarm:
        """End the silence of an alarm. 409: it is not shelved."""

        def step(alarm: Alarm, now: int) -> life.LifeStep:
            done = life.unshelved(alarm, now, caller.user) if alarm.state != "closed" else None
            if done is None:
                raise RpcError(409, Code.STATE_CHANGED, f"alarm {alarm.alarm_id} is not shelved", "alarm_id")
            return done

        return await self._change(request.alarm_id, step)

    async def statistics(self, query: StatisticsQuery, caller: Caller) -> AlarmStatistics:
        """Open alarms by severity, and the kinds of the last days."""
        now = time_of(self._clock_ms())
        async with self._pool.connection() as connection:
            return await alarms.statistics(connection, now, now - timedelta(days=query.days))

    async def _change(self, alarm_id: str, decide: Callable[[Alarm, int], life.LifeStep]) -> Alarm:
        async with self._pool.connection() as connection:
            alarm = _found(await alarms.read(connection, alarm_id, lock=True), alarm_id)
            step = decide(alarm, self._clock_ms())
            await alarms.note_steps(connection, [step])
        metrics.STEPS.labels(step.what).inc()
        self._board.take([step])
        self._on_steps()
        return step.alarm


def _found(alarm: FoundT | None, alarm_id: str) -> FoundT:
    if alarm is None:
        raise RpcError(404, Code.NOT_FOUND, f"no alarm {alarm_id}", "alarm_id")
    return alarm
