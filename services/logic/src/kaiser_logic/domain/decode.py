"""Decodes events from the bus into readings, results of commands and steps of alarms; pure."""

from collections.abc import Callable, Iterator

import msgspec
import structlog
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.pack import NotAPack, seq_of
from kaiser_common.contract.schemas.event import (
    ActuatorResponseEvent,
    ActuatorStatusEvent,
    AlarmEvent,
    SensorDataEvent,
)
from pydantic import ValidationError

from kaiser_logic.domain.alarms import AlarmInput
from kaiser_logic.domain.readings import ACTUATOR, RuleInput

log = structlog.get_logger()

FILTERS = ("event.sensor_data.>", "event.actuator_status.>", "event.actuator_response.>", "event.alarm.*")


class _Line(msgspec.Struct, frozen=True):
    """The fields of a `SensorDataEvent` that rules need."""

    esp_id: str
    gpio: int
    sensor_type: str
    ts: int
    value: float | None = None
    quality: str = "unknown"
    address: str = ""
    received_at: int | None = None
    device_ts: int | None = None


_to_lines = msgspec.json.Decoder(_Line).decode_lines


def readings_of(delivery: Delivery, of_device: Callable[[str], bool]) -> Iterator[RuleInput]:
    """The readings of a pack of `sensor_data` events, of the devices that count.

    A line that cannot be read was made by a service of ours: a fault, logged. The others are read.
    """
    try:
        lines = delivery.lines()
    except NotAPack as error:
        _unreadable(delivery, str(error))
        return
    first = seq_of(delivery.stream_sequence)
    try:
        found = _to_lines(delivery.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = []
    if len(found) == len(lines):
        for number, line in enumerate(found):
            if of_device(line.esp_id):
                yield _reading(line, first + number)
        return
    for number, body in enumerate(lines):
        try:
            event = SensorDataEvent.model_validate_json(body)
        except ValidationError as error:
            _unreadable(delivery, _reason(error))
        else:
            if of_device(event.esp_id):
                yield _reading(event, first + number)


def decode(delivery: Delivery) -> RuleInput | ActuatorResponseEvent | None:
    """The content of an event about an actuator; None for a replayed status, which says nothing about now, and if it is
    unreadable (a fault of one of our services, logged)."""
    try:
        if delivery.subject.startswith("event.actuator_status."):
            status = ActuatorStatusEvent.model_validate_json(delivery.body)
            if status.replayed:
                return None
            value = status.value if status.state else 0.0
            received_at = delivery.timestamp_ns // 1_000_000
            seq = seq_of(delivery.stream_sequence)
            return RuleInput(
                status.esp_id, status.gpio, ACTUATOR, status.ts, value, "good", seq, received_at=received_at
            )
        return ActuatorResponseEvent.model_validate_json(delivery.body)
    except ValidationError as error:
        _unreadable(delivery, _reason(error))
        return None


def alarm_of(delivery: Delivery) -> AlarmInput | None:
    """A step of an alarm; None if it is unreadable (a fault of one of our services, logged)."""
    try:
        event = AlarmEvent.model_validate_json(delivery.body)
    except ValidationError as error:
        _unreadable(delivery, _reason(error))
        return None
    return AlarmInput(event.alarm_id, event.step, event.kind, event.source, event.severity, event.state, event.esp_id)


def _reading(event: _Line | SensorDataEvent, seq: int) -> RuleInput:
    return RuleInput(
        event.esp_id,
        event.gpio,
        event.sensor_type,
        event.ts,
        event.value,
        event.quality,
        seq,
        event.address,
        event.received_at,
        event.device_ts,
    )


def _reason(error: ValidationError) -> str:
    return str(error.errors(include_url=False)[0]["msg"])


def _unreadable(delivery: Delivery, reason: str) -> None:
    log.error("event_unreadable", subject=delivery.subject, error=reason)
