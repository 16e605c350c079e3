"""Events and MQTT messages of the actuator service, built from what happened; pure."""

from datetime import datetime
from typing import Literal

from kaiser_common.bus.connection import Outgoing
from kaiser_common.bus.events import to_event
from kaiser_common.contract.catalogue import DOWNLINK
from kaiser_common.contract.schemas import actuator as wire
from kaiser_common.contract.schemas.api.actuators import Emergency
from kaiser_common.contract.schemas.event import (
    ActuatorAlertEvent,
    ActuatorResponseEvent,
    ActuatorStatusEvent,
    OutboxMessage,
)
from kaiser_common.contract.subjects import (
    command_subject,
    outbox_subject,
    receipt_subject,
    urgent_subject,
)
from kaiser_common.contract.times import ms_of
from kaiser_common.contract.topics import BROADCAST, Kind, build
from pydantic import BaseModel

from kaiser_actuator.domain.addresses import Address
from kaiser_actuator.domain.commands import CommandRecord

_EVERYBODY = "all"
_EMERGENCY_BYTES = min(DOWNLINK[kind].most_bytes for kind in (Kind.EMERGENCY, Kind.BROADCAST_EMERGENCY))
_COMMAND_BYTES = DOWNLINK[Kind.ACTUATOR_COMMAND].most_bytes
_REASON, _ISSUED_BY, _CORRELATION = 64, 64, 40
"""Most bytes of these texts in a message to a device."""
_MOST_ESCAPED = 6
"""Bytes that JSON takes at most for one byte of a text: `\\u0001`."""
_STOP_EXPIRES_MS = 3_600_000
"""A stop that no broker took for an hour: the device is sent it again when it comes online."""
_BEHIND_EXPIRES_MS = 4_000
"""The second copy of a stop on the ordinary lane: never later than the first clear of it may be sent."""
CLEAR_EXPIRES_MS = 15_000


def command_message(command: CommandRecord) -> Outgoing:
    """A command on its way to its device."""
    topic = build(Kind.ACTUATOR_COMMAND, command.kaiser_id, command.esp_id, command.gpio)
    body = wire.ActuatorCommand(
        command=command.command,
        value=command.value,
        duration=command.duration_s,
        timestamp=int(command.queued_at.timestamp()),
        correlation_id=command.command_id,
        issued_by=_within(command.issued_by, _ISSUED_BY),
    )
    message = OutboxMessage(
        topic=topic,
        payload=_fitted(topic, body, _COMMAND_BYTES, "issued_by"),
        expires_at=ms_of(command.expires_at),
        receipt=receipt_subject(command.kaiser_id, command.esp_id, command.gpio, command.command_id),
    )
    return Outgoing(
        command_subject(command.kaiser_id, command.esp_id, command.gpio),
        message.model_dump_json().encode(),
        f"command-{command.command_id}",
    )


def early_off_message(command: CommandRecord) -> Outgoing:
    """OFF for a device that may not have subscribed yet, ahead of the command itself; without a receipt, so that the
    command is sent all the same unless the device answers this."""
    whole = command_message(command)
    message = OutboxMessage.model_validate_json(whole.body).model_copy(update={"receipt": None})
    return Outgoing(whole.subject, message.model_dump_json().encode(), f"{whole.msg_id}-early")


def off_message(
    address: Address, gpio: int, stop: Emergency, now_ms: int, occasion: str, *, urgent: bool = True
) -> Outgoing:
    """OFF for one actuator under a stop: the only stop of a single actuator that the firmware has."""
    body = wire.ActuatorCommand(
        command="OFF",
        value=0.0,
        timestamp=now_ms // 1000,
        correlation_id=_within(f"stop-{stop.emergency_id}", _CORRELATION),
        issued_by=_within(stop.raised_by, _ISSUED_BY),
    )
    topic = build(Kind.ACTUATOR_COMMAND, address.kaiser_id, address.esp_id, gpio)
    payload = _fitted(topic, body, _COMMAND_BYTES, "issued_by")
    message = OutboxMessage(topic=topic, payload=payload, expires_at=now_ms + _STOP_EXPIRES_MS)
    names = (address.kaiser_id, address.esp_id)
    subject = urgent_subject(*names) if urgent else command_subject(*names, gpio)
    lane = "urgent" if urgent else "behind"
    msg_id = f"off-{stop.emergency_id}-{address.esp_id}-{gpio}-{occasion}-{lane}"
    return Outgoing(subject, message.model_dump_json().encode(), msg_id)


