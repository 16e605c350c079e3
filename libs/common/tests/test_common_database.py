"""The verdicts on database errors, and COPY-upsert on a real server."""

import asyncio
import os
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from kaiser_common.runtime.database import UNAVAILABLE, Level, detect_level, open_pool
from kaiser_common.runtime.partitions import drop_days_before, drop_rows_before, make_day_partitions
from kaiser_common.runtime.settings import CommonSettings
from kaiser_common.runtime.upsert import copy_upsert
from kaiser_common.runtime.verdicts import Verdict, verdict
from own_ports import own_ports
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import PoolTimeout
from relay import relay
from waiting import until


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.AdminShutdown(), Verdict.RETRY),
        (errors.SerializationFailure(), Verdict.RETRY),
        (errors.DiskFull(), Verdict.RETRY),
        (errors.ReadOnlySqlTransaction(), Verdict.RETRY),
        (errors.LockNotAvailable(), Verdict.RETRY),
        (errors.QueryCanceled(), Verdict.RETRY),
        (psycopg.OperationalError("server closed the connection"), Verdict.RETRY),
        (PoolTimeout(), Verdict.RETRY),
        (errors.NumericValueOutOfRange(), Verdict.REJECT),
        (errors.NotNullViolation(), Verdict.REJECT),
        (errors.CheckViolation(), Verdict.REJECT),
        (errors.UndefinedColumn(), Verdict.BUG),
        (errors.SyntaxError(), Verdict.BUG),
        (TypeError(), Verdict.BUG),
    ],
)
def test_the_verdict_follows_from_the_sqlstate(error, expected):
    assert verdict(error) is expected


@pytest.fixture
async def connection(postgres_server):
    async with await psycopg.AsyncConnection.connect(postgres_server.url) as connection:
        await connection.execute("CREATE SCHEMA IF NOT EXISTS try")
        await connection.execute("DROP TABLE IF EXISTS try.t")
        await connection.execute("CREATE TABLE try.t (id int PRIMARY KEY, text text)")
        yield connection
        await connection.rollback()


async def test_copy_upsert_stores_each_key_once(connection):
    rows = [(1, "a"), (2, "b"), (1, "again")]
    assert await copy_upsert(connection, "try.t", ["id", "text"], rows, on_conflict="(id) DO NOTHING") == 2
    assert await copy_upsert(connection, "try.t", ["id", "text"], [(2, "c"), (3, "d")]) == 1
    cursor = await connection.execute("SELECT id, text FROM try.t ORDER BY id")
    assert await cursor.fetchall() == [(1, "a"), (2, "b"), (3, "d")]


async def test_copy_upsert_counts_what_was_new_of_few_rows_and_of_many(connection):
    many = [(number, None) for number in range(100)]
    assert await copy_upsert(connection, "try.t", ["id", "text"], many[:5]) == 5
    assert await copy_upsert(connection, "try.t", ["id", "text"], many) == 95
    assert await copy_upsert(connection, "try.t", ["id", "text"], many[:5]) == 0
    assert await copy_upsert(connection, "try.t", ["id", "text"], []) == 0


@pytest.mark.parametrize("count", [1, 100])
async def test_copy_upsert_stores_nothing_before_the_commit(connection, count):
    await connection.commit()
    await copy_upsert(connection, "try.t", ["id", "text"], [(number, "a") for number in range(count)])
    await connection.rollback()
    cursor = await connection.execute("SELECT count(*) FROM try.t")
    assert await cursor.fetchone() == (0,)


async def test_a_server_without_the_extension_is_plain(connection):
    assert await detect_level(connection) is Level.PLAIN


async def test_day_partitions_are_made_ahead_and_dropped_when_old(connection):
    await connection.execute("DROP TABLE IF EXISTS try.days")
    await connection.execute("CREATE TABLE try.days (time timestamptz NOT NULL, n int) PARTITION BY RANGE (time)")
    await connection.execute("CREATE TABLE try.days_other PARTITION OF try.days DEFAULT")
    now = datetime(2026, 3, 10, 15, tzinfo=UTC)
    await connection.execute("INSERT INTO try.days VALUES ('2026-03-11', 1), ('2025-01-01', 2)")
    await make_day_partitions(connection, "try.days", now)
    await make_day_partitions(connection, "try.days", now)

    async def partitions() -> list[str]:
        cursor = await connection.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = 'try.days'::regclass ORDER BY 1"
        )
        return [row[0] for row in await cursor.fetchall()]

    # The 11th had a row in the default partition before, so it stays there.
    assert await partitions() == [
        "days_20260309",
        "days_20260310",
        "days_20260312",
        "days_20260313",
        "days_other",
    ]
    await connection.execute("INSERT INTO try.days VALUES ('2026-03-09', 3), ('2026-03-12', 4)")
    await drop_days_before(connection, "try.days", datetime(2026, 3, 11, 12, tzinfo=UTC))
    assert await partitions() == ["days_20260312", "days_20260313", "days_other"]
    cursor = await connection.execute("SELECT n FROM try.days")
    assert await cursor.fetchall() == [(4,)]


