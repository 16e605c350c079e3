"""Applies a message of a device to a unit of work: the actuator's state, its events and its history."""

from kaiser_common.contract.schemas.actuator import ActuatorAlert, ActuatorResponse, ActuatorStatus
from kaiser_common.contract.schemas.device import Intent
from kaiser_common.contract.times import time_of

from kaiser_actuator import metrics
from kaiser_actuator.domain import outgoing
from kaiser_actuator.domain.commands import CommandAnswer
from kaiser_actuator.domain.decode import Message, Sent
from kaiser_actuator.domain.emergencies import CRITICAL
from kaiser_actuator.domain.unit import on_answer, on_replayed_status, on_sent, on_status
from kaiser_actuator.publish import Step
from kaiser_actuator.store.actuators import Key
from kaiser_actuator.store.history import HistoryEntry

_CORRELATION = 128


def apply(message: Message | Sent, step: Step, key: str) -> None:
    """Apply a message; key: of its entry in the history, by which a redelivery is known."""
    match message:
        case Sent():
            _apply_sent(message, step)
        case ActuatorStatus():
            _apply_status(message, step, key)
        case ActuatorResponse():
            _apply_response(message, step, key)
        case ActuatorAlert():
            _apply_alert(message, step, key)


def apply_refused(intent: Intent, step: Step) -> None:
    """A device did not carry out a command and answers with an intent in place of a response: the command has failed.
    Of a response that came before, or comes later, nothing changes."""
    text = ": ".join(part for part in (intent.code, intent.reason) if part) or intent.outcome
    answer = CommandAnswer("", False, intent.correlation_id, text, time_of(intent.received_at))
    for key, unit in list(step.units.items()):
        if unit.esp_id == intent.esp_id:
            step.units[key], _ = on_answer(unit, answer)


def _apply_sent(message: Sent, step: Step) -> None:
    unit = step.units.get(key_of_message(message))
    if unit is not None:
        step.units[unit.key] = on_sent(unit, message.command_id, message.at)


def _apply_status(status: ActuatorStatus, step: Step, key: str) -> None:
    unit = step.units[key_of_message(status)]
    at = time_of(status.received_at)
    if status.replayed:
        step.units[unit.key] = on_replayed_status(unit, status.state, at)
    else:
        step.units[unit.key] = on_status(unit, status.state, status.value, status.error, at)
    step.events.append(outgoing.status_event(status))
    step.history.append(
        HistoryEntry(
            time_of(status.ts),
            status.esp_id,
            status.gpio,
            "status",
            key,
            state=status.state,
            value=status.value,
            command=status.last_command,
            message=status.error,
        )
    )


def _apply_response(response: ActuatorResponse, step: Step, key: str) -> None:
    unit = step.units[key_of_message(response)]
    answer = CommandAnswer(
        response.command,
        response.success,
        response.correlation_id,
        response.message,
        time_of(response.received_at),
    )
    ended = None
    if response.correlation_id is not None or not response.replayed:  # an old answer would end a new command
        step.units[unit.key], ended = on_answer(unit, answer)
    if ended is None:
        step.events.append(outgoing.unmatched_response_event(response))
    step.history.append(
        HistoryEntry(
            time_of(response.ts),
            response.esp_id,
            response.gpio,
            "response",
            key,
            value=response.value,
            command=response.command,
            command_id=ended.command_id if ended else (response.correlation_id or "")[:_CORRELATION] or None,
            success=response.success,
            message=response.message,
        )
    )


def _apply_alert(alert: ActuatorAlert, step: Step, key: str) -> None:
    metrics.ALERTS.labels(alert.alert_type).inc()
    step.events.append(outgoing.alert_event(alert, critical=alert.alert_type in CRITICAL))
    step.history.append(
        HistoryEntry(
            time_of(alert.ts),
            alert.esp_id,
            alert.gpio,
            "alert",
            key,
            alert_type=alert.alert_type,
            message=alert.message,
        )
    )


def key_of_message(message: Message | Sent) -> Key:
    """The actuator that a message is about."""
    return message.esp_id, message.gpio
