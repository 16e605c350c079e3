"""Purges from SENSORS what both consumers have acknowledged (docs/decisions/0002)."""

import asyncio

import structlog
from kaiser_common.bus import Bus
from kaiser_common.subjects import SENSOR_LIVE, SENSOR_STORE, SENSORS
from nats.errors import Error as NatsError

from kaiser_sensor.stream_state import acknowledged, ask

log = structlog.get_logger()

EVERY_S = 2.0


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
    floor = min([await acknowledged(bus, consumer) for consumer in (SENSOR_LIVE, SENSOR_STORE)])
    if floor > purged_to:
        # "seq" is the first to keep.
        await ask(bus, f"STREAM.PURGE.{SENSORS.name}", {"seq": floor + 1})
    return floor
