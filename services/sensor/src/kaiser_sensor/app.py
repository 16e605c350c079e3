"""The composition root of the sensor service."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import structlog
from kaiser_common.bucket import BucketWriter
from kaiser_common.bus import Bus, BusUnavailable, connect, end_if_cancelled
from kaiser_common.consumer import Consumer, Spacing
from kaiser_common.database import UNAVAILABLE, DatabasePool, Verdict, open_pool, ping, verdict, wait_for_schema
from kaiser_common.outside import DeadLetters
from kaiser_common.rpc import serve, tell_status
from kaiser_common.service import Service, run
from kaiser_common.subjects import SENSOR_CONFIGS_BUCKET, SENSOR_LIVE, SENSOR_RESPONSES, SENSOR_STORE
from nats.errors import Error as NatsError

from kaiser_sensor import metrics
from kaiser_sensor.api.configs import ConfigApi
from kaiser_sensor.api.measurements import MeasureApi
from kaiser_sensor.api.overview import Overview
from kaiser_sensor.api.readings import SensorApi
from kaiser_sensor.consumers.live import Live
from kaiser_sensor.consumers.responses import Responses
from kaiser_sensor.consumers.storing import Storing
from kaiser_sensor.domain.process import Process, Processor
from kaiser_sensor.domain.reading import Reading
from kaiser_sensor.domain.rows import Processed
from kaiser_sensor.jobs.purge import keep_purging
from kaiser_sensor.jobs.stale import Staleness
from kaiser_sensor.jobs.state_counts import StateCounts
from kaiser_sensor.jobs.upkeep import Upkeep
from kaiser_sensor.libraries import discover
from kaiser_sensor.settings import SensorSettings
from kaiser_sensor.store.config_mirror import Configs
from kaiser_sensor.store.devices import Devices

log = structlog.get_logger()

_MOST_PACKS = 256
"""Packs that wait in this process at most; of the largest size they are 128 MB."""
_SPACING = Spacing(least_s=0.02, small=500)
"""A transaction costs the database as much as a hundred rows: small ones come 20 ms apart."""
_MEND_EVERY_S = 5.0
_UPKEEP_EVERY_S = 3600.0
_OVERVIEW_EVERY_S = 60.0
_RETRY_S = 5.0
_BUCKETS_WITHIN_S = 60.0
_OUTSIDE: tuple[type[Exception], ...] = (*UNAVAILABLE, psycopg.Error, BusUnavailable, NatsError, TimeoutError)


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
        configs, devices = Configs(bus, libraries), Devices(bus)
        background = [
            tasks.create_task(configs.keep(), name="configs"),
            tasks.create_task(devices.keep(), name="devices"),
        ]
        await _until_stopped_or(service, configs.ready(_BUCKETS_WITHIN_S))
        await _until_stopped_or(service, devices.ready(_BUCKETS_WITHIN_S))

        def process(reading: Reading) -> Processed:
            setup = configs.setup_of(reading) if reading.raw_mode else None  # else the device's value is taken
            return processor.process(reading, setup, devices.source_of(reading.esp_id))

        async with Consumer(
            bus, SENSOR_LIVE, max_messages=_MOST_PACKS, most_lines=settings.sensor_batch
        ).open() as live:
            tasks.create_task(service.until_stopped(live.stop), name="stop-live")
            shows = Live(bus, process, configs.wants_answer, service.tracer, per_device=settings.events_per_device)
            shown = tasks.create_task(shows.run(live, DeadLetters(bus, service, settings)), name="live")
            background.append(tasks.create_task(keep_purging(bus, service.stopping), name="purge"))
            if await _until_stopped_or(service, wait_for_schema(pool, "sensor")):
                await _with_database(service, settings, bus, pool, configs, devices, process)
            await shown
        for task in background:
            task.cancel()


async def _with_database(
    service: Service,
    settings: SensorSettings,
    bus: Bus,
    pool: DatabasePool,
    configs: Configs,
    devices: Devices,
    process: Process,
) -> None:
    """Store, answer and keep the tables until told to stop."""
    upkeep = Upkeep(pool, settings, utc_now)
    prepared: list[ConfigApi] = []

    async def prepare() -> None:
        await upkeep.begin()
        config_api = ConfigApi(pool, await BucketWriter.open(bus, SENSOR_CONFIGS_BUCKET), configs)
        await config_api.rebuild()
        prepared.append(config_api)

    if not await _until_stopped_or(service, until_done(prepare, "start_postponed")):
        return
    [config_api] = prepared
    counts = StateCounts(pool, devices.offline_since, utc_now)
    stale = Staleness(bus, pool, devices, utc_now)
    sensor_api = SensorApi(
        pool,
        configs.canonical,
        upkeep.oldest if upkeep.keeps_rollups else None,
        devices.offline_since,
        devices.zone_of,
    )
    measure_api = MeasureApi(bus, pool, devices, timedelta(seconds=settings.sensor_measure_timeout_s), utc_now)
    overview = Overview(pool, devices.offline_since, utc_now)
    methods = {**sensor_api.methods(), **overview.methods(), **config_api.methods(), **measure_api.methods()}
    async with (
        serve(bus, "sensor", methods, unavailable=(*UNAVAILABLE, NatsError)),
        Consumer(
            bus, SENSOR_STORE, max_messages=_MOST_PACKS, most_lines=settings.sensor_batch, spacing=_SPACING
        ).open() as stored,
        Consumer(bus, SENSOR_RESPONSES).open() as answers,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(service.until_stopped(stored.stop, answers.stop), name="stop-store")
        letters = DeadLetters(bus, service, settings)
        tasks.create_task(Responses(bus, pool, utc_now).run(answers, letters), name="responses")
        rounds = [
            every(_UPKEEP_EVERY_S, upkeep.keep_tables, "upkeep_postponed"),
            every(_UPKEEP_EVERY_S, upkeep.check_days, "checks_postponed"),
            every(_MEND_EVERY_S, config_api.mend, "bucket_not_mended_yet"),
            every(_OVERVIEW_EVERY_S, overview.look, "overview_postponed"),
            every(settings.sensor_stale_check_s, counts.count, "sensors_not_counted"),
            every(settings.sensor_stale_check_s, stale.look, "staleness_postponed", stale.interrupted),
        ]
        if upkeep.keeps_rollups:
            rounds.append(every(settings.sensor_rollup_every_s, upkeep.refresh, "rollups_postponed"))
        background = [tasks.create_task(one) for one in rounds]
        storing = Storing(bus, pool, process, note_rollups=upkeep.keeps_rollups, tracer=service.tracer)
        await storing.run(stored, letters)
        for task in background:
            task.cancel()


async def every(
    period_s: float, do: Callable[[], Awaitable[object]], postponed: str, interrupted: Callable[[], None] = lambda: None
) -> None:
    """Do something every so often, for ever; database or bus away: it is logged and done again after 5 s."""
    while True:
        end_if_cancelled()
        try:
            await do()
        except _OUTSIDE as error:
            _raise_if_bug(error)
            interrupted()
            log.warning(postponed, error=(str(error) or type(error).__name__).splitlines()[0])
            await asyncio.sleep(min(period_s, _RETRY_S))
        else:
            await asyncio.sleep(period_s)


async def until_done(do: Callable[[], Awaitable[object]], postponed: str) -> None:
    """Do something once; database or bus away: it is logged and tried again every second."""
    while True:
        end_if_cancelled()
        try:
            await do()
        except _OUTSIDE as error:
            _raise_if_bug(error)
            log.warning(postponed, error=(str(error) or type(error).__name__).splitlines()[0])
            await asyncio.sleep(1.0)
        else:
            return


def _raise_if_bug(error: Exception) -> None:
    if isinstance(error, psycopg.Error) and verdict(error) is not Verdict.RETRY:
        raise error


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


def utc_now() -> datetime:
    """The clock of the service."""
    return datetime.now(UTC)
