"""Events for frontends and rules as messages of the bus."""

from typing import Any

from pydantic import BaseModel

from kaiser_common.bus.connection import Outgoing
from kaiser_common.contract.schemas.device import Severity
from kaiser_common.contract.schemas.event import SystemEvent
from kaiser_common.contract.subjects import event_subject
from kaiser_common.contract.system_events import SystemEventName


def to_event(kind: str, esp_id: str | None, body: BaseModel, event_id: str) -> Outgoing:
    """An event of a device, or of none. `event_id` names the fact, so that publishing it again is harmless."""
    return Outgoing(event_subject(kind, esp_id), body.model_dump_json(exclude_none=True).encode(), event_id)


def system_event(
    event: SystemEventName,
    message: str,
    at_ms: int,
    *,
    event_id: str,
    esp_id: str | None = None,
    severity: Severity = "info",
    code: int | None = None,
    details: dict[str, Any] | None = None,
) -> Outgoing:
    """A system_event: what an operator may want to know. `event` is its stable name;
    details that a sentence about it needs stand in SYSTEM_EVENTS."""
    body = SystemEvent(
        event=event, severity=severity, message=message, esp_id=esp_id, code=code, details=details or {}, ts=at_ms
    )
    return to_event("system_event", esp_id, body, event_id)