def stop_message(address: Address, stop: Emergency, now_ms: int, occasion: str, *, urgent: bool = True) -> Outgoing:
    """A device's own emergency: it switches everything off and takes no command until a clear."""
    return _emergency(address, "emergency_stop", stop, stop.reason, now_ms, occasion, stop.number, urgent=urgent)


def clear_message(address: Address, stop: Emergency, reason: str, now_ms: int, occasion: str, number: int) -> Outgoing:
    """Let a device take commands again. ingest does not write it behind a stop with a greater number."""
    return _emergency(address, "clear_emergency", stop, reason, now_ms, occasion, number, urgent=True)


def broadcast_message(stop: Emergency, now_ms: int, occasion: str, *, urgent: bool = True) -> Outgoing:
    """A stop of everything, to all devices with one message. Nothing else goes on this topic: firmware A stops at
    whatever it reads there."""
    topic = build(Kind.BROADCAST_EMERGENCY, "")
    reason, issued_by = _within(stop.reason, _REASON), _within(stop.raised_by, _ISSUED_BY)
    body = wire.BroadcastEmergency(reason=reason, issued_by=issued_by)
    message = OutboxMessage(
        topic=topic,
        payload=_fitted(topic, body, _EMERGENCY_BYTES, "reason", "issued_by"),
        expires_at=now_ms + (_STOP_EXPIRES_MS if urgent else _BEHIND_EXPIRES_MS),
        number=stop.number,
    )
    names = (BROADCAST, _EVERYBODY)
    subject = urgent_subject(*names) if urgent else outbox_subject(*names, "stop")
    lane = "urgent" if urgent else "behind"
    return Outgoing(subject, message.model_dump_json().encode(), f"stop-{stop.emergency_id}-{occasion}-all-{lane}")


def _emergency(
    address: Address,
    command: Literal["emergency_stop", "clear_emergency"],
    stop: Emergency,
    reason: str,
    now_ms: int,
    occasion: str,
    number: int | None,
    *,
    urgent: bool,
) -> Outgoing:
    topic = build(Kind.EMERGENCY, address.kaiser_id, address.esp_id)
    clears = command == "clear_emergency"
    expires_ms = CLEAR_EXPIRES_MS if clears else _STOP_EXPIRES_MS if urgent else _BEHIND_EXPIRES_MS
    body = wire.EmergencyCommand(
        command=command,
        auth_token=address.token,
        reason=_within(reason, _REASON),
        correlation_id=f"{stop.emergency_id}-{occasion}".encode()[-_CORRELATION:].decode(errors="ignore"),
    )
    message = OutboxMessage(
        topic=topic,
        payload=_emergency_payload(topic, body),
        expires_at=now_ms + expires_ms,
        only_newest=clears,
        number=number,
        clears=clears,
    )
    names = (address.kaiser_id, address.esp_id)
    subject = urgent_subject(*names) if urgent else outbox_subject(*names, "stop")
    lane = "urgent" if urgent else "behind"
    msg_id = f"{command}-{stop.emergency_id}-{occasion}-{address.esp_id}-{lane}"
    return Outgoing(subject, message.model_dump_json().encode(), msg_id)


def _emergency_payload(topic: str, body: wire.EmergencyCommand) -> str:
    """The payload of a device's emergency. A stop is never refused for its size: the reason is cut, and where an empty
    one does not fit either, beside the longest ids and a long token, the correlation_id is left out."""
    payload = _fitted(topic, body, _EMERGENCY_BYTES, "reason")
    if _size(topic, payload) <= _EMERGENCY_BYTES:
        return payload
    return _fitted(topic, body.model_copy(update={"correlation_id": None}), _EMERGENCY_BYTES, "reason")


