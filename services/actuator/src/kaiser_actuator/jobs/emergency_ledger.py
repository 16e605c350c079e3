"""Records emergency stops in the tables: stores each stop, cancels the open commands under it, publishes it, and keeps
the tables in line with the bucket."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog
from kaiser_common.bus.connection import Bus, Outgoing
from kaiser_common.bus.events import system_event
from kaiser_common.contract.bounds import WHOLE_DEVICE_GPIO
from kaiser_common.contract.schemas.api.actuators import Emergency
from kaiser_common.contract.times import ms_of, time_of
from kaiser_common.runtime.database import DatabasePool

from kaiser_actuator.domain.emergencies import key_of
from kaiser_actuator.domain.emergency_core import Delete, Held, Put
from kaiser_actuator.domain.unit import on_stop
from kaiser_actuator.publish import Step, conclude
from kaiser_actuator.store import actuators, emergencies, history
from kaiser_actuator.store.history import HistoryEntry
from kaiser_actuator.store.stops import Stops

log = structlog.get_logger()


class EmergencyLedger:
    """Writes stops into the tables after they are on their way. Killed before it has: `align` does it."""

    def __init__(
        self, pool: DatabasePool, bus: Bus, stops: Stops, timeout: timedelta, clock: Callable[[], datetime]
    ) -> None:
        self._pool = pool
        self._bus = bus
        self._stops = stops
        self._timeout = timeout
        self._clock = clock

    async def record(self, stop: Emergency) -> int:
        """Store a stop, cancel the open commands under it and publish it; the number of cancelled commands. A command
        that is being admitted holds its actuator's row: when this function has the lock, the command is stored and is
        cancelled. Its message on the OUTBOX is followed by the stop.
        """
        now = self._clock()
        async with self._pool.connection() as connection:
            new = await emergencies.add(connection, stop)
            step = Step(await actuators.lock_covered(connection, stop.esp_id, stop.gpio))
            for key, unit in step.before.items():
                step.units[key] = on_stop(unit, f"emergency stop: {stop.reason}", now)
            cancelled = sum(len(unit.ended) for unit in step.units.values())
            if stop.gpio is None:  # one actuator has had its OFF
                on = [key for key, unit in step.before.items() if unit.was_switched_on]
                await self._stops.switch_off_what_was_on(stop, on)
            if new:
                step.events.append(_raised_event(stop))
                step.history.append(_entry(stop, now, "raised", stop.raised_by, stop.reason))
            await conclude(connection, self._bus, step, now, self._timeout)
        await self._stops.follow(stop)
        if cancelled:
            log.warning("commands_cancelled", commands=cancelled, key=key_of(stop.esp_id, stop.gpio))
        return cancelled

    async def note_clear_asked(self, stop: Emergency, by: str, reason: str) -> None:
        """Keep who asked for a clear: without the database no clear begins."""
        await self.note_clears_asked([stop], by, reason)

    async def note_clears_asked(self, stops: Sequence[Emergency], by: str, reason: str) -> None:
        """As `note_clear_asked`, for many stops in one transaction."""
        now = self._clock()
        async with self._pool.connection() as connection:
            for stop in stops:
                await emergencies.add(connection, stop)  # one that the database was away for
            await history.add(connection, [_entry(stop, now, "clear asked", by, reason) for stop in stops])

    async def note_not_cleared(self, stop: Emergency) -> None:
        """Keep and publish that a device did not confirm a clear: its stop stays in force."""
        now = self._clock()
        text = stop.not_cleared or "the clear was not confirmed"
        async with self._pool.connection() as connection:
            await emergencies.add(connection, stop)
            await history.add(connection, [_entry(stop, now, "not cleared", "actuator", text)])
            await self._bus.publish_batch([_not_cleared_event(stop, text, now)])

    async def note_freed(self, stop: Emergency, by: str, reason: str) -> None:
        """Keep who had a device cleared that stood still for no stop in force."""
        async with self._pool.connection() as connection:
            await history.add(connection, [_entry(stop, self._clock(), "cleared", by, reason)])

    async def note_cleared(self, stop: Emergency, by: str, reason: str, sequence: int = 0) -> None:
        """Keep who cleared a stop and why, before the bucket forgets it. `sequence`: the place in the stream DEVICES at
        which the device says that it is clear, so that its alerts before that are echoes. 0 where no device says so: an
        alert that is not read yet then counts as a new stop."""
        now = self._clock()
        async with self._pool.connection() as connection:
            await emergencies.add(connection, stop)  # one that the database was away for
            await emergencies.clear(connection, stop, by, reason, now, sequence)
            await history.add(connection, [_entry(stop, now, "cleared", by, reason)])
            await self._bus.publish_batch([_cleared_event(stop, by, reason, now)])

    async def align(self) -> None:
        """Bring tables and bucket in line: each has what the other lost, and what was cleared is gone from both."""
        await self._stops.follow_bucket()
        board = self._stops.board()
        async with self._pool.connection() as connection:
            in_table = await emergencies.in_force(connection)
            known = {
                key: (
                    await emergencies.is_known(connection, stop.emergency_id),
                    await emergencies.is_cleared(connection, stop.emergency_id),
                )
                for key, held in board.items()
                if held.revision > 0  # one that is being raised has no number yet, and counts as older than all
                and (stop := held.stop).clearing is None
                and (key not in in_table or in_table[key].emergency_id != stop.emergency_id)
            }
        for key, (is_known, is_cleared) in known.items():
            if is_cleared:
                await self._end(board[key], key)
            elif not is_known:
                await self.record(board[key].stop)
        for key, stop in in_table.items():
            if key not in board:
                log.warning("emergency_restored", key=key, raised_by=stop.raised_by)
                await self._stops.apply(Put(key, stop.model_copy(update={"number": None}), 0))

    async def _end(self, held: Held, key: str) -> None:
        """End a stop that is cleared in the table. Its device may have been sent it again in between, as where it
        confirmed its clear just after the 15 s: it gets a clear once more."""
        ended = await self._stops.apply(Delete(key, held.revision))
        if ended is not None and held.stop.esp_id is not None and held.stop.gpio is None:
            self._stops.free(held.stop)


def _target(stop: Emergency) -> str:
    return "everything" if stop.esp_id is None else key_of(stop.esp_id, stop.gpio)


def _raised_event(stop: Emergency) -> Outgoing:
    return system_event(
        "emergency_stop",
        f"{_target(stop)} is stopped: {stop.reason}",
        stop.raised_at,
        event_id=f"emergency-{stop.emergency_id}",
        esp_id=stop.esp_id,
        severity="critical",
        details={
            "emergency_id": stop.emergency_id,
            "gpio": stop.gpio,
            "raised_by": stop.raised_by,
            "note": stop.reason,
        },
    )


def _cleared_event(stop: Emergency, by: str, reason: str, now: datetime) -> Outgoing:
    return system_event(
        "emergency_cleared",
        f"{_target(stop)} may be switched on again: {reason}",
        ms_of(now),
        event_id=f"emergency-{stop.emergency_id}-cleared",
        esp_id=stop.esp_id,
        severity="warning",
        details={"emergency_id": stop.emergency_id, "gpio": stop.gpio, "cleared_by": by, "note": reason},
    )


def _not_cleared_event(stop: Emergency, text: str, now: datetime) -> Outgoing:
    return system_event(
        "emergency_not_cleared",
        f"{text}: its stop stays in force",
        ms_of(now),
        event_id=f"emergency-{stop.emergency_id}-{stop.number}-not-cleared",
        esp_id=stop.esp_id,
        severity="critical",
        details={"emergency_id": stop.emergency_id, "reason": text},
    )


def _entry(stop: Emergency, now: datetime, what: str, actor: str, reason: str) -> HistoryEntry:
    at = time_of(stop.raised_at) if what == "raised" else time_of(ms_of(now))
    return HistoryEntry(
        at,
        stop.esp_id or "",
        WHOLE_DEVICE_GPIO if stop.gpio is None else stop.gpio,
        "emergency",
        f"{stop.emergency_id}-{what}" if what in ("raised", "cleared") else f"{stop.emergency_id}-{what}-{ms_of(now)}",
        state=False if what == "raised" else None,
        message=f"{what}: {reason}",
        actor=actor,
    )
