"""Opens a service's connections to NATS and the database, and registers the functions that answer its requests."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from nats.errors import Error as NatsError
from psycopg.errors import ReadOnlySqlTransaction

from kaiser_common.bus.connection import Bus, connect
from kaiser_common.bus.requests import Answering, Outages, RpcSubscriber
from kaiser_common.contract.rpc import RpcMethod
from kaiser_common.runtime.audit import ReadBefore, audited
from kaiser_common.runtime.database import NO_ANSWER, DatabasePool, open_pool, ping, wait_for_schema
from kaiser_common.runtime.service import Service
from kaiser_common.runtime.settings import CommonSettings
from kaiser_common.runtime.status import answer_status

UNREACHABLE = Outages(database=NO_ANSWER, others=(ReadOnlySqlTransaction, NatsError))
"""Exceptions of an RPC method that mean that the database or NATS is away, or that the database is read-only."""


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
        answer_status(bus, service),
        open_pool(settings, service.name, timeout_s=database_within_s) as pool,
    ):
        service.check("nats", bus.round_trip)
        service.check("database", lambda: ping(pool))
        if with_schema:
            await wait_for_schema(pool, service.name)
        yield OpenConnections(bus, pool)


def register(rpc: RpcSubscriber, rows: Iterable[RpcMethod], functions: Mapping[str, Answering[Any, Any]]) -> None:
    """Have each method of a service answered by its function, for callers that have the role of its row. Changes are
    recorded in the audit log where the row says so.

    ValueError, so that the process ends at its start: a row has no function, a function no row, or the models of its
    annotations are not those of the row.
    """
    declared = {row.name: row for row in rows}
    if different := declared.keys() ^ functions.keys():
        raise ValueError(f"only in the catalogue or only in handlers.py: {', '.join(sorted(different))}")
    for name, own in functions.items():
        row, function = declared[name], own
        if (change := row.audited) is not None:
            read = change.before
            reading = ReadBefore(functions[read], declared[read].request, rpc.unavailable) if read else None
            function = audited(rpc.bus, row, change, own, reading)
        rpc.method(name, least=row.least)(function)
        registered = rpc.methods[name]
        if (registered.request, registered.answer) != (row.request, row.answer):
            raise ValueError(f"{row.subject} has different models in the catalogue and in its function")
