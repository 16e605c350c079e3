"""The work that needs the database: storing, answering, and the rounds that maintain the tables. Killed at any point:
readings that are not committed are not acknowledged and are delivered again; each round is repeated.
"""

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, NamedTuple

from kaiser_common.bus.bucket import BucketWriter
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.consumer import Consumer
from kaiser_common.contract.subjects import SENSOR_CONFIGS_BUCKET
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.clock import utc_now
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.loops import beside, every, unless_stopped, until_done
from kaiser_common.runtime.service import Service

from kaiser_sensor.api.configs import ConfigApi
from kaiser_sensor.api.measurements import MeasureApi
from kaiser_sensor.api.overview import OverviewApi
from kaiser_sensor.api.readings import SensorApi
from kaiser_sensor.consumers.responses import Responses
from kaiser_sensor.consumers.storing import Storing
from kaiser_sensor.domain.processed import PackProcessing
from kaiser_sensor.jobs.stale import Staleness
from kaiser_sensor.jobs.state_counts import StateCounts
from kaiser_sensor.jobs.store_state import StoreState
from kaiser_sensor.jobs.upkeep import Upkeep
from kaiser_sensor.settings import SensorSettings
from kaiser_sensor.store.config_mirror import Configs
from kaiser_sensor.store.devices import Devices

_MEND_EVERY_S = 5.0
_UPKEEP_EVERY_S = 3600.0
_OVERVIEW_EVERY_S = 60.0
_STORE_STATE_EVERY_S = 5.0


class StorageContents(NamedTuple):
    """The part of the table of contents that needs the database (handlers.py), which stands above this room."""

    store: Callable[[Broker, Bus, Storing, Responses, SensorSettings], Consumer]
    answer: Callable[[Broker, SensorApi, OverviewApi, ConfigApi, MeasureApi], None]


async def store_and_answer(
    service: Service,
    settings: SensorSettings,
    bus: Bus,
    pool: DatabasePool,
    configs: Configs,
    devices: Devices,
    packs: PackProcessing,
    contents: StorageContents,
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
    overview = OverviewApi(pool, devices.offline_since, utc_now, devices.is_registered)
    oldest = upkeep.oldest if upkeep.keeps_rollups else None
    broker = Broker(bus, service, settings)
    contents.answer(
        broker,
        SensorApi(
            pool, configs.canonical, oldest, utc_now, devices.offline_since, devices.zone_of, devices.is_registered
        ),
        overview,
        config_api,
        MeasureApi(bus, pool, devices, timedelta(seconds=settings.sensor_measure_timeout_s), utc_now),
    )
    storing = Storing(bus, pool, packs, note_rollups=upkeep.keeps_rollups, tracer=service.tracer)
    consumer = contents.store(broker, bus, storing, Responses(bus, pool, utc_now), settings)
    async with (
        storing.keeping_latest(consumer),
        beside(**rounds(settings, upkeep, config_api, overview, bus, pool, devices, storing)),
        broker.serving(),
    ):
        await service.stopping.wait()


def rounds(
    settings: SensorSettings,
    upkeep: Upkeep,
    config_api: ConfigApi,
    overview: OverviewApi,
    bus: Bus,
    pool: DatabasePool,
    devices: Devices,
    storing: Storing,
) -> dict[str, Coroutine[Any, Any, Any]]:
    """The periodic rounds beside storing, by name."""
    counts = StateCounts(pool, devices.offline_since, utc_now)
    stale = Staleness(bus, pool, devices, utc_now)
    state = StoreState(bus, lambda: storing.paused_s)
    stale_s = settings.sensor_stale_check_s
    found = {
        "tables": every(_UPKEEP_EVERY_S, upkeep.keep_tables, "upkeep_postponed"),
        "days": every(_UPKEEP_EVERY_S, upkeep.check_days, "checks_postponed"),
        "mend": every(_MEND_EVERY_S, config_api.mend, "bucket_repair_postponed"),
        "overview": every(_OVERVIEW_EVERY_S, overview.look, "overview_postponed"),
        "state": every(_STORE_STATE_EVERY_S, state.look, "store_state_postponed"),
        "counts": every(stale_s, counts.count, "sensors_not_counted"),
        "stale": every(stale_s, stale.look, "staleness_postponed", interrupted=stale.interrupted),
    }
    if upkeep.keeps_rollups:
        found["rollups"] = every(settings.sensor_rollup_every_s, upkeep.refresh, "rollups_postponed")
    return found
