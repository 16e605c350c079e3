"""Puts messages of the bus aside that can never be used: into REJECTED, and only then acknowledged."""

import base64
import time
from collections.abc import Sequence

from kaiser_common.bus import Bus, Outgoing
from kaiser_common.errors import Code
from kaiser_common.pull import Delivery
from kaiser_common.schemas.event import RejectedMessage
from kaiser_common.subjects import NO_DEVICE, rejected_subject


async def reject(bus: Bus, refused: Sequence[tuple[Delivery, str]], code: Code) -> None:
    """Store each message with the reason. BusUnavailable: not stored, the caller acknowledges nothing."""
    now_ms = time.time_ns() // 1_000_000
    await bus.publish_batch(
        [
            Outgoing(
                rejected_subject(code, _esp_id(delivery)),
                RejectedMessage(
                    topic=delivery.subject,
                    payload_base64=base64.b64encode(delivery.body).decode(),
                    code=code,
                    message=reason,
                    esp_id=_esp_id(delivery),
                    received_at=now_ms,
                )
                .model_dump_json()
                .encode(),
                f"{code}-{delivery.stream_sequence}-{delivery.timestamp_ns}",
            )
            for delivery, reason in refused
        ]
    )


def _esp_id(delivery: Delivery) -> str:
    """The device in `esp.<two tokens of kind>.<kaiser_id>.<esp_id>…` or `esp.downlink.<kaiser_id>.<esp_id>`; nobody
    where the subject is of another form."""
    tokens = delivery.subject.split(".")
    place = 3 if tokens[:2] == ["esp", "downlink"] else 4
    return tokens[place] if len(tokens) > place else NO_DEVICE
