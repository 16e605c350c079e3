"""The life of a command, pure: queued → sent → acknowledged | failed | expired | cancelled."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from kaiser_common.contract.schemas.actuator import Command
from kaiser_common.contract.schemas.api.actuators import OPEN_STATES, CommandStateName

RECEIPT_GRACE = timedelta(seconds=2)
"""So long after its expiry a command that is on the OUTBOX may still turn out to be sent."""


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """A command and how it stands. dispatched_at: when it was given to the OUTBOX; sent_at: when the broker had it."""

    command_id: str
    esp_id: str
    gpio: int
    kaiser_id: str
    command: Command
    value: float
    duration_s: int
    issued_by: str
    queued_at: datetime
    expires_at: datetime
    state: CommandStateName = "queued"
    reason: str | None = None
    idempotency_key: str | None = None
    body_hash: str | None = None
    state_reason: str | None = None
    dispatched_at: datetime | None = None
    sent_at: datetime | None = None
    ended_at: datetime | None = None
    message: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether its end is still to come."""
        return self.state in OPEN_STATES

    @property
    def switches_on(self) -> bool:
        """Whether the actuator may be on after it."""
        return self.command != "OFF"

    @property
    def switches_off(self) -> bool:
        """Whether the actuator is off after it: OFF, or PWM with the value 0."""
        return self.command == "OFF" or (self.command == "PWM" and self.value == 0.0)


@dataclass(frozen=True, slots=True)
class CommandAnswer:
    """A device's answer to a command."""

    command: str
    success: bool
    correlation_id: str | None
    message: str | None
    at: datetime


def dispatched(command: CommandRecord, at: datetime) -> CommandRecord:
    """Given to the OUTBOX."""
    return replace(command, dispatched_at=at) if command.is_open and command.dispatched_at is None else command


def sent(command: CommandRecord, at: datetime) -> CommandRecord:
    """The MQTT broker has the command. A late or repeated receipt changes nothing."""
    return replace(command, state="sent", sent_at=at) if command.state == "queued" else command


def answered(command: CommandRecord, answer: CommandAnswer) -> CommandRecord:
    """The device carried out the command or refused it. An ended command stays unchanged."""
    if not command.is_open:
        return command
    return replace(
        command,
        state="acknowledged" if answer.success else "failed",
        sent_at=command.sent_at or answer.at,
        ended_at=answer.at,
        message=answer.message,
        state_reason=None if answer.success else (answer.message or "the device refused"),
    )


def cancelled(command: CommandRecord, reason: str, at: datetime) -> CommandRecord:
    """Nobody waits for it any more."""
    return replace(command, state="cancelled", state_reason=reason, ended_at=at) if command.is_open else command


def deadline(command: CommandRecord, timeout: timedelta) -> datetime:
    """When an open command expires: a sent one without an answer, a queued one that was not sent in time."""
    if command.state == "sent" and command.sent_at is not None:
        return command.sent_at + timeout
    return command.expires_at + (RECEIPT_GRACE if command.dispatched_at else timedelta())


def expired(command: CommandRecord, now: datetime, timeout: timedelta) -> CommandRecord:
    """End it once its deadline is over."""
    if not command.is_open or now < deadline(command, timeout):
        return command
    if command.state == "sent":
        why = f"no answer within {timeout.total_seconds():g} s"
    elif command.dispatched_at is None:
        why = "the device did not come online in time"
    else:
        why = "the MQTT broker did not take it in time"
    return replace(command, state="expired", state_reason=why, ended_at=now)


def match(waiting: Sequence[CommandRecord], answer: CommandAnswer) -> CommandRecord | None:
    """The open command that an answer is for: by its id; without one, the oldest that went out with that name."""
    if answer.correlation_id is not None:
        return next((each for each in waiting if each.is_open and each.command_id == answer.correlation_id), None)
    return next(
        (each for each in waiting if each.is_open and each.dispatched_at and each.command == answer.command), None
    )
