"""Opens the resources of every service with tables: the bus, the database, and their checks for /readyz."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from nats.errors import Error as NatsError

from kaiser_common.bus.connection import Bus, connect
from kaiser_common.runtime.database import UNAVAILABLE, DatabasePool, open_pool, ping, wait_for_schema
from kaiser_common.runtime.service import Service
from kaiser_common.runtime.settings import CommonSettings
from kaiser_common.runtime.status import tell_status

UNREACHABLE: tuple[type[Exception], ...] = (*UNAVAILABLE, NatsError)
"""Exceptions of an RPC method that mean that the database or NATS is away: the caller gets a 503."""


class OpenConnections(NamedTuple):
    """Open connections."""

    bus: Bus
    pool: DatabasePool


@asynccontextmanager
async def connections(
    service: Service, settings: CommonSettings, *, database_within_s: float = 2.0, with_schema: bool = True
) -> AsyncIterator[OpenConnections]:
    """Connect to NATS and the database, and answer for the service's status while the block runs.

    NATS away: this waits for it. Database away: taking a connection raises PoolTimeout after `database_within_s`; with
    `with_schema` this waits until the migrate step has made the service's schema.
    """
    async with (
        connect(settings, service.name) as bus,
        tell_status(bus, service),
        open_pool(settings, service.name, timeout_s=database_within_s) as pool,
    ):
        service.check("nats", bus.round_trip)
        service.check("database", lambda: ping(pool))
        if with_schema:
            await wait_for_schema(pool, service.name)
        yield OpenConnections(bus, pool)
