"""The composition root of the service factory."""

import asyncio
import sys

from kaiser_common.bus.connection import connect
from kaiser_common.runtime.database import open_pool, ping, wait_for_schema
from kaiser_common.runtime.service import Service, run
from kaiser_common.runtime.status import tell_status
from kaiser_factory_dialect.cli import main as check

from kaiser_factory.handlers import answer, consume
from kaiser_factory.jobs.holder import Contents, FactoryHolder
from kaiser_factory.jobs.upkeep import keep_up
from kaiser_factory.settings import FactorySettings
from kaiser_factory.store.environment import EnvironmentMirror

_DATABASE_WITHIN_S = 3.0


def main() -> None:
    """Run the service until SIGTERM; `kaiser-factory check FILE` checks a file instead."""
    if sys.argv[1:]:
        sys.exit(check())
    run("factory", FactorySettings, work)


async def work(service: Service, settings: FactorySettings) -> None:
    """Follow the environment in force whenever the lease is held here. The database is needed for the past alone."""
    async with (
        connect(settings, "factory") as bus,
        tell_status(bus, service),
        open_pool(settings, "factory", timeout_s=_DATABASE_WITHIN_S) as pool,
        asyncio.TaskGroup() as tasks,
    ):
        service.check("nats", bus.round_trip)
        service.check("database", lambda: ping(pool), needed=False)
        environments = EnvironmentMirror(bus)
        holder = FactoryHolder(bus, pool, environments, service, settings, Contents(consume, answer))

        async def upkeep() -> None:
            await wait_for_schema(pool, "factory")
            await keep_up(pool, settings.factory_retention_days)

        background = [
            tasks.create_task(environments.keep(), name="environments"),
            tasks.create_task(upkeep(), name="upkeep"),
            tasks.create_task(holder.run(), name="holder"),
        ]
        await service.stopping.wait()
        for task in background:
            task.cancel()
