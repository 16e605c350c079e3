"""Takes the current state from its owners where events were lost, and once the thresholds that became limits."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import NoReturn

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import RpcError
from kaiser_common.contract.schemas.api.alarms import Alarm
from kaiser_common.contract.schemas.sensor import type_of
from kaiser_common.runtime.clock import now_ms
from kaiser_common.runtime.verdicts import OUTAGES, reason_of

from kaiser_alarm.consumers.events import EventReading
from kaiser_alarm.domain import reconcile
from kaiser_alarm.domain.board import Board, at_time
from kaiser_alarm.domain.life import Finding, Key
from kaiser_alarm.domain.limits import Sensor, limits_of
from kaiser_alarm.domain.readings import Watch
from kaiser_alarm.store import owners

log = structlog.get_logger()

_LOOK_EVERY_S = 0.5
_RETRY_S = (1.0, 2.0, 5.0, 10.0)
_AWAY: tuple[type[Exception], ...] = (*OUTAGES, OSError, RpcError)


class OwnerReading:
    """Asks each owner that is owed until it has answered, once the events that were kept have been read: an older one
    would end the alarm of what the owner says to hold, and another raise it again. Events wait for the answer, at most
    three seconds a page of it: so an event that is newer is taken after it.

    Killed before an answer is stored: the next start asks again.
    """

    def __init__(self, bus: Bus, events: EventReading, board: Board, watch: Watch) -> None:
        self._bus = bus
        self._events = events
        self._board = board
        self._watch = watch

    async def run(self) -> NoReturn:
        """Look until cancelled."""
        tries = 0
        while True:
            await self._events.caught_up.wait()
            for owner in sorted(self._events.owed):
                tries = 0 if await self._ask(owner) else tries + 1
            await asyncio.sleep(_RETRY_S[min(tries, len(_RETRY_S)) - 1] if tries else _LOOK_EVERY_S)

    async def _ask(self, owner: str) -> bool:
        try:
            async with self._events.in_turn:
                if owner == owners.THRESHOLDS and owner in self._events.owed:
                    await self._take_thresholds()
                elif owner in self._events.owed:
                    at = now_ms()
                    findings = [at_time(finding, at) for finding in await self._state(owner, at)]
                    await self._events.settle(owner, [(finding, f"now-{owner}-{at}") for finding in findings])
        except _AWAY as error:
            reason = error.problem.detail if isinstance(error, RpcError) else reason_of(error)
            log.info("owner_not_asked", owner=owner, reason=reason)
            return False
        log.info("owner_asked", owner=owner)
        return True

    async def _take_thresholds(self) -> None:
        found = {
            Sensor(config.esp_id, config.gpio, type_of(config.sensor_type), config.address): limits
            for config in await owners.configs(self._bus)
            if (limits := limits_of(config)) is not None
        }
        await self._events.settle_limits(found, "thresholds of the sensor's configuration", datetime.now(UTC))

    async def _state(self, owner: str, at: int) -> Iterable[Finding]:
        alarms: Mapping[Key, Alarm] = dict(self._board.alarms)
        match owner:
            case "devices":
                return reconcile.of_devices(await owners.devices(self._bus), alarms, at)
            case "sensors":
                return reconcile.of_sensors(await owners.newest_readings(self._bus), self._watch, alarms, at)
            case "stops":
                return reconcile.of_stops(await owners.stops(self._bus), alarms, at)
            case "commands":
                return reconcile.of_commands(await owners.failed_commands(self._bus), alarms, at)
        return ()
