"""The composition root of the sensor service."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from kaiser_common.bucket import BucketWriter
from kaiser_common.bus import Bus, connect
from kaiser_common.consumer import Consumer
from kaiser_common.database import (
    UNAVAILABLE,
    DatabasePool,
    detect_level,
    drop_days_before,
    make_day_partitions,
    open_pool,
    ping,
    wait_for_schema,
)
from kaiser_common.rpc import serve, tell_status
from kaiser_common.schemas.sensor import Reading
from kaiser_common.service import Service, run
from kaiser_common.subjects import SENSOR_CONFIGS_BUCKET, SENSOR_LIVE, SENSOR_STORE
from nats.errors import Error as NatsError

from kaiser_sensor import metrics
from kaiser_sensor.api import SensorApi
from kaiser_sensor.config_api import ConfigApi
from kaiser_sensor.configs import Configs
from kaiser_sensor.libraries import discover
from kaiser_sensor.live import Live
from kaiser_sensor.process import Process, Processor
from kaiser_sensor.purge import keep_purging
from kaiser_sensor.rows import Processed
from kaiser_sensor.settings import SensorSettings
from kaiser_sensor.storing import Storing

log = structlog.get_logger()

_UPKEEP_EVERY_S = 3600.0
_UPKEEP_RETRY_S = 5.0
_CONFIGS_WITHIN_S = 60.0


def main() -> None:
    """Run the sensor service until it is told to stop."""
    run("sensor", SensorSettings, work)


async def work(service: Service, settings: SensorSettings) -> None:
    """Live events from the bus alone; storing and answering once the database is there."""
    libraries = discover()
    log.info("sensor_libraries", types=sorted({library.sensor_type for library in libraries.values()}))
    processor = Processor(libraries, note_failure)
    async with (
        connect(settings, "sensor") as bus,
        tell_status(bus, service),
        open_pool(settings, "sensor") as pool,
        asyncio.TaskGroup() as tasks,
    ):
        service.check("nats", bus.round_trip)
        service.check("database", lambda: ping(pool))
        configs = Configs(bus, libraries)
        background = [tasks.create_task(configs.keep(), name="configs")]
        await _until_stopped_or(service, configs.ready(_CONFIGS_WITHIN_S))

        def process(reading: Reading) -> Processed:
            return processor.process(reading, configs.setup_of(reading))

        def wants_answer(reading: Reading) -> bool:
            config = configs.config_of(reading)
            return config is not None and config.publish_processed

        async with Consumer(bus, SENSOR_LIVE, max_messages=settings.sensor_batch).open() as live:
            tasks.create_task(service.until_stopped(live.stop), name="stop-live")
            shown = tasks.create_task(Live(bus, process, wants_answer).run(live), name="live")
            background.append(tasks.create_task(keep_purging(bus, service.stopping), name="purge"))
            if await _until_stopped_or(service, wait_for_schema(pool, "sensor")):
                background.append(tasks.create_task(keep_up(pool, settings.sensor_retention_days), name="upkeep"))
                await _store(service, settings, bus, pool, configs, process)
            await shown
        for task in background:
            task.cancel()


async def _store(
    service: Service, settings: SensorSettings, bus: Bus, pool: DatabasePool, configs: Configs, process: Process
) -> None:
    """Store and answer until told to stop."""
    config_api = ConfigApi(pool, await BucketWriter.open(bus, SENSOR_CONFIGS_BUCKET), configs)
    await config_api.rebuild()
    methods = {**SensorApi(pool, configs.canonical).methods(), **config_api.methods()}
    async with (
        serve(bus, "sensor", methods, unavailable=(*UNAVAILABLE, NatsError)),
        Consumer(bus, SENSOR_STORE, max_messages=settings.sensor_batch).open() as stored,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(service.until_stopped(stored.stop), name="stop-store")
        await Storing(bus, pool, process).run(stored, service.stopping)


async def _until_stopped_or(service: Service, waiting: Coroutine[Any, Any, None]) -> bool:
    """Wait for something unless told to stop first: False then. What it raises is raised."""
    task = asyncio.ensure_future(waiting)
    stopped = asyncio.create_task(service.stopping.wait())
    await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not task.done():
        task.cancel()
        return False
    task.result()
    return True


def note_failure(sensor_type: str, reason: str) -> None:
    """A sensor library failed on a reading."""
    metrics.LIBRARY_FAILURES.labels(sensor_type).inc()
    log.error("sensor_library_failed", sensor_type=sensor_type, reason=reason)


async def keep_up(pool: DatabasePool, retention_days: int) -> None:
    """Make the partitions of the coming days and drop old ones, every hour; the database away: again in 5 s."""
    logged = False
    while True:
        try:
            async with pool.connection() as connection:
                if not logged:
                    log.info("database_level", level=await detect_level(connection))
                    logged = True
                now = datetime.now(UTC)
                await make_day_partitions(connection, "sensor.data", now)
                await drop_days_before(connection, "sensor.data", now - timedelta(days=retention_days))
        except UNAVAILABLE as error:
            log.warning("upkeep_postponed", error=str(error).splitlines()[0])
            await asyncio.sleep(_UPKEEP_RETRY_S)
        else:
            await asyncio.sleep(_UPKEEP_EVERY_S)
