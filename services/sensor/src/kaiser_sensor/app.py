"""The composition root of the sensor service."""

import asyncio
from datetime import UTC, datetime

import structlog
from kaiser_common.bus import connect
from kaiser_common.consumer import Consumer
from kaiser_common.database import (
    UNAVAILABLE,
    DatabasePool,
    detect_level,
    make_day_partitions,
    open_pool,
    ping,
    wait_for_schema,
)
from kaiser_common.rpc import serve
from kaiser_common.service import Service, run
from kaiser_common.subjects import SENSOR_LIVE, SENSOR_STORE

from kaiser_sensor.api import SensorApi
from kaiser_sensor.live import Live
from kaiser_sensor.purge import keep_purging
from kaiser_sensor.settings import SensorSettings
from kaiser_sensor.storing import Storing

log = structlog.get_logger()

_UPKEEP_EVERY_S = 3600.0
_UPKEEP_RETRY_S = 5.0


def main() -> None:
    """Run the sensor service until it is told to stop."""
    run("sensor", SensorSettings, work)


async def work(service: Service, settings: SensorSettings) -> None:
    """Live events from the bus alone; storing and answering once the database is there."""
    async with (
        connect(settings, "sensor") as bus,
        open_pool(settings, "sensor") as pool,
        Consumer(bus, SENSOR_LIVE, max_messages=settings.sensor_batch).open() as live,
        asyncio.TaskGroup() as tasks,
    ):
        service.check("nats", bus.round_trip)
        service.check("database", lambda: ping(pool))
        tasks.create_task(Live(bus).run(live), name="live")
        tasks.create_task(keep_purging(bus, service.stopping), name="purge")
        tasks.create_task(service.until_stopped(live.stop), name="stop-live")
        schema = asyncio.create_task(wait_for_schema(pool, "sensor"), name="schema")
        stopped = asyncio.create_task(service.stopping.wait())
        await asyncio.wait([schema, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not schema.done():
            schema.cancel()
            return
        async with (
            serve(bus, "sensor", SensorApi(pool).methods(), unavailable=UNAVAILABLE),
            Consumer(bus, SENSOR_STORE, max_messages=settings.sensor_batch).open() as stored,
        ):
            upkeep = tasks.create_task(keep_up(pool), name="upkeep")
            tasks.create_task(service.until_stopped(stored.stop), name="stop-store")
            await Storing(bus, pool).run(stored, service.stopping)
            upkeep.cancel()


async def keep_up(pool: DatabasePool) -> None:
    """Make the partitions of the coming days, every hour; the database away: again in five seconds."""
    logged = False
    while True:
        try:
            async with pool.connection() as connection:
                if not logged:
                    log.info("database_level", level=await detect_level(connection))
                    logged = True
                await make_day_partitions(connection, "sensor.data", datetime.now(UTC))
        except UNAVAILABLE as error:
            log.warning("upkeep_postponed", error=str(error).splitlines()[0])
            await asyncio.sleep(_UPKEEP_RETRY_S)
        else:
            await asyncio.sleep(_UPKEEP_EVERY_S)
