"""The composition root of the health service."""

import asyncio

from kaiser_common.bus import connect
from kaiser_common.consumer import Consumer
from kaiser_common.database import UNAVAILABLE, open_pool, ping, wait_for_schema
from kaiser_common.rpc import serve
from kaiser_common.service import Service, run
from kaiser_common.subjects import HEALTH
from nats.errors import Error as NatsError

from kaiser_health import store
from kaiser_health.api import RegistryApi
from kaiser_health.bucket import DevicesBucket
from kaiser_health.heard import Heard
from kaiser_health.settings import HealthSettings


def main() -> None:
    """Run the health service until it is told to stop."""
    run("health", HealthSettings, work)


async def work(service: Service, settings: HealthSettings) -> None:
    """Rebuild the bucket from the table, then answer and listen."""
    async with connect(settings, "health") as bus, open_pool(settings, "health") as pool:
        service.check("nats", bus.round_trip)
        service.check("database", lambda: ping(pool))
        await wait_for_schema(pool, "health")
        async with Consumer(bus, HEALTH, max_messages=settings.health_batch).open() as consumer:
            bucket = await DevicesBucket.open(bus)
            async with pool.connection() as connection:
                devices = await store.all_devices(connection)
            await bucket.rebuild(devices)
            async with (
                serve(bus, "health", RegistryApi(pool, bucket).methods(), unavailable=(*UNAVAILABLE, NatsError)),
                asyncio.TaskGroup() as tasks,
            ):
                tasks.create_task(service.until_stopped(consumer.stop), name="stop")
                await Heard(pool).run(consumer, service.stopping)
