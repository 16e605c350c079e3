"""Expires commands, ends durations, sends returning devices stops and commands, compares tables with the bucket."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

import structlog
from kaiser_common.bus.connection import Bus, BusUnavailable
from kaiser_common.bus.waiting import set_within
from kaiser_common.contract.schemas.api.actuators import Emergency
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.times import ms_of
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.verdicts import OUTAGES, reason_of
from nats.errors import Error as NatsError

from kaiser_actuator import metrics
from kaiser_actuator.domain import outgoing
from kaiser_actuator.domain.admission import let_in
from kaiser_actuator.domain.commands import CommandRecord
from kaiser_actuator.domain.emergencies import cancels, covering
from kaiser_actuator.domain.unit import RUNTIME, Unit, admitted, on_covered, on_time
from kaiser_actuator.jobs.emergency_ledger import EmergencyLedger
from kaiser_actuator.publish import Step, conclude
from kaiser_actuator.store import Connection, actuators, command_records, emergencies
from kaiser_actuator.store.actuators import Key
from kaiser_actuator.store.stops import Stops

log = structlog.get_logger()

_ALIGN_EVERY_S = 5.0
_GATHER_S = 0.02
"""Least time between two looks: the first device that comes online is not kept waiting, a fleet is taken in few."""
_SUBSCRIBED_AFTER = timedelta(seconds=2)
"""The firmware sends its first heartbeat and subscribes after it, in small packets that TCP may hold back; the broker
drops the messages that come in between. So a device that came online is sent its stops a second time, and its commands
after that."""
_KILLED_WITHIN = timedelta(minutes=1)
"""A process that was killed is replaced within this time. Earlier clears are not sent again: somebody may have pressed
at the device since, and the alert may be lost. Nor are they sent later than this after the start."""
_BEHIND = timedelta(seconds=2)
"""Once ingest has received a message of a device, it receives what waited at the broker beside it within this time."""
GUARD = "duration guard"


class DueSweep:
    """Looks periodically for what is due: in one loop for presses that failed, in another for devices that returned, in
    a third for what needs the database, so that a bucket or a database that hangs delays no stop. Killed: another
    replica or the next start finds the same."""

    def __init__(
        self,
        pool: DatabasePool,
        bus: Bus,
        devices: Mapping[str, DeviceRecord],
        stops: Stops,
        ledger: EmergencyLedger,
        timeout: timedelta,
        clock: Callable[[], datetime],
        heard: Callable[[datetime], Awaitable[datetime]],
    ) -> None:
        self._pool = pool
        self._bus = bus
        self._devices = devices
        self._stops = stops
        self._ledger = ledger
        self._timeout = timeout
        self._clock = clock
        self._heard = heard
        self._came_online: set[str] = set()
        self._online: dict[str, int] = {}
        """The boot of each device that is online."""
        self._subscribing: dict[str, datetime] = {}
        """When each device that came online is sent its stops the second time."""
        self._woken: dict[str, datetime] = {}
        """Devices that came online since their guards were made due, with the time; at most one entry per device."""
        self._lost: dict[str, datetime] = {}
        """Devices that went away or restarted since the tables were brought in line; at most one entry per device."""
        self._wake = asyncio.Event()
        """A device came online: it is due to be sent its stops."""
        self._wake_tables = asyncio.Event()
        """A device was sent its stops: its guards are due."""
        self._align_at: datetime | None = None
        self._began_at = clock()
        self._freed: set[str] = set()
        """Devices that were looked at for a clear that an earlier process may not have sent."""

    def on_device(self, esp_id: str, device: DeviceRecord | None) -> None:
        """Remember which devices came online; at most as many as there are devices.

        A restart that was too short for the device to be missed counts as going away and coming back: the firmware
        forgot its stop and switched its pins. A restart while this service was away is not seen; at the start every
        device that is online is sent its stops.
        """
        boot = self._online.get(esp_id)
        comes = device is not None and device.online and device.boot != boot
        goes = device is None or not device.online
        if boot is not None and (goes or comes):
            self._lost[esp_id] = self._clock()
        if device is None or goes:
            self._online.pop(esp_id, None)
            self._subscribing.pop(esp_id, None)
        elif comes:
            self._online[esp_id] = device.boot
            self._came_online.add(esp_id)
            self._wake.set()

    def takes_commands(self, esp_id: str) -> bool:
        """Whether a device is online and has had the time to subscribe."""
        return self._is_online(esp_id) and esp_id not in self._subscribing and esp_id not in self._came_online

    async def run(self, every_s: float) -> None:
        """Look until cancelled. Database or NATS away: everything waits for the next look. A database that hangs
        delays what needs it, and no stop. A press that the bucket does not take delays no returning device."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(_repeat(self.finish_presses, asyncio.Event(), every_s), name="presses")
            loops.create_task(_repeat(self.send_stops, self._wake, every_s), name="returning devices")
            loops.create_task(_repeat(self.look_at_tables, self._wake_tables, every_s), name="due")

    async def once(self) -> None:
        """One look of each loop, presses first."""
        await self.finish_presses()
        await self.send_stops()
        await self.look_at_tables()

    async def finish_presses(self) -> None:
        """Store and send presses that failed. If NATS refuses to store one, that is logged, and the next look does
        it."""
        await _postponed_if_refused("presses", self._stops.raise_again())

    async def send_stops(self) -> None:
        """Send devices that came online their stops, twice; without the database."""
        for esp_id in sorted(self._came_online):
            self._came_online.discard(esp_id)  # before it is sent: it may restart meanwhile, and is sent them again
            now = self._clock()
            self._subscribing[esp_id] = now + _SUBSCRIBED_AFTER
            self._woken[esp_id] = now
            self._wake_tables.set()
            await self._stops.send_again(esp_id, "online")
        for esp_id, at in [*self._subscribing.items()]:
            if at > self._clock():
                continue
            await self._stops.send_again(esp_id, "subscribed")
            if self._subscribing.get(esp_id) == at:  # it may have gone away meanwhile
                del self._subscribing[esp_id]

    async def look_at_tables(self) -> None:
        """Compare tables and bucket, and do what is due by the tables. If the bucket cannot be read, that is logged and
        the rest is done, such as OFF where a duration is over."""
        now = self._clock()
        if self._align_at is None or now >= self._align_at:
            await _postponed_if_refused("comparison with the bucket", self._align(now))
        await self._come_and_go(now)
        await self._what_is_due(now)

    async def _align(self, now: datetime) -> None:
        await self._ledger.align()
        self._align_at = now + timedelta(seconds=_ALIGN_EVERY_S)

    async def _come_and_go(self, now: datetime) -> None:
        """States of devices that went away are unknown until they report; guards of those that came back are due."""
        lost, woken = dict(self._lost), dict(self._woken)
        if not lost and not woken:
            return
        if lost:  # two transactions: each locks actuators in the order of their keys
            async with self._pool.connection() as connection:
                await actuators.forget_states(connection, lost)
        if woken:
            async with self._pool.connection() as connection:
                await actuators.wake_guards(connection, sorted(woken), now)
        self._lost = {esp_id: at for esp_id, at in self._lost.items() if lost.get(esp_id) != at}
        self._woken = {esp_id: at for esp_id, at in self._woken.items() if woken.get(esp_id) != at}

    async def _what_is_due(self, now: datetime) -> None:
        heard = await self._heard(now)
        await self._free_again(now, heard)
        async with self._pool.connection() as connection:
            waiting = [
                esp_id for esp_id in await command_records.waiting_devices(connection) if self.takes_commands(esp_id)
            ]
            step = Step(await actuators.lock_due(connection, now, heard, waiting))
            if not step.before:
                return
            stops = await self._stops_over(connection, step)
            for key in list(step.units):
                self._one(step, key, now, heard, covering(stops, *key))
            await conclude(connection, self._bus, step, now, self._timeout)

    async def _free_again(self, now: datetime, heard: datetime) -> None:
        """Send the clears that an earlier process may not have sent, each once its device was heard after the start: an
        alert that is unread, or waits at the broker while ingest is away, may be a new stop."""
        if now > self._began_at + _KILLED_WITHIN:
            self._freed.clear()
            return
        if heard < self._began_at:
            return
        heard_from = self._stops.heard_by(heard - _BEHIND) - self._freed
        if heard_from:
            await self._ledger.free_again(self._began_at - _KILLED_WITHIN, heard_from)
            self._freed |= heard_from

    async def _stops_over(self, connection: Connection, step: Step) -> Mapping[str, Emergency]:
        """The stops in force, by key; those of the table too if a command waits, as where a command is admitted: a stop
        of another replica may not be read from the bucket yet, or be missing there."""
        if not any(unit.waits_to_switch_on for unit in step.before.values()):
            return self._stops
        return {**await emergencies.in_force(connection), **self._stops}

    def _one(self, step: Step, key: Key, now: datetime, heard: datetime, stop: Emergency | None) -> None:
        online = self._is_online(key[0])
        unit = let_in(step.units[key], self._devices.get(key[0]))
        if stop is not None:
            unit = on_covered(unit, cancels(stop), now)
        unit, off_is_due = on_time(unit, now, self._timeout, heard=heard, online=online)
        step.units[key] = unit
        off = self._switch_off(step, unit, now) if off_is_due else None
        if self.takes_commands(key[0]):
            step.dispatch(key, now)
        elif off is not None:
            step.outbox.append(outgoing.early_off_message(off))

    def _switch_off(self, step: Step, unit: Unit, now: datetime) -> CommandRecord:
        """The duration or the maximum run time is over and the device has not reported off: OFF, and notify the
        operator."""
        has_duration = unit.guard is not None and unit.guard.command_id != RUNTIME
        over = "duration" if has_duration else "maximum run time"
        command = CommandRecord(
            command_id=self._bus.message_id(),
            esp_id=unit.esp_id,
            gpio=unit.gpio,
            kaiser_id=self._devices[unit.esp_id].kaiser_id,
            command="OFF",
            value=0.0,
            duration_s=0,
            issued_by=GUARD,
            queued_at=now,
            expires_at=now + self._timeout,
            reason=f"its {over} is over and no off was reported",
        )
        step.units[unit.key] = admitted(unit, command)
        metrics.GUARD_OFFS.inc()
        log.error("duration_overrun", esp_id=unit.esp_id, gpio=unit.gpio)
        text = f"gpio {unit.gpio} was not reported off after its {over}: OFF sent"
        step.events.append(
            outgoing.own_alert_event(command.kaiser_id, unit.esp_id, unit.gpio, "runtime_protection", text, ms_of(now))
        )
        return command

    def _is_online(self, esp_id: str) -> bool:
        device = self._devices.get(esp_id)
        return device is not None and device.online


async def _repeat(look: Callable[[], Awaitable[None]], wake: asyncio.Event, every_s: float) -> None:
    """Look when woken, or after `every_s`, until cancelled. Database or NATS away: it waits for the next look."""
    while True:
        wake.clear()  # before the look: a device that comes online during it belongs to the next one
        try:
            await look()
        except OUTAGES as error:
            log.warning("sweep_postponed", reason=reason_of(error))
        await asyncio.sleep(_GATHER_S)
        await set_within(wake, every_s)


async def _postponed_if_refused(what: str, step: Awaitable[None]) -> None:
    """Do a step of the look; if NATS refuses it, log that, and the next look does it."""
    try:
        await step
    except (BusUnavailable, NatsError) as error:
        log.warning("sweep_postponed", step=what, reason=reason_of(error))
