"""Purges from SENSORS what both consumers have acknowledged, but for the last packs (docs/decisions/0002)."""

import asyncio
import time

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.contract.subjects import KEPT_PACKS, SENSOR_LIVE, SENSOR_STORE, SENSORS
from nats.errors import Error as NatsError

from kaiser_sensor.jobs.stream_state import acknowledged, ask, filled

log = structlog.get_logger()

_EVERY_S = 2.0
_HURRY_S = 0.2
_HURRY_FOR_S = 10.0
_FILLED = 0.5


async def keep_purging(bus: Bus, stopping: asyncio.Event) -> None:
    """Purge every two seconds until stopped; five times a second while the stream is or was just half full, because a
    full stream accepts the broker's backlog only as fast as it is purged. NATS unavailable: tried again; the stream
    only keeps more meanwhile. Replicas may purge at the same time, and a kill in between costs nothing: the purge names
    a sequence, not a count.
    """
    purged_to = 0
    hurry_until = 0.0
    while not stopping.is_set():
        try:
            if await _is_filled(bus):
                hurry_until = time.monotonic() + _HURRY_FOR_S
            purged_to = await _purge(bus, purged_to)
        except (NatsError, TimeoutError) as error:
            log.warning("purge_postponed", stream=SENSORS.name, error=str(error) or type(error).__name__)
        try:
            async with asyncio.timeout(_HURRY_S if time.monotonic() < hurry_until else _EVERY_S):
                await stopping.wait()
        except TimeoutError:
            continue


async def _is_filled(bus: Bus) -> bool:
    """Whether the stream is half full; no answer, such as with rights of an older version, means no hurry."""
    try:
        return await filled(bus) > _FILLED
    except (NatsError, TimeoutError) as error:
        log.warning("fill_unknown", stream=SENSORS.name, error=str(error) or type(error).__name__)
        return False


async def _purge(bus: Bus, purged_to: int) -> int:
    floor = min([await acknowledged(bus, consumer) for consumer in (SENSOR_LIVE, SENSOR_STORE)]) - KEPT_PACKS
    if floor > purged_to:
        # "seq" is the first to keep.
        await ask(bus, f"STREAM.PURGE.{SENSORS.name}", {"seq": floor + 1})
    return max(floor, 0)
