"""The connection to PostgreSQL: its pool, and which level of TimescaleDB the server has."""

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from kaiser_common.bus.waiting import cancellable
from kaiser_common.contract.errors import line_of
from kaiser_common.runtime.settings import CommonSettings

log = structlog.get_logger()

_CHECK_EVERY_S = 1.0

NO_ANSWER: tuple[type[Exception], ...] = (psycopg.OperationalError, PoolTimeout)
"""Exceptions that mean the database does not answer, or not in time."""
UNAVAILABLE: tuple[type[Exception], ...] = (*NO_ANSWER, psycopg.errors.ReadOnlySqlTransaction)
"""Exceptions that mean the database is away, hindered or read-only: try again later. See also `verdicts.verdict`."""


_NOT_FOR_READERS = 2
_LEAST_WAIT_S = 0.1


class DatabasePool(AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]):
    """psycopg's pool; a wait for a connection can be cancelled at any time."""

    @cached_property
    def _readers(self) -> asyncio.Semaphore:
        return asyncio.Semaphore(max(1, self.max_size - _NOT_FOR_READERS))

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection[tuple[Any, ...]]]:
        """A connection for a request that changes nothing. All such requests share all but two of the connections, so
        they never delay messages of devices and changes by people, however many there are. PoolTimeout as
        `connection`, after the same time."""
        asked_at = time.monotonic()
        try:
            async with asyncio.timeout(self.timeout):
                await self._readers.acquire()
        except TimeoutError as error:
            raise PoolTimeout(f"{self.name}: other requests read for {self.timeout:g} s") from error
        try:
            left_s = max(_LEAST_WAIT_S, self.timeout - (time.monotonic() - asked_at))
            async with self.connection(left_s) as connection:
                yield connection
        finally:
            self._readers.release()

    async def getconn(self, timeout: float | None = None) -> AsyncConnection[tuple[Any, ...]]:
        """As psycopg's. Cancelled while a connection comes: it goes back, and CancelledError is raised."""
        connection = None
        try:
            with cancellable():
                connection = await super().getconn(timeout)
        except asyncio.CancelledError:
            if connection is not None:
                await self.putconn(connection)
            raise
        return connection


class Level(StrEnum):
    """The features of the database."""

    COMMUNITY = "timescaledb-community"
    """Compression, continuous aggregates and policies."""
    APACHE = "timescaledb-apache"
    """Hypertables and drop_chunks; the service refreshes rollups and drops old chunks itself."""
    PLAIN = "postgresql"
    """Partitioned tables; the service does all of it."""


def connection_uri(settings: CommonSettings) -> str:
    """The URI without its password when that comes from a file (see `connection_options`)."""
    return settings.database_url.get_secret_value()


def connection_options(settings: CommonSettings, name: str) -> dict[str, Any]:
    """Options of each connection: name, password from a file, timeouts.

    A host that vanishes without a word ends a connection within 25 s: one that waits for an answer by the keepalives,
    one whose bytes are not acknowledged by tcp_user_timeout, without which TCP would send them again for 15 minutes.
    """
    options: dict[str, Any] = {
        "application_name": f"kaiser-{name}",
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 25_000,
        "options": f"-c statement_timeout={int(settings.database_statement_timeout_s * 1000)} -c timezone=UTC",
    }
    if settings.database_password_file is not None:
        options["password"] = settings.database_password_file.read_text().strip()
    return options


@asynccontextmanager
async def open_pool(settings: CommonSettings, name: str, *, timeout_s: float = 2.0) -> AsyncIterator[DatabasePool]:
    """A pool of checked connections. It opens also when the server is away; then taking a connection raises
    PoolTimeout after `timeout_s`."""
    pool = DatabasePool(
        connection_uri(settings),
        kwargs=connection_options(settings, name),
        min_size=1,
        max_size=settings.database_pool_size,
        timeout=timeout_s,
        max_waiting=256,
        reconnect_timeout=timeout_s,
        check=_check_seldom(),
        reconnect_failed=_log_unreachable,
        name=name,
        open=False,
    )
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close(timeout=5.0)


def _check_seldom() -> Callable[[AsyncConnection[Any]], Awaitable[None]]:
    """Check a connection that is taken from the pool, unless it was checked within the last second: a service that
    stores 40 times a second would make as many round trips more. One that breaks within that second fails its user,
    who tries again as after any outage."""
    checked_at: WeakKeyDictionary[AsyncConnection[Any], float] = WeakKeyDictionary()

    async def check(connection: AsyncConnection[Any]) -> None:
        now = time.monotonic()
        if now - checked_at.get(connection, -math.inf) < _CHECK_EVERY_S:
            return
        await AsyncConnectionPool.check_connection(connection)
        checked_at[connection] = now

    return check


def _log_unreachable(pool: AsyncConnectionPool[Any]) -> None:
    log.warning("database_unreachable", database=_without_secret(str(pool.conninfo)))


async def ping(pool: DatabasePool) -> None:
    """A round trip, for /readyz."""
    async with pool.connection(timeout=1.5) as connection:
        await connection.execute("SELECT 1")


async def wait_for_schema(pool: DatabasePool, schema: str, version_table: str = "alembic_version") -> None:
    """Wait until the migrate step has made the schema, with a log line at each failure; services make no tables."""
    wait_s = 0.2
    while True:
        try:
            async with pool.connection() as connection:
                cursor = await connection.execute("SELECT to_regclass(%s)", (f"{schema}.{version_table}",))
                row = await cursor.fetchone()
            if row is not None and row[0] is not None:
                return
            log.warning("schema_missing", schema=schema, hint="run migrate", retry_s=wait_s)
        except UNAVAILABLE as error:
            log.warning("database_unreachable", error=line_of(error), retry_s=wait_s)
        await asyncio.sleep(wait_s)
        wait_s = min(wait_s * 2, 5.0)


async def detect_level(connection: AsyncConnection[Any]) -> Level:
    """Find out what the server can do; needs the timescaledb extension to be created already."""
    cursor = await connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'")
    if await cursor.fetchone() is None:
        return Level.PLAIN
    cursor = await connection.execute("SELECT current_setting('timescaledb.license', true)")
    row = await cursor.fetchone()
    return Level.COMMUNITY if row is not None and row[0] == "timescale" else Level.APACHE


def _without_secret(conninfo: str) -> str:
    """A conninfo or URI as it may be logged."""
    return re.sub(r"(?<=password=)\S+|(?<=:)[^:@/]+(?=@)", "***", conninfo)