def _fitted(topic: str, body: BaseModel, most_bytes: int, *texts: str) -> str:
    """The payload of a message to a device. While topic and payload have more bytes than the firmware takes, these
    texts of it are cut, the first one first."""
    payload = body.model_dump_json(exclude_none=True)
    for name in texts:
        while (over := _size(topic, payload) - most_bytes) > 0 and (text := getattr(body, name)):
            fewer = max(1, over // _MOST_ESCAPED)
            body = body.model_copy(update={name: _within(text, max(0, len(text.encode()) - fewer))})
            payload = body.model_dump_json(exclude_none=True)
    return payload


def _size(topic: str, payload: str) -> int:
    return len(topic.encode()) + len(payload.encode())


def _within(text: str, most_bytes: int) -> str:
    """A text cut to this many bytes of UTF-8."""
    return text.encode()[:most_bytes].decode(errors="ignore")


def status_event(status: wire.ActuatorStatus) -> Outgoing:
    """actuator_status as the device reported it."""
    event = ActuatorStatusEvent(
        kaiser_id=status.kaiser_id,
        esp_id=status.esp_id,
        gpio=status.gpio,
        actuator_type=status.actuator_type,
        state=status.state,
        value=status.value,
        emergency=status.emergency,
        last_command=status.last_command,
        runtime_ms=status.runtime_ms,
        error=status.error,
        ts=status.ts,
        topic=build(Kind.ACTUATOR_STATUS, status.kaiser_id, status.esp_id, status.gpio),
        replayed=status.replayed or None,
    )
    msg_id = f"astatus-{status.esp_id}-{status.gpio}-{status.ts}-{status.received_at}"
    return to_event("actuator_status", status.esp_id, event, msg_id)


def command_event(command: CommandRecord, at: datetime, *, from_device: bool = False) -> Outgoing:
    """actuator_response of an ended command, whatever ended it."""
    event = ActuatorResponseEvent(
        kaiser_id=command.kaiser_id,
        esp_id=command.esp_id,
        gpio=command.gpio,
        command=command.command,
        success=command.state == "acknowledged",
        command_id=command.command_id,
        state=command.state,
        value=command.value,
        message=command.message or command.state_reason,
        ts=ms_of(command.ended_at or at),
        topic=_response_topic(command.kaiser_id, command.esp_id, command.gpio) if from_device else None,
    )
    return to_event("actuator_response", command.esp_id, event, f"command-{command.command_id}-{command.state}")


def unmatched_response_event(response: wire.ActuatorResponse) -> Outgoing:
    """actuator_response of an answer to no open command."""
    event = ActuatorResponseEvent(
        kaiser_id=response.kaiser_id,
        esp_id=response.esp_id,
        gpio=response.gpio,
        command=response.command,
        success=response.success,
        value=response.value,
        message=response.message,
        ts=response.ts,
        topic=_response_topic(response.kaiser_id, response.esp_id, response.gpio),
        replayed=response.replayed or None,
    )
    msg_id = f"aresponse-{response.esp_id}-{response.gpio}-{response.ts}-{response.received_at}"
    return to_event("actuator_response", response.esp_id, event, msg_id)


def alert_event(alert: wire.ActuatorAlert, *, critical: bool) -> Outgoing:
    """actuator_alert as the device raised it."""
    event = ActuatorAlertEvent(
        kaiser_id=alert.kaiser_id,
        esp_id=alert.esp_id,
        gpio=alert.gpio,
        alert_type=alert.alert_type,
        severity="critical" if critical else "warning",
        message=alert.message,
        ts=alert.ts,
        topic=build(Kind.ACTUATOR_ALERT, alert.kaiser_id, alert.esp_id, alert.gpio),
        replayed=alert.replayed or None,
    )
    msg_id = f"aalert-{alert.esp_id}-{alert.gpio}-{alert.alert_type}-{alert.ts}-{alert.received_at}"
    return to_event("actuator_alert", alert.esp_id, event, msg_id)


def own_alert_event(
    kaiser_id: str, esp_id: str, gpio: int, alert_type: wire.AlertType, message: str, at_ms: int
) -> Outgoing:
    """actuator_alert that the service itself raises; always critical."""
    event = ActuatorAlertEvent(
        kaiser_id=kaiser_id,
        esp_id=esp_id,
        gpio=gpio,
        alert_type=alert_type,
        severity="critical",
        message=message,
        ts=at_ms,
    )
    return to_event("actuator_alert", esp_id, event, f"own-alert-{esp_id}-{gpio}-{alert_type}-{at_ms}")


def _response_topic(kaiser_id: str, esp_id: str, gpio: int) -> str:
    return build(Kind.ACTUATOR_RESPONSE, kaiser_id, esp_id, gpio)
