"""Puts messages of the bus aside that can never be used, or lines of packs: into REJECTED."""

import base64
import json
import time
from collections.abc import Sequence

from kaiser_common.bus import Bus, Outgoing
from kaiser_common.errors import Code
from kaiser_common.pull import Delivery
from kaiser_common.schemas.event import RejectedMessage
from kaiser_common.subjects import NO_DEVICE, rejected_subject
from kaiser_common.topics import is_esp_id

_MOST_KEPT_BYTES = 64 * 1024
"""So much of a payload is kept: longer is only what no service of ours has published."""


async def reject(bus: Bus, refused: Sequence[tuple[Delivery, str]], code: Code) -> None:
    """Store each message with the reason. BusUnavailable: not stored, the caller acknowledges nothing."""
    now_ms = time.time_ns() // 1_000_000
    await bus.publish_batch(
        [
            Outgoing(
                rejected_subject(code, _esp_id(delivery)),
                RejectedMessage(
                    topic=delivery.subject,
                    payload_base64=base64.b64encode(delivery.body[:_MOST_KEPT_BYTES]).decode(),
                    code=code,
                    message=reason,
                    esp_id=_esp_id(delivery),
                    received_at=now_ms,
                )
                .model_dump_json()
                .encode(),
                f"{code}-{delivery.origin}",
            )
            for delivery, reason in refused
        ]
    )


def _esp_id(delivery: Delivery) -> str:
    """The device in `esp.<two tokens of kind>.<kaiser_id>.<esp_id>…` or `esp.downlink.<kaiser_id>.<esp_id>`, or that a
    line of a pack names; nobody where the subject is of another form and the line cannot be read."""
    tokens = delivery.subject.split(".")
    place = 3 if tokens[:2] == ["esp", "downlink"] else 4
    named = tokens[place] if len(tokens) > place else NO_DEVICE
    return _named_in(delivery.body) if named.isdigit() else named


def _named_in(line: bytes) -> str:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return NO_DEVICE
    esp_id = fields.get("esp_id") if isinstance(fields, dict) else None
    return esp_id if isinstance(esp_id, str) and is_esp_id(esp_id) else NO_DEVICE
