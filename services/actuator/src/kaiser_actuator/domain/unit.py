"""The state of one actuator, and how each event changes it; pure."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from kaiser_common.contract.schemas.api.actuators import OVERRULED, ActuatorSettings

from kaiser_actuator.domain import commands
from kaiser_actuator.domain.commands import CommandAnswer, CommandRecord

GUARD_GRACE = timedelta(seconds=5)
"""So long after the end of its duration an actuator may still be reported on."""
_GUARD_AGAIN_S, _GUARD_AGAIN_AT_MOST_S = 10, 300
_GUARD_LOOKS_AGAIN = timedelta(seconds=10)
LET_IN_SINCE = "the device was approved again after this command"
_SKEW = timedelta(seconds=5)
"""The clocks of this service and of the database may be this far apart."""
GUARD_WAITS = -1
"""`tries` of a guard that is due and waits for its device."""
RUNTIME = "max_runtime"
"""`command_id` of the guard of an actuator that reports on: it has no command."""


@dataclass(frozen=True, slots=True)
class DurationGuard:
    """The server's own watch over a duration: if no off is reported between `since` and `due_at`, OFF is sent."""

    command_id: str
    since: datetime
    due_at: datetime
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Unit:
    """An actuator with its open commands, oldest first. `ended`: those that ended in this step, to be published."""

    esp_id: str
    gpio: int
    kaiser_id: str
    settings: ActuatorSettings = field(default_factory=ActuatorSettings)
    registered: bool = False
    on_since: datetime | None = None
    state: bool | None = None
    last_state: bool | None = None
    """The last reported state, kept even when the present state is unknown."""
    value: float | None = None
    reported_at: datetime | None = None
    last_error: str | None = None
    guard: DurationGuard | None = None
    open: tuple[CommandRecord, ...] = ()
    ended: tuple[CommandRecord, ...] = ()

    @property
    def key(self) -> tuple[str, int]:
        """Device and gpio."""
        return self.esp_id, self.gpio

    @property
    def was_switched_on(self) -> bool:
        """Whether it reports on, or an open command may have switched it on since its last report."""
        return self.state is True or any(each.switches_on for each in self.open)

    @property
    def waits_to_switch_on(self) -> bool:
        """Whether a command that was not given to the OUTBOX yet would switch it on."""
        return any(each.switches_on and each.dispatched_at is None for each in self.open)

    @property
    def may_be_on(self) -> bool:
        """Whether it is on, not known to be off, or an open command may switch it on."""
        unknown = self.state is None and self.reported_at is not None
        return unknown or self.was_switched_on


def admitted(unit: Unit, command: CommandRecord) -> Unit:
    """A new command waits behind the others. One that switches off cancels those that would switch on and were not
    sent yet: the device may carry it out before they are due, and it may end first."""
    if command.switches_off:
        unit = _without_waiting(unit, OVERRULED, command.queued_at)
    return replace(unit, open=(*unit.open, command))


def on_let_in(unit: Unit, at: datetime) -> Unit:
    """The device was approved at this time, so it may be another one than before: commands that waited to switch the
    earlier one on are cancelled."""
    return _without_waiting(unit, LET_IN_SINCE, at, queued_before=at - _SKEW)


def on_covered(unit: Unit, reason: str, at: datetime) -> Unit:
    """A stop is in force over the actuator: commands that wait to switch it on are cancelled, so that none of them is
    sent under the stop or after its clear. One to switch it off stays."""
    return _without_waiting(unit, reason, at)


def on_dispatched(unit: Unit, command_id: str, at: datetime) -> Unit:
    """A command was given to the OUTBOX."""
    return _change(unit, command_id, lambda each: commands.dispatched(each, at))


def on_sent(unit: Unit, command_id: str, at: datetime) -> Unit:
    """The broker has a command; from now on its duration is watched."""
    before = next((each for each in unit.open if each.command_id == command_id), None)
    after = _change(unit, command_id, lambda each: commands.sent(each, at))
    if before is None or before.state != "queued" or not before.duration_s:
        return after
    guard = _guard_of(before, at)
    if unit.guard is not None and unit.guard.due_at > guard.due_at:
        guard = replace(guard, due_at=unit.guard.due_at)
    return _within_runtime(replace(after, guard=guard))


def on_answer(unit: Unit, answer: CommandAnswer) -> tuple[Unit, CommandRecord | None]:
    """A device answered: the unit, and the command that ended by it. Late or twice: nothing changes."""
    waiting = commands.match(unit.open, answer)
    if waiting is None:
        return unit, None
    after = _change(unit, waiting.command_id, lambda each: commands.answered(each, answer))
    if answer.success:
        # What the device does now is this command; an OFF is believed once the status says off.
        if waiting.command != "OFF":
            since = waiting.sent_at or answer.at
            after = _within_runtime(replace(after, guard=_guard_of(waiting, since) if waiting.duration_s else None))
    elif unit.guard is not None and unit.guard.command_id == waiting.command_id:
        after = replace(after, guard=None)
    return after, after.ended[-1]


