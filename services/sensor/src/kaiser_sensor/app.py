"""Wiring of the sensor service: live events from the bus alone; storing and answering once the database is there."""

import structlog
from kaiser_common.bus.purge import Purging, keep_purging
from kaiser_common.contract.subjects import KEPT_PACKS, SENSOR_LIVE, SENSOR_STORE, SENSORS
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.database import wait_for_schema
from kaiser_common.runtime.loops import beside, unless_stopped
from kaiser_common.runtime.service import Service, run
from kaiser_common.runtime.wiring import connections

from kaiser_sensor.consumers.live import Live
from kaiser_sensor.consumers.processing import process_with
from kaiser_sensor.domain.processed import PackProcessing
from kaiser_sensor.handlers import answer, show, store
from kaiser_sensor.jobs.storage import StorageContents, store_and_answer
from kaiser_sensor.libraries import discover
from kaiser_sensor.settings import SensorSettings
from kaiser_sensor.store.config_mirror import Configs
from kaiser_sensor.store.devices import Devices

log = structlog.get_logger()

_BUCKETS_WITHIN_S = 60.0
_PURGING = Purging(SENSORS, (SENSOR_LIVE, SENSOR_STORE), KEPT_PACKS)


def main() -> None:
    """Run the sensor service until it is stopped."""
    run("sensor", SensorSettings, work)


async def work(service: Service, settings: SensorSettings) -> None:
    """Show what arrives whatever the database does; store and answer beside that once its schema is there."""
    libraries = discover()
    log.info("sensor_libraries", types=sorted({library.sensor_type for library in libraries.values()}))
    async with connections(service, settings, with_schema=False) as (bus, pool):
        configs, devices = Configs(bus, libraries), Devices(bus)
        packs = PackProcessing(process_with(libraries, configs, devices))
        purge = keep_purging(bus, _PURGING, service.stopping)
        async with beside(configs=configs.keep(), devices=devices.keep(), purge=purge):
            await unless_stopped(service, configs.ready(_BUCKETS_WITHIN_S))
            await unless_stopped(service, devices.ready(_BUCKETS_WITHIN_S))
            per_device = settings.events_per_device
            broker = Broker(bus, service, settings)
            live = Live(bus, packs, configs.wants_answer, service.tracer, per_device=per_device)
            show(broker, bus, live, settings)
            async with broker.serving():
                if await unless_stopped(service, wait_for_schema(pool, "sensor")):
                    contents = StorageContents(store, answer)
                    await store_and_answer(service, settings, bus, pool, configs, devices, packs, contents)
