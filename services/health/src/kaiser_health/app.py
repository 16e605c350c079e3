"""Wiring of the health service: connections, then the answers to requests, the consumers and the periodic jobs."""

from functools import partial

from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.clock import utc_now
from kaiser_common.runtime.loops import beside, every
from kaiser_common.runtime.service import Service, run
from kaiser_common.runtime.wiring import connections

from kaiser_health.consumers.audits import AuditRecords
from kaiser_health.consumers.devices import DeviceMessages
from kaiser_health.handlers import answer, consume
from kaiser_health.jobs.missing_zones import add_missing_zones
from kaiser_health.jobs.retention import keep_tables
from kaiser_health.jobs.sweep import LateSweep
from kaiser_health.settings import HealthSettings
from kaiser_health.store.bucket import DevicesBucket, rebuild

_UPKEEP_EVERY_S = 3600.0


def main() -> None:
    """Run the health service until it is stopped."""
    run("health", HealthSettings, work)


async def work(service: Service, settings: HealthSettings) -> None:
    """Rebuild the bucket from the table, then answer requests, consume messages and look for late devices."""
    async with connections(service, settings) as (bus, pool):
        bucket = await DevicesBucket.open(bus)
        await rebuild(bucket, pool)
        messages = DeviceMessages(pool, bus, bucket, settings, utc_now)
        late = LateSweep(pool, bus, bucket, settings, utc_now)
        upkeep = partial(keep_tables, pool, utc_now, settings)
        broker = Broker(bus, service, settings)
        consume(broker, bus, messages, AuditRecords(pool), late, settings)
        answer(broker, bus, pool, bucket, settings, utc_now)
        async with (
            broker.serving(),
            beside(
                sweep=late.run(),
                upkeep=every(_UPKEEP_EVERY_S, upkeep, "upkeep_postponed"),
                zones=every(_UPKEEP_EVERY_S, partial(add_missing_zones, pool), "zones_postponed"),
            ),
        ):
            await service.stopping.wait()
