"""From messages of the bus to what a batch says about devices, pure; what cannot be read is told apart."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kaiser_common.pull import Delivery
from kaiser_common.schemas import DeviceMessage
from kaiser_common.schemas.device import (
    AliveDigest,
    ConfigResponse,
    DeviceError,
    Diagnostics,
    Discovery,
    Heartbeat,
    SystemResponse,
    Will,
    ZoneAck,
)
from kaiser_common.topics import Kind
from pydantic import BaseModel, ValidationError

from kaiser_health.pushes import Answer, State

MODELS: dict[str, type[BaseModel]] = {
    Kind.HEARTBEAT.value: Heartbeat,
    Kind.WILL.value: Will,
    Kind.SYSTEM_ERROR.value: DeviceError,
    Kind.DIAGNOSTICS.value: Diagnostics,
    Kind.SYSTEM_RESPONSE.value: SystemResponse,
    Kind.CONFIG_RESPONSE.value: ConfigResponse,
    Kind.ZONE_ACK.value: ZoneAck,
    Kind.DISCOVERY.value: Discovery,
    "system.alive": AliveDigest,
}
"""What the durable consumer `health` takes, by kind."""


@dataclass(slots=True)
class Batch:
    """What a batch of messages says. Times are ingest's receive times."""

    heard: dict[str, datetime] = field(default_factory=dict)
    heartbeats: list[Heartbeat] = field(default_factory=list)
    wills: list[Will] = field(default_factory=list)
    errors: list[DeviceError] = field(default_factory=list)
    answers: list[tuple[Answer, DeviceMessage]] = field(default_factory=list)
    newcomers: dict[str, str] = field(default_factory=dict)
    """kaiser_id by esp_id of who sent a heartbeat or announced itself."""
    unreadable: list[tuple[Delivery, str]] = field(default_factory=list)


def decode(deliveries: Sequence[Delivery]) -> Batch:
    """Sort a batch by what it says."""
    batch = Batch()
    for delivery in deliveries:
        kind = ".".join(delivery.subject.split(".", 3)[1:3])
        model = MODELS.get(kind)
        if model is None:
            batch.unreadable.append((delivery, f"no such kind: {kind}"))
            continue
        try:
            _sort(model.model_validate_json(delivery.body), batch)
        except ValidationError as error:
            batch.unreadable.append((delivery, str(error.errors(include_url=False)[0]["msg"])))
    return batch


def _sort(message: BaseModel, batch: Batch) -> None:
    if isinstance(message, AliveDigest):
        for esp_id, at_ms in message.devices.items():
            _hear(batch, esp_id, at_ms)
        return
    assert isinstance(message, DeviceMessage)
    if isinstance(message, Will):
        batch.wills.append(message)
        return
    _hear(batch, message.esp_id, message.received_at)
    match message:
        case Heartbeat():
            batch.heartbeats.append(message)
            batch.newcomers[message.esp_id] = message.kaiser_id
        case Discovery():
            batch.newcomers[message.esp_id] = message.kaiser_id
        case DeviceError():
            batch.errors.append(message)
        case ConfigResponse() | ZoneAck() | SystemResponse():
            batch.answers.append((to_answer(message), message))
        case _:
            return


def to_answer(message: ConfigResponse | ZoneAck | SystemResponse) -> Answer:
    """What a device's answer means for the push it is for."""
    at = time_of(message.received_at)
    match message:
        case ConfigResponse():
            states: dict[str, State] = {"success": "applied", "partial_success": "partial", "error": "failed"}
            failures = [failure.model_dump(exclude_none=True) for failure in message.failures]
            push_id = message.config_id or message.correlation_id
            return Answer(message.esp_id, "config", states[message.status], push_id, message.message, failures, at)
        case ZoneAck():
            state: State = "failed" if message.status in ("error", "failed", "zone_error") else "applied"
            zone_id = message.zone_id if state == "applied" else None
            push_id = message.correlation_id
            return Answer(message.esp_id, "zone", state, push_id, message.message or message.status, [], at, zone_id)
        case SystemResponse():
            state = "applied" if message.success else "failed"
            push_id = message.correlation_id
            return Answer(message.esp_id, "command", state, push_id, message.message, [], at, message.command)


def time_of(at_ms: int) -> datetime:
    """An aware time of ms since 1970."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _hear(batch: Batch, esp_id: str, at_ms: int) -> None:
    at = time_of(at_ms)
    if esp_id not in batch.heard or batch.heard[esp_id] < at:
        batch.heard[esp_id] = at


Clock = Callable[[], datetime]
"""Now, aware; a fake one in tests."""

Details = dict[str, Any]
