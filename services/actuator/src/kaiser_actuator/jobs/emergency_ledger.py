"""Records emergency stops in the tables: stores each stop, cancels the open commands under it, publishes it, and keeps
the tables in line with the bucket."""

from collections.abc import Callable, Sequence, Set
from datetime import datetime, timedelta

import structlog
from kaiser_common.bus.connection import Bus, Outgoing
from kaiser_common.bus.events import system_event
from kaiser_common.contract.bounds import WHOLE_DEVICE_GPIO
from kaiser_common.contract.schemas.api.actuators import Emergency
from kaiser_common.contract.times import ms_of, time_of
from kaiser_common.runtime.database import DatabasePool

from kaiser_actuator.domain.emergencies import cancels, is_held_by_device, key_of, of_device
from kaiser_actuator.domain.emergency_core import Delete, Held, Put, holds, is_part
from kaiser_actuator.domain.unit import on_stop
from kaiser_actuator.publish import Step, conclude
from kaiser_actuator.store import Connection, actuators, emergencies, history
from kaiser_actuator.store.emergencies import Addition
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
        cancelled. Its message on the OUTBOX is followed by the stop. If the stop is over by then, only that it was
        raised is stored.
        """
        now = self._clock()
        async with self._pool.connection() as connection:
            cancelled = await self._cancel_under(connection, stop, now)
            if await emergencies.add(connection, stop) is Addition.NEW:
                await history.add(connection, [_entry(stop, now, "raised", stop.raised_by, stop.reason)])
                await self._bus.publish_batch([_raised_event(stop)])
        await self._stops.follow(stop)
        if cancelled:
            log.warning("commands_cancelled", commands=cancelled, key=key_of(stop.esp_id, stop.gpio))
        return cancelled

    async def _cancel_under(self, connection: Connection, stop: Emergency, now: datetime) -> int:
        """Cancel the open commands under a stop; their number. Actuators are locked before stops everywhere, and in the
        order of their keys, so that two transactions never wait for each other. Under a stop that was cleared in the
        meantime nothing is cancelled: its clear did that, and the commands since then are wanted."""
        step = Step(await actuators.lock_covered(connection, stop.esp_id, stop.gpio))
        if await emergencies.is_over(connection, stop):
            return 0
        for key, unit in step.before.items():
            step.units[key] = on_stop(unit, cancels(stop), now)
        if stop.gpio is None:  # one actuator has had its OFF
            on = [key for key, unit in step.before.items() if unit.was_switched_on]
            await self._stops.switch_off_what_was_on(stop, on)
        await conclude(connection, self._bus, step, now, self._timeout)
        return sum(len(unit.ended) for unit in step.units.values())

    async def note_clear_asked(self, stop: Emergency, by: str, reason: str) -> None:
        """Keep who asked for a clear: without the database no clear begins."""
        await self.note_clears_asked([stop], by, reason)

    async def note_clears_asked(self, stops: Sequence[Emergency], by: str, reason: str) -> None:
        """As `note_clear_asked`, for many stops in one transaction."""
        now = self._clock()
        async with self._pool.connection() as connection:
            found = await self._catch_up(connection, stops, now)
            await history.add(connection, [_entry(stop, now, "clear asked", by, reason) for stop in stops])
        for stop in found:  # not the stop again, which would put off its clear
            await self._stops.purge(stop)

    async def note_not_cleared(self, stop: Emergency) -> None:
        """Keep and publish that a device did not confirm a clear: its stop stays in force. If this fails, or is not
        reached, `align` does it."""
        async with self._pool.connection() as connection:
            found = await self._catch_up(connection, [stop], self._clock())
        for each in found:
            await self._stops.follow(each)

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
            found = await self._catch_up(connection, [stop], now)
            await emergencies.clear(connection, stop, by, reason, now, sequence)
            await history.add(connection, [_entry(stop, now, "cleared", by, reason)])
            await self._bus.publish_batch([_cleared_event(stop, by, reason, now)])
        for each in found:
            await self._stops.purge(each)

    async def _catch_up(self, connection: Connection, stops: Sequence[Emergency], now: datetime) -> Sequence[Emergency]:
        """Keep stops, and do for each what was left undone: the work of `record`, if the database was away, and to
        record and publish that its last clear was given up, if that step failed. A stop that has both changes nothing.

        Returns the stops that were not recorded: once this is committed, purge the commands under them, because one
        that was being admitted is on the OUTBOX by then."""
        stops = sorted(stops, key=lambda stop: (stop.esp_id or "", -1 if stop.gpio is None else stop.gpio))
        found = [
            stop
            for stop in stops
            if not is_part(stop) and not await emergencies.is_known(connection, stop.emergency_id)
        ]
        for stop in found:
            await self._cancel_under(connection, stop, now)
        entries: list[HistoryEntry] = []
        events: list[Outgoing] = []
        for stop in stops:
            kept = await emergencies.add(connection, stop)
            if kept is Addition.NEW and not is_part(stop):
                entries.append(_entry(stop, now, "raised", stop.raised_by, stop.reason))
                events.append(_raised_event(stop))
            if kept is not Addition.UNCHANGED and stop.not_cleared is not None:
                entries.append(_entry(stop, now, "not cleared", "actuator", stop.not_cleared))
                events.append(_not_cleared_event(stop, stop.not_cleared, now))
        await history.add(connection, entries)
        await self._bus.publish_batch(events)
        return found

    async def align(self) -> None:
        """Bring tables and bucket in line: each has what the other lost, and what was cleared is gone from both. A
        clear that was given up and not recorded is recorded."""
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
                and (key not in in_table or _is_missing(stop, in_table[key]))
            }
        for key, (is_known, is_cleared) in known.items():
            now_held = self._stops.held(key)
            if now_held is None or now_held.revision != board[key].revision:  # cleared or pressed again meanwhile
                continue
            if is_cleared:
                await self._end(board[key], key)
            elif board[key].stop.not_cleared is not None:
                await self.note_not_cleared(board[key].stop)
            elif not is_known:
                await self.record(board[key].stop)
        for key, stop in in_table.items():
            if key not in board:
                log.warning("emergency_restored", key=key, raised_by=stop.raised_by)
                await self._stops.apply(Put(key, stop.model_copy(update={"number": None}), 0))

    async def free_again(self, since: datetime, devices: Set[str]) -> None:
        """Send a clear once more to those of these devices whose stop was cleared since a time without their word,
        unless a stop holds them by now, in the bucket or in the table: a process that was killed after the clear may
        not have sent it."""
        async with self._pool.connection() as connection:
            in_table = await emergencies.in_force(connection)
            cleared = await emergencies.cleared_unconfirmed(connection, since)
        board = self._stops.board()
        for stop in cleared:
            esp_id = stop.esp_id
            if esp_id is None or esp_id not in devices or not is_held_by_device(stop):
                continue
            if not holds(board, esp_id) and not of_device(in_table.values(), esp_id):
                self._stops.free(stop)

    async def _end(self, held: Held, key: str) -> None:
        """End a stop that is cleared in the table. Its device may have been sent it again in between, as where it
        confirmed its clear just after the 15 s, or the clear may have failed halfway: it gets a clear once more."""
        ended = await self._stops.apply(Delete(key, held.revision))
        if ended is not None and is_held_by_device(held.stop):
            self._stops.free(held.stop)


def _is_missing(stop: Emergency, in_table: Emergency) -> bool:
    """Whether the table lacks a stop, or that its clear was given up, which gave it a new number."""
    return in_table.emergency_id != stop.emergency_id or (
        stop.not_cleared is not None and in_table.number != stop.number
    )


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
