"""Purges from SENSORS what both consumers have acknowledged (docs/decisions/0002)."""

import asyncio
import json
from typing import Any

import structlog
from kaiser_common.bus import Bus
from kaiser_common.subjects import SENSOR_LIVE, SENSOR_STORE, SENSORS
from nats.errors import Error as NatsError

log = structlog.get_logger()

EVERY_S = 2.0
_TIMEOUT_S = 5.0


async def keep_purging(bus: Bus, stopping: asyncio.Event) -> None:
    """Purge every two seconds until told to stop. NATS away: tried again, the stream only keeps more meanwhile.

    Replicas may do it at once, and a kill in between costs nothing: the purge names a sequence, not a count.
    """
    purged_to = 0
    while not stopping.is_set():
        try:
            purged_to = await _purge(bus, purged_to)
        except (NatsError, TimeoutError) as error:
            log.warning("purge_postponed", stream=SENSORS.name, error=str(error) or type(error).__name__)
        try:
            await asyncio.wait_for(stopping.wait(), EVERY_S)
        except TimeoutError:
            continue


async def _purge(bus: Bus, purged_to: int) -> int:
    floors = [await _acknowledged(bus, consumer.name) for consumer in (SENSOR_LIVE, SENSOR_STORE)]
    floor = min(floors)
    if floor > purged_to:
        # "seq" is the first to keep.
        await _ask(bus, f"STREAM.PURGE.{SENSORS.name}", {"seq": floor + 1})
    return floor


async def _acknowledged(bus: Bus, consumer: str) -> int:
    """The stream sequence up to which the consumer has acknowledged everything; 0 when it cannot be told."""
    answer = await _ask(bus, f"CONSUMER.INFO.{SENSORS.name}.{consumer}", {})
    return int(answer.get("ack_floor", {}).get("stream_seq", 0))


async def _ask(bus: Bus, method: str, request: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps(request).encode() if request else b""
    reply = await bus.client.request(f"$JS.API.{method}", body, timeout=_TIMEOUT_S)
    return dict(json.loads(reply.data))
