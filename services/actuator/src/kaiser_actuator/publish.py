"""Collects one transaction's changes to actuators, then saves and publishes them before the commit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kaiser_common.bus.connection import Bus, Outgoing

from kaiser_actuator import metrics
from kaiser_actuator.domain import outgoing
from kaiser_actuator.domain.commands import CommandRecord
from kaiser_actuator.domain.unit import Unit, on_dispatched
from kaiser_actuator.store import Connection, actuators, history
from kaiser_actuator.store.actuators import Key
from kaiser_actuator.store.history import HistoryEntry


@dataclass(slots=True)
class Step:
    """Changes to save and events to publish. Killed before the commit: all of it happens again, with the same message
    ids."""

    before: Mapping[Key, Unit]
    units: dict[Key, Unit] = field(init=False)
    history: list[HistoryEntry] = field(default_factory=list)
    events: list[Outgoing] = field(default_factory=list)
    outbox: list[Outgoing] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.units = dict(self.before)

    def dispatch(self, key: Key, now: datetime) -> None:
        """Give the commands to the OUTBOX that are not there yet, oldest first."""
        for command in self.units[key].open:
            if command.state == "queued" and command.dispatched_at is None:
                self.units[key] = on_dispatched(self.units[key], command.command_id, now)
                self.outbox.append(outgoing.command_message(command))

    def note_ended(self, now: datetime) -> None:
        """Publish each command that ended in this step."""
        for unit in self.units.values():
            for command in unit.ended:
                from_device = command.state in ("acknowledged", "failed")
                self.events.append(outgoing.command_event(command, now, from_device=from_device))
                self.history.append(command_entry(command, command.ended_at or now))
                metrics.COMMANDS.labels(command.state).inc()
                if from_device:
                    metrics.ROUND_TRIP.observe(
                        max(0.0, ((command.ended_at or now) - command.queued_at).total_seconds())
                    )


async def conclude(connection: Connection, bus: Bus, step: Step, now: datetime, timeout: timedelta) -> None:
    """Save what changed, then publish it while the transaction is open. BusUnavailable: nothing is committed."""
    step.note_ended(now)
    for key, unit in step.units.items():
        await actuators.save(connection, step.before[key], unit, timeout)
    await history.add(connection, step.history)
    await bus.publish_batch(step.outbox)
    await bus.publish_batch(step.events)


def command_entry(command: CommandRecord, at: datetime) -> HistoryEntry:
    """A line of history that says how a command stands."""
    return HistoryEntry(
        truncated(at),
        command.esp_id,
        command.gpio,
        "command",
        f"{command.command_id}-{command.state}",
        value=command.value,
        command=command.command,
        command_id=command.command_id,
        success=None if command.is_open else command.state == "acknowledged",
        message=f"{command.state}: {command.message or command.state_reason or command.reason or ''}".rstrip(": "),
        actor=command.issued_by,
    )


def truncated(at: datetime) -> datetime:
    """A time in whole ms, as the API has it."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)
