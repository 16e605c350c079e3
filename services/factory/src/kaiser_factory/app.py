"""Wiring of factory: the live state and the steering of the lease holder; other replicas stand by."""

import gc
import sys

from kaiser_common.bus.connection import connect
from kaiser_common.bus.environment import EnvironmentMirror
from kaiser_common.bus.lease import Lease
from kaiser_common.bus.purge import Purging, keep_purging
from kaiser_common.contract.subjects import FACTORY, FACTORY_STORE, KEPT_OF_FACTORY, KEPT_OF_FACTORY_S
from kaiser_common.runtime.clock import utc_now
from kaiser_common.runtime.database import open_pool, ping, wait_for_schema
from kaiser_common.runtime.loops import beside, leader
from kaiser_common.runtime.service import Service, run
from kaiser_common.runtime.status import answer_status
from kaiser_factory_dialect.cli import main as check

from kaiser_factory.handlers import answer, consume
from kaiser_factory.jobs.holder import Contents, FactoryHolder
from kaiser_factory.jobs.upkeep import keep_up
from kaiser_factory.settings import FactorySettings

_DATABASE_WITHIN_S = 3.0
_PURGING = Purging(FACTORY, (FACTORY_STORE,), KEPT_OF_FACTORY, KEPT_OF_FACTORY_S)
_GC_THRESHOLDS = (50_000, 20, 100)
"""A message leaves no cycles, and the state is large: looking for cycles less often keeps events from waiting."""


def main() -> None:
    """Run the service until SIGTERM; `kaiser-factory check FILE` checks a file instead."""
    if sys.argv[1:]:
        sys.exit(check())
    run("factory", FactorySettings, work)


async def work(service: Service, settings: FactorySettings) -> None:
    """Follow the environment in force whenever the lease is held here. The database is needed for the past alone."""
    gc.set_threshold(*_GC_THRESHOLDS)  # here, because the shell sets its own before
    async with (
        connect(settings, "factory") as bus,
        answer_status(bus, service),
        open_pool(settings, "factory", timeout_s=_DATABASE_WITHIN_S) as pool,
    ):
        service.check("nats", bus.round_trip)
        service.check("database", lambda: ping(pool), needed=False)
        environments = EnvironmentMirror(bus)
        holder = FactoryHolder(bus, pool, environments, service, settings, Contents(consume, answer))

        async def upkeep() -> None:
            await wait_for_schema(pool, "factory")
            await keep_up(pool, settings.factory_retention_days, utc_now)

        purge = keep_purging(bus, _PURGING, service.stopping)
        async with beside(environments=environments.keep(), upkeep=upkeep(), purge=purge):
            await leader(service, Lease(bus, "factory"), holder.until)
