"""The composition root of the health service."""

import asyncio
from datetime import UTC, datetime

import structlog
from kaiser_common.bus import connect
from kaiser_common.consumer import Consumer
from kaiser_common.database import (
    UNAVAILABLE,
    DatabasePool,
    make_day_partitions,
    open_pool,
    ping,
    wait_for_schema,
)
from kaiser_common.outside import OUTSIDE, DeadLetters, reason_of
from kaiser_common.rpc import serve, tell_status
from kaiser_common.service import Service, run
from kaiser_common.subjects import HEALTH
from nats.errors import Error as NatsError

from kaiser_health import store
from kaiser_health.api import RegistryApi
from kaiser_health.bucket import DevicesBucket
from kaiser_health.device_api import DeviceApi
from kaiser_health.inbox import Inbox
from kaiser_health.settings import HealthSettings
from kaiser_health.upkeep import drop_old

log = structlog.get_logger()

_UPKEEP_EVERY_S = 3600.0
_RETRY_S = 5.0


def main() -> None:
    """Run the health service until it is told to stop."""
    run("health", HealthSettings, work)


async def work(service: Service, settings: HealthSettings) -> None:
    """Rebuild the bucket from the table, then answer, listen and look for who is late."""
    async with (
        connect(settings, "health") as bus,
        tell_status(bus, service),
        open_pool(settings, "health") as pool,
    ):
        service.check("nats", bus.round_trip)
        service.check("database", lambda: ping(pool))
        await wait_for_schema(pool, "health")
        async with Consumer(bus, HEALTH, max_messages=settings.health_batch).open() as consumer:
            bucket = await DevicesBucket.open(bus)
            async with pool.connection() as connection:
                devices = await store.all_devices(connection)
            await bucket.rebuild(devices)
            inbox = Inbox(pool, bus, bucket, settings, utc_now)
            methods = {
                **RegistryApi(pool, bus, bucket, utc_now).methods(),
                **DeviceApi(pool, bus, settings, utc_now).methods(),
            }
            async with (
                serve(bus, "health", methods, unavailable=(*UNAVAILABLE, NatsError)),
                asyncio.TaskGroup() as tasks,
            ):
                background = [
                    tasks.create_task(keep_sweeping(inbox, settings.health_sweep_s), name="sweep"),
                    tasks.create_task(keep_up(pool, settings), name="upkeep"),
                ]
                tasks.create_task(service.until_stopped(consumer.stop), name="stop")
                await inbox.run(consumer, DeadLetters(bus, service, settings))
                for task in background:
                    task.cancel()


async def keep_sweeping(inbox: Inbox, every_s: float) -> None:
    """Look for late devices and pushes, for ever. Database or NATS away: silence counts from its return on."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await inbox.sweep()
        except OUTSIDE as error:
            log.warning("sweep_postponed", reason=reason_of(error))
            inbox.listen_anew()


async def keep_up(pool: DatabasePool, settings: HealthSettings) -> None:
    """Make the partitions of the coming days and let old rows go, every hour."""
    while True:
        now = utc_now()
        try:
            async with pool.connection() as connection:
                await make_day_partitions(connection, "health.heartbeats", now)
                await drop_old(connection, now, settings)
        except UNAVAILABLE as error:
            log.warning("upkeep_postponed", error=str(error).splitlines()[0])
            await asyncio.sleep(_RETRY_S)
        else:
            await asyncio.sleep(_UPKEEP_EVERY_S)


def utc_now() -> datetime:
    """The clock of the service."""
    return datetime.now(UTC)
