"""The work that needs the database: storing, answering, and the rounds that maintain the tables. Killed at any point:
readings that are not committed are not acknowledged and are delivered again; each round is repeated.
"""

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from kaiser_common.bus.bucket import BucketWriter
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.consumer import Consumer, Spacing
from kaiser_common.bus.rpc import Method, serve
from kaiser_common.contract.subjects import SENSOR_CONFIGS_BUCKET, SENSOR_RESPONSES, SENSOR_STORE
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.loops import beside, every, unless_stopped, until_done
from kaiser_common.runtime.outside import DeadLetters
from kaiser_common.runtime.service import Service
from kaiser_common.runtime.wiring import UNREACHABLE

from kaiser_sensor.api.configs import ConfigApi
from kaiser_sensor.api.measurements import MeasureApi
from kaiser_sensor.api.overview import Overview
from kaiser_sensor.api.readings import SensorApi
from kaiser_sensor.consumers.responses import Responses
from kaiser_sensor.consumers.storing import Storing
from kaiser_sensor.domain.process import Process
from kaiser_sensor.jobs.clock import utc_now
from kaiser_sensor.jobs.stale import Staleness
from kaiser_sensor.jobs.state_counts import StateCounts
from kaiser_sensor.jobs.upkeep import Upkeep
from kaiser_sensor.settings import SensorSettings
from kaiser_sensor.store.config_mirror import Configs
from kaiser_sensor.store.devices import Devices

MOST_PACKS = 256
"""Packs that wait in this process at most; of the largest size they are 128 MB."""
_SPACING = Spacing(least_s=0.02, small=500)
"""A transaction costs the database as much as a hundred rows: small ones come 20 ms apart."""
_MEND_EVERY_S = 5.0
_UPKEEP_EVERY_S = 3600.0
_OVERVIEW_EVERY_S = 60.0

MethodsOf = Callable[[SensorApi, Overview, ConfigApi, MeasureApi], dict[str, Method[Any, Any]]]
"""The table of contents (`handlers.methods`), which stands above this room."""


async def store_and_answer(
    service: Service,
    settings: SensorSettings,
    bus: Bus,
    pool: DatabasePool,
    configs: Configs,
    devices: Devices,
    process: Process,
    methods: MethodsOf,
) -> None:
    """Make ready what storing needs, then store, answer and keep the tables until the service is stopped."""
    upkeep = Upkeep(pool, settings, utc_now)
    prepared: list[ConfigApi] = []

    async def prepare() -> None:
        await upkeep.begin()
        config_api = ConfigApi(pool, await BucketWriter.open(bus, SENSOR_CONFIGS_BUCKET), configs)
        await config_api.rebuild()
        prepared.append(config_api)

    if not await unless_stopped(service, until_done(prepare, "start_postponed")):
        return
    [config_api] = prepared
    overview = Overview(pool, devices.offline_since, utc_now)
    oldest = upkeep.oldest if upkeep.keeps_rollups else None
    handlers = methods(
        SensorApi(pool, configs.canonical, oldest, devices.offline_since, devices.zone_of),
        overview,
        config_api,
        MeasureApi(bus, pool, devices, timedelta(seconds=settings.sensor_measure_timeout_s), utc_now),
    )
    letters = DeadLetters(bus, service, settings)
    storing = Storing(bus, pool, process, note_rollups=upkeep.keeps_rollups, tracer=service.tracer)
    lines = settings.sensor_batch
    async with (
        serve(bus, "sensor", handlers, unavailable=UNREACHABLE),
        Consumer(bus, SENSOR_STORE, max_messages=MOST_PACKS, most_lines=lines, spacing=_SPACING).open() as stored,
        Consumer(bus, SENSOR_RESPONSES).open() as answers,
        beside(
            stop=service.until_stopped(stored.stop, answers.stop),
            responses=Responses(bus, pool, utc_now).run(answers, letters),
            **rounds(settings, upkeep, config_api, overview, bus, pool, devices),
        ),
    ):
        await storing.run(stored, letters)


def rounds(
    settings: SensorSettings,
    upkeep: Upkeep,
    config_api: ConfigApi,
    overview: Overview,
    bus: Bus,
    pool: DatabasePool,
    devices: Devices,
) -> dict[str, Coroutine[Any, Any, Any]]:
    """The periodic rounds beside storing, by name."""
    counts = StateCounts(pool, devices.offline_since, utc_now)
    stale = Staleness(bus, pool, devices, utc_now)
    stale_s = settings.sensor_stale_check_s
    found = {
        "tables": every(_UPKEEP_EVERY_S, upkeep.keep_tables, "upkeep_postponed"),
        "days": every(_UPKEEP_EVERY_S, upkeep.check_days, "checks_postponed"),
        "mend": every(_MEND_EVERY_S, config_api.mend, "bucket_not_mended_yet"),
        "overview": every(_OVERVIEW_EVERY_S, overview.look, "overview_postponed"),
        "counts": every(stale_s, counts.count, "sensors_not_counted"),
        "stale": every(stale_s, stale.look, "staleness_postponed", interrupted=stale.interrupted),
    }
    if upkeep.keeps_rollups:
        found["rollups"] = every(settings.sensor_rollup_every_s, upkeep.refresh, "rollups_postponed")
    return found
