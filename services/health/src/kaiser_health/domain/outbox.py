"""MQTT messages of the health service to devices, as entries of the OUTBOX; pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from kaiser_common.bus.connection import Outgoing
from kaiser_common.contract.schemas.device import Heartbeat, HeartbeatAck, Session, Subzone, ZoneAssign
from kaiser_common.contract.schemas.event import OutboxMessage
from kaiser_common.contract.subjects import outbox_subject
from kaiser_common.contract.times import ms_of
from kaiser_common.contract.topics import Kind, build

from kaiser_health.domain.downlink import to_json
from kaiser_health.domain.pushes import Push

_ACK_EXPIRES_MS = 60_000
_ACK_STATUS: Mapping[str, Literal["online", "pending_approval", "rejected"]] = {
    "approved": "online",
    "pending": "pending_approval",
    "rejected": "rejected",
}
_TOPICS = {"config": Kind.CONFIG, "zone": Kind.ZONE_ASSIGN, "command": Kind.SYSTEM_COMMAND}
_SUBZONE_TOPICS = {"assign": Kind.SUBZONE_ASSIGN, "remove": Kind.SUBZONE_REMOVE, "safe": Kind.SUBZONE_SAFE}


def acknowledgement(
    site: str, heard: Heartbeat | Session, state: str, epoch: int, config_available: bool, now: datetime
) -> Outgoing:
    """The answer to a heartbeat or an announced session; `site`: where the device listens."""
    ack = HeartbeatAck(
        status=_ACK_STATUS[state],
        handover_epoch=max(1, epoch),
        config_available=config_available,
        server_time=int(now.timestamp()),
    )
    topic = build(Kind.HEARTBEAT_ACK, site, heard.esp_id)
    message = OutboxMessage(topic=topic, payload=ack.model_dump_json(), expires_at=ms_of(now) + _ACK_EXPIRES_MS)
    kind = "session" if isinstance(heard, Session) else "ack"
    return Outgoing(
        outbox_subject(site, heard.esp_id, "setup"),
        message.model_dump_json().encode(),
        f"{kind}-{heard.esp_id}-{heard.received_at}",
    )


def push_message(push: Push, now: datetime, expires_s: float) -> Outgoing:
    """A push on its way to its device; each try has an id of its own, so that a repeated publish is harmless."""
    message = OutboxMessage(
        topic=topic_of(push),
        payload=payload_of(push),
        expires_at=ms_of(now) + int(expires_s * 1000),
    )
    return Outgoing(
        outbox_subject(push.kaiser_id, push.esp_id, "setup"),
        message.model_dump_json().encode(),
        f"push-{push.push_id}-{push.tries}",
    )


def topic_of(push: Push) -> str:
    """Where a push is published."""
    kind = _SUBZONE_TOPICS[push.payload["action"]] if push.kind == "subzone" else _TOPICS[push.kind]
    return build(kind, push.kaiser_id, push.esp_id)


def payload_of(push: Push) -> str:
    """The JSON that a device reads: no field without a value, its answer names the push by correlation_id."""
    at = int(push.created_at.timestamp())
    correlation = {"correlation_id": push.push_id}
    match push.kind:
        case "config":
            return to_json({"config_id": push.push_id, **correlation, **push.payload})
        case "zone":
            zone = {name: value or "" for name, value in push.payload.items()}
            return ZoneAssign(**zone, kaiser_id=push.kaiser_id, timestamp=at, **correlation).model_dump_json()
        case "subzone":
            fields = {name: value for name, value in push.payload.items() if name != "action"}
            return Subzone.model_validate({**fields, "timestamp": at, **correlation}).model_dump_json()
        case "command":
            command = {name: value for name, value in push.payload.items() if value}
            return to_json({**command, **correlation})