async def test_old_rows_go_in_parts(connection):
    await connection.execute("DROP TABLE IF EXISTS try.rows")
    await connection.execute("CREATE TABLE try.rows (ended_at timestamptz)")
    start = datetime(2026, 3, 10, tzinfo=UTC)
    times = [*(start + timedelta(minutes=number) for number in range(35)), None]
    await connection.cursor().executemany("INSERT INTO try.rows VALUES (%s)", [(time,) for time in times])
    for expected in (25, 0):
        before = start + timedelta(minutes=25)
        assert await drop_rows_before(connection, "try.rows", "ended_at", before, at_once=10) == expected
    cursor = await connection.execute("SELECT count(*), count(ended_at), min(ended_at) FROM try.rows")
    assert await cursor.fetchone() == (11, 10, start + timedelta(minutes=25))


async def test_a_pool_has_connections_again_soon_after_its_server_is_back(postgres_factory):
    server = postgres_factory()
    async with open_pool(CommonSettings(database_url=server.url), "test") as pool:

        async def asked() -> bool:
            try:
                async with pool.connection() as connection:
                    await connection.execute("SELECT 1")
            except UNAVAILABLE:
                return False
            return True

        assert await asked()
        server.kill()
        started = time.monotonic()
        assert not await asked()
        assert time.monotonic() - started < 20, "psycopg's own pool lets who asks wait 30 s"
        waiting = asyncio.create_task(asked())
        server.start()
        started = time.monotonic()
        while not await asked():
            assert time.monotonic() - started < 60
        await waiting


async def test_the_kernel_ends_a_connection_whose_bytes_are_not_acknowledged_for_25_s(postgres_server):
    """Over TCP: the test's server listens on a unix socket alone."""
    given = conninfo_to_dict(postgres_server.url)
    with relay(port := own_ports().take(), Path(given["host"]) / ".s.PGSQL.5432"):
        url = f"postgresql://{given['user']}@127.0.0.1:{port}/{given['dbname']}"
        async with (
            open_pool(CommonSettings(database_url=url), "test") as pool,
            pool.connection() as connection,
        ):
            with socket.socket(fileno=os.dup(connection.fileno())) as tcp:
                assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 25_000


async def test_two_connections_stay_free_however_many_requests_read(postgres_server):
    settings = CommonSettings(database_url=postgres_server.url, database_pool_size=4)
    async with open_pool(settings, "test", timeout_s=60.0) as pool:
        under_way, most, may_end = 0, 0, asyncio.Event()

        async def read() -> None:
            nonlocal under_way, most
            async with pool.reading():
                under_way += 1
                most = max(most, under_way)
                await may_end.wait()
                under_way -= 1

        async with asyncio.TaskGroup() as tasks:
            for _ in range(50):
                tasks.create_task(read())
            async with pool.connection(), pool.connection() as connection:
                assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
                assert not may_end.is_set()
            await until(lambda: under_way == 2)
            may_end.set()
        assert most == 2


async def test_a_request_that_reads_is_refused_when_others_read_for_too_long_and_its_turn_is_not_lost(postgres_server):
    settings = CommonSettings(database_url=postgres_server.url, database_pool_size=1)
    async with open_pool(settings, "test", timeout_s=60.0) as pool:
        async with pool.reading():
            pool.timeout = 0.2
            with pytest.raises(PoolTimeout, match="other requests read"):
                async with pool.reading():
                    pytest.fail("two requests read concurrently")
        pool.timeout = 60.0
        for _ in range(3):
            async with pool.reading():
                pass


async def test_a_cancellation_that_meets_a_connection_in_the_same_turn_is_raised_and_the_connection_goes_back(
    postgres_server,
):
    settings = CommonSettings(database_url=postgres_server.url, database_pool_size=1)
    async with open_pool(settings, "test", timeout_s=60.0) as pool:

        async def take() -> None:
            async with pool.connection():
                pass

        for _ in range(20):
            held = await pool.getconn()
            taking = asyncio.create_task(take())
            while not pool.get_stats().get("requests_waiting"):  # noqa: ASYNC110 - the next turn, not a time
                await asyncio.sleep(0)
            await pool.putconn(held)
            taking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await taking
        async with pool.connection() as connection:
            assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