def on_status(unit: Unit, state: bool, value: float, error: str | None, at: datetime) -> Unit:
    """A device reported; `at` is when we received it. An older report than the last one changes nothing; of two that
    came in the same ms the later in the stream counts (a device that reconnects sends all that it kept together)."""
    if unit.reported_at is not None and at < unit.reported_at:
        return unit
    guard = unit.guard
    if guard is not None and not state and at >= guard.since:
        guard = None
    on_since = (unit.on_since or at) if state else None
    reported = replace(unit, state=state, last_state=state, value=value, reported_at=at, last_error=error)
    return _within_runtime(replace(reported, guard=guard, on_since=on_since))


def on_replayed_status(unit: Unit, state: bool, at: datetime) -> Unit:
    """A status that was rejected at first says nothing about now: an actuator is not off by it. One that came after the
    last report and says on makes the state unknown, so that interlocks wait for the next report."""
    if not state or unit.state is True or (unit.reported_at is not None and at < unit.reported_at):
        return unit
    return replace(on_lost(unit), reported_at=at)


def on_stop(unit: Unit, reason: str, at: datetime) -> Unit:
    """An emergency stop: every open command is cancelled, and the actuator's state is unknown until it is reported.

    A guard stays, so that an actuator that reports nothing more still gets its OFF.
    """
    stopped = on_lost(unit)
    for each in unit.open:
        stopped = _change(stopped, each.command_id, lambda command: commands.cancelled(command, reason, at))
    return stopped


def on_lost(unit: Unit) -> Unit:
    """The device may have done anything since its last report: its state is unknown."""
    return replace(unit, state=None, value=None)


def on_time(
    unit: Unit, now: datetime, timeout: timedelta, *, heard: datetime | None = None, online: bool = True
) -> tuple[Unit, bool]:
    """Apply the passing of time: commands expire; True if the guard requires OFF now. A sent command expires by
    `heard`, the time up to which all device messages are processed (None: now), because its answer may have arrived in
    time and be unread. While the device is offline nothing can be sent, so no try is counted.
    """
    for each in unit.open:
        at = now if each.dispatched_at is None or heard is None else min(now, heard)
        unit = _change(unit, each.command_id, partial(commands.expired, now=at, timeout=timeout))
    guard = unit.guard
    if guard is None or now < guard.due_at:
        return unit, False
    if not online:
        return replace(unit, guard=replace(guard, due_at=now + _GUARD_LOOKS_AGAIN, tries=GUARD_WAITS)), False
    tries = max(guard.tries, 0)
    pause_s = min(_GUARD_AGAIN_S * 2**tries, _GUARD_AGAIN_AT_MOST_S)
    return replace(unit, guard=replace(guard, due_at=now + timedelta(seconds=pause_s), tries=min(tries + 1, 10))), True


def _within_runtime(unit: Unit) -> Unit:
    """Guard the maximum runtime from the first report of on, whatever switched the actuator on and however often."""
    if unit.on_since is None or not unit.settings.max_runtime_s:
        return unit
    due_at = unit.on_since + timedelta(seconds=unit.settings.max_runtime_s) + GUARD_GRACE
    guard = unit.guard
    if guard is None:
        return replace(unit, guard=DurationGuard(RUNTIME, unit.on_since, due_at))
    if guard.tries == 0 and guard.due_at > due_at:
        return replace(unit, guard=replace(guard, due_at=due_at))
    return unit


def _guard_of(command: CommandRecord, since: datetime) -> DurationGuard:
    return DurationGuard(command.command_id, since, since + timedelta(seconds=command.duration_s) + GUARD_GRACE)


def _without_waiting(unit: Unit, reason: str, at: datetime, queued_before: datetime | None = None) -> Unit:
    """Cancel the commands that would switch the actuator on and were not given to the OUTBOX."""
    for each in unit.open:
        is_older = queued_before is None or each.queued_at < queued_before
        if each.switches_on and each.dispatched_at is None and is_older:
            unit = _change(unit, each.command_id, partial(commands.cancelled, reason=reason, at=at))
    return unit


def _change(unit: Unit, command_id: str, change: Callable[[CommandRecord], CommandRecord]) -> Unit:
    after = [change(each) if each.command_id == command_id else each for each in unit.open]
    return replace(
        unit,
        open=tuple(each for each in after if each.is_open),
        ended=(*unit.ended, *(each for each in after if not each.is_open)),
    )
