"""Decodes a batch of bus messages about devices; unreadable messages are returned separately; pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.catalogue import bodies_of
from kaiser_common.contract.schemas import DeviceMessage
from kaiser_common.contract.schemas.device import (
    NOT_CARRIED_OUT,
    AliveDigest,
    ConfigResponse,
    DeviceError,
    Discovery,
    Heartbeat,
    Intent,
    ScanResult,
    Session,
    SystemResponse,
    Will,
    ZoneAck,
)
from kaiser_common.contract.times import time_of
from pydantic import BaseModel, ValidationError

from kaiser_health.domain.downlink import SCAN
from kaiser_health.domain.pushes import DeviceAnswer, Push, State

MODELS: dict[str, type[BaseModel]] = {**bodies_of("health"), "system.alive": AliveDigest}
"""The models of the messages that the durable consumer `health` takes, by kind."""


@dataclass(slots=True)
class DeviceBatch:
    """The content of a batch of messages. Times are ingest's receive times. A device's own message counts as received a
    microsecond after its millisecond, so that it is later than a will of the same millisecond that precedes it on the
    stream. The digest gives whole milliseconds.
    """

    heard: dict[str, datetime] = field(default_factory=dict)
    heartbeats: list[Heartbeat] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    reports: list[DeviceMessage] = field(default_factory=list)
    """Messages that change no table: figures, and states of the life cycle; failures of it are among the answers."""
    wills: list[Will] = field(default_factory=list)
    """Those behind which the batch has nothing of their device."""
    returned: set[str] = field(default_factory=set)
    """Devices that lost their connection and said something since, both in this batch."""
    errors: list[DeviceError] = field(default_factory=list)
    answers: list[tuple[DeviceAnswer, DeviceMessage]] = field(default_factory=list)
    newcomers: dict[str, str] = field(default_factory=dict)
    """kaiser_id by esp_id of who sent a heartbeat or announced itself."""
    sites: dict[str, str] = field(default_factory=dict)
    """The site under which each device sent its last heartbeat; a session is announced under a fixed one."""
    unreadable: list[tuple[Delivery, str]] = field(default_factory=list)


def decode(deliveries: Sequence[Delivery]) -> DeviceBatch:
    """Sort a batch by what it says."""
    batch = DeviceBatch()
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


def _sort(message: BaseModel, batch: DeviceBatch) -> None:
    if isinstance(message, AliveDigest):
        for esp_id, at_ms in message.devices.items():
            _hear(batch, esp_id, at_ms)
        return
    assert isinstance(message, DeviceMessage)
    if isinstance(message, Will):
        batch.wills.append(message)
        return
    _hear(batch, message.esp_id, message.received_at, AFTER_A_WILL)
    if not message.replayed:  # a message sent before a will is no sign of a return
        if any(will.esp_id == message.esp_id and not will.retained for will in batch.wills):
            batch.returned.add(message.esp_id)
        batch.wills = [will for will in batch.wills if will.esp_id != message.esp_id]
    match message:
        case Heartbeat():
            batch.heartbeats.append(message)
            batch.newcomers[message.esp_id] = message.kaiser_id
            batch.sites[message.esp_id] = message.kaiser_id
        case Discovery():
            batch.newcomers[message.esp_id] = message.kaiser_id
        case Session():
            batch.sessions.append(message)
            batch.newcomers.setdefault(message.esp_id, message.kaiser_id)
        case Intent():
            if (answer := of_intent(message)) is not None:
                batch.answers.append((answer, message))
            elif message.lifecycle:
                batch.reports.append(message)
        case DeviceError():
            batch.errors.append(message)
        case ConfigResponse() | ZoneAck() | SystemResponse() | ScanResult():
            batch.answers.append((to_answer(message), message))
        case _:
            batch.reports.append(message)


def of_intent(intent: Intent) -> DeviceAnswer | None:
    """The result of an intent for the push that it names; None if the push continues."""
    if intent.outcome not in NOT_CARRIED_OUT:
        return None
    text = ": ".join(part for part in (intent.code, intent.reason) if part) or intent.outcome
    return DeviceAnswer(
        intent.esp_id, None, "failed", intent.correlation_id, text, [], time_of(intent.received_at), "system"
    )


def to_answer(message: ConfigResponse | ZoneAck | SystemResponse | ScanResult) -> DeviceAnswer:
    """The result of a device's answer for its push."""
    at = time_of(message.received_at)
    text: str | None
    match message:
        case ScanResult():
            text = f"found {len(message.devices)}: {', '.join(message.devices)}"[:1000]
            return DeviceAnswer(message.esp_id, "command", "applied", message.correlation_id, text, [], at, SCAN)
        case ConfigResponse():
            states: dict[str, State] = {"success": "applied", "partial_success": "partial", "error": "failed"}
            failures = [failure.model_dump(exclude_none=True) for failure in message.failures]
            push_id = message.config_id or message.correlation_id
            text = message.message if message.status != "success" else None
            if message.error_code and text is not None:
                text = f"{message.error_code}: {text}"
            scope = message.type if message.type in ("sensor", "actuator") else "system"
            return DeviceAnswer(message.esp_id, "config", states[message.status], push_id, text, failures, at, scope)
        case ZoneAck():
            state: State = "failed" if message.status in ("error", "failed", "zone_error") else "applied"
            text = message.message or message.status
            push_id = message.correlation_id
            if message.subzone_id is not None:
                return DeviceAnswer(message.esp_id, "subzone", state, push_id, text, [], at, message.subzone_id)
            zone_id = message.zone_id if state == "applied" else None
            return DeviceAnswer(message.esp_id, "zone", state, push_id, text, [], at, zone_id)
        case SystemResponse():
            state = "applied" if message.success else "failed"
            push_id = message.correlation_id
            text = message.error or message.message or message.status
            return DeviceAnswer(
                message.esp_id, "command", state, push_id, text, [], at, message.command, message.details
            )


def zone_confirmed(push: Push, heartbeat: Heartbeat) -> DeviceAnswer | None:
    """Whether a heartbeat confirms a pushed zone: generation A does not answer when it leaves one."""
    zone_id = push.payload.get("zone_id") or ""
    if heartbeat.zone_id != zone_id or time_of(heartbeat.received_at) <= push.created_at:
        return None
    text = "confirmed by a heartbeat"
    return DeviceAnswer(push.esp_id, "zone", "applied", push.push_id, text, [], time_of(heartbeat.received_at), zone_id)


AFTER_A_WILL = timedelta(microseconds=1)


def _hear(batch: DeviceBatch, esp_id: str, at_ms: int, later: timedelta = timedelta(0)) -> None:
    at = time_of(at_ms) + later
    if esp_id not in batch.heard or batch.heard[esp_id] < at:
        batch.heard[esp_id] = at


Clock = Callable[[], datetime]
"""Now, aware; a fake one in tests."""
