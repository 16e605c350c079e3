"""Checks of quality are found by index however many there are, on a real database."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from kaiser_factory.store import Connection, reading
from kaiser_factory.store.writing import drop_old_pictures

NOW = datetime(2026, 11, 1, tzinfo=UTC)
CHECKS = 20_000


@pytest.fixture
async def filled(database: str) -> AsyncIterator[Connection]:
    """A connection to a table with 20,000 checks, one a minute in turn of five TXTs; the newest 200 have pictures."""
    async with await psycopg.AsyncConnection.connect(database) as connection:
        await connection.execute("TRUNCATE factory.quality")
        await connection.execute(
            "INSERT INTO factory.quality (env, time, txt, result, mime, bytes, picture)"
            " SELECT 'live', %s - (%s - place) * interval '1 minute', 'T' || mod(place, 5), 'PASSED', 'image/png', 3,"
            " CASE WHEN place > %s - 200 THEN 'abc'::bytea END FROM generate_series(1, %s) AS place",
            (NOW, CHECKS, CHECKS, CHECKS),
        )
        await connection.execute("ANALYZE factory.quality")
        yield connection


class Explaining:
    """A connection that explains what it is asked instead of doing it."""

    rowcount = 0

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.plan: dict[str, Any] = {}

    @asynccontextmanager
    async def cursor(self, **_: Any) -> AsyncIterator["Explaining"]:
        yield self

    async def execute(self, query: Any, parameters: Any = None) -> "Explaining":
        text = query.decode() if isinstance(query, bytes) else query
        cursor = await self._connection.execute(f"EXPLAIN (FORMAT JSON) {text}", parameters)
        [([found],)] = await cursor.fetchall()
        self.plan = found["Plan"]
        return self

    async def fetchall(self) -> list[Any]:
        return []


def accesses(plan: dict[str, Any]) -> set[str]:
    """The tables that a plan reads from end to end, and the indexes that it reads."""
    found = {f"all of {plan['Relation Name']}"} if plan["Node Type"] == "Seq Scan" else set()
    found |= {plan["Index Name"]} if "Index Name" in plan else set()
    return found.union(*(accesses(part) for part in plan.get("Plans", [])))


async def of_a_span(connection: Any) -> Any:
    return await reading.quality_between(connection, "live", NOW - timedelta(hours=2), NOW - timedelta(hours=1))


async def newest(connection: Any) -> Any:
    return await reading.quality(connection, "live", None, 100)


async def old_pictures(connection: Any) -> Any:
    return await drop_old_pictures(connection, "live")


@pytest.mark.parametrize(
    ("ask", "indexes"),
    [
        (of_a_span, {"quality_by_time"}),
        (newest, {"quality_pkey"}),
        (old_pictures, {"quality_with_picture", "quality_pkey"}),
    ],
)
async def test_checks_of_quality_are_read_by_index(
    filled: Connection, ask: Callable[[Any], Awaitable[Any]], indexes: set[str]
) -> None:
    explaining = Explaining(filled)
    await ask(explaining)
    assert accesses(explaining.plan) == indexes


async def test_only_the_newest_checks_keep_their_pictures(filled: Connection) -> None:
    await filled.execute("UPDATE factory.quality SET picture = 'abc' WHERE time > %s", (NOW - timedelta(minutes=250),))
    await drop_old_pictures(filled, "live")
    cursor = await filled.execute("SELECT count(*), min(time) FROM factory.quality WHERE picture IS NOT NULL")
    assert await cursor.fetchall() == [(200, NOW - timedelta(minutes=199))]
