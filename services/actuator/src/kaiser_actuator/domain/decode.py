"""Decodes a batch of bus messages about actuators; unreadable messages are returned separately; pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.catalogue import bodies_of
from kaiser_common.contract.schemas.actuator import ActuatorAlert, ActuatorResponse, ActuatorStatus, EmergencyAnswer
from kaiser_common.contract.schemas.device import NOT_CARRIED_OUT, ConfigResponse, Intent
from kaiser_common.contract.schemas.event import Receipt
from kaiser_common.contract.times import time_of
from pydantic import BaseModel, ValidationError

_SENT = "actuator.sent"
_LONGEST_GPIO = 3
MODELS: dict[str, type[BaseModel]] = {**bodies_of("actuator"), _SENT: Receipt}
"""The models of the messages that the durable consumer `actuator` takes, by kind."""

Message = ActuatorStatus | ActuatorResponse | ActuatorAlert


@dataclass(frozen=True, slots=True)
class Sent:
    """The MQTT broker has a command for an actuator."""

    esp_id: str
    gpio: int
    command_id: str
    at: datetime


@dataclass(slots=True)
class ActuatorBatch:
    """The content of a batch, in order."""

    messages: list[tuple[Message | Sent, int]] = field(default_factory=list)
    """Each with its place in the stream: the key of its line in the history, so that a redelivery adds none."""
    answers: list[tuple[EmergencyAnswer, int]] = field(default_factory=list)
    configured: set[str] = field(default_factory=set)
    """Devices that took a configuration, or a part of one, just now."""
    refused: list[Intent] = field(default_factory=list)
    """Intents that a device did not carry out: of commands, or of something that is none of ours."""
    unreadable: list[tuple[Delivery, str]] = field(default_factory=list)


def decode(deliveries: Sequence[Delivery]) -> ActuatorBatch:
    """Read a batch."""
    batch = ActuatorBatch()
    for delivery in deliveries:
        tokens = delivery.subject.split(".")
        model = MODELS.get(".".join(tokens[1:3]))
        if model is None or (model is Receipt and not _names_a_command(tokens)):
            batch.unreadable.append((delivery, f"no such kind: {delivery.subject[:64]}"))
            continue
        try:
            message = model.model_validate_json(delivery.body)
        except ValidationError as error:
            batch.unreadable.append((delivery, str(error.errors(include_url=False)[0]["msg"])))
            continue
        if isinstance(message, Receipt):
            _, _, _, _, esp_id, gpio, command_id = tokens
            sent = Sent(esp_id, int(gpio), command_id, time_of(message.sent_at))
            batch.messages.append((sent, delivery.stream_sequence))
        elif isinstance(message, EmergencyAnswer):
            batch.answers.append((message, delivery.stream_sequence))
        elif isinstance(message, Intent):
            if message.outcome in NOT_CARRIED_OUT and not (message.lifecycle or message.replayed):
                batch.refused.append(message)
        elif isinstance(message, ConfigResponse):
            if not message.replayed:
                batch.configured.add(message.esp_id)
        elif isinstance(message, ActuatorStatus | ActuatorResponse | ActuatorAlert):
            batch.messages.append((message, delivery.stream_sequence))
    return batch


def _names_a_command(tokens: Sequence[str]) -> bool:
    """Whether a receipt's subject is esp.actuator.sent.{kaiser_id}.{esp_id}.{gpio}.{command_id}."""
    return len(tokens) == 7 and tokens[5].isdecimal() and len(tokens[5]) <= _LONGEST_GPIO
