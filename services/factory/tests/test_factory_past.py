"""The rows of a filled table that the store reads before it begins, on a real database."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from kaiser_factory.domain.rows import Past
from kaiser_factory.store import Connection, past
from kaiser_factory_dialect.messages import ActionState

NOW = datetime.now(UTC)
SERIALS, OF_EACH = 20, 5_000
MOST_READ = SERIALS * 100
"""Rows: some dozens of each serial, far less than the table has of one."""


@pytest.fixture
async def filled(database: str) -> AsyncIterator[Connection]:
    """A connection to a table with 300,000 transitions of 20 serials, the newest now and one every 2 minutes."""
    async with await psycopg.AsyncConnection.connect(database) as connection:
        await connection.execute("TRUNCATE factory.transitions")
        for what, value, action_id in (
            ("action", "'FINISHED'", "'a' || place"),
            ("node", "mod(place, 4)::text", "''"),
            ("connection", "'ONLINE'", "CASE WHEN place < 5 THEN 'nodered' ELSE 'device' END"),
        ):
            await connection.execute(
                f"INSERT INTO factory.transitions (env, serial, what, value, action_id, time)"
                f" SELECT 'live', 'S' || serial, '{what}', {value}, {action_id}, %s - place * interval '2 minutes'"
                f" FROM generate_series(1, %s) AS serial, generate_series(0, %s) AS place",
                (NOW, SERIALS, OF_EACH - 1),
            )
        await connection.execute(
            "INSERT INTO factory.transitions (env, serial, what, value, action_id, time) VALUES"
            " ('live', 'OLD', 'action', 'FINISHED', 'a', %(old)s), ('live', 'OLD', 'node', '1', '', %(old)s),"
            " ('mock', 'S1', 'action', 'FINISHED', 'mock', %(now)s), ('mock', 'S1', 'node', '9', '', %(now)s)",
            {"old": NOW - timedelta(days=8), "now": NOW + timedelta(seconds=1)},
        )
        await connection.commit()
        yield connection


async def rows_read(connection: Connection) -> int:
    """How many rows of the factory's tables and their chunks this transaction has read."""
    cursor = await connection.execute(
        "SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::int FROM pg_stat_xact_user_tables"
        " WHERE schemaname IN ('factory', '_timescaledb_internal')"
    )
    [row] = await cursor.fetchall()
    return int(row[0])


def is_new(found: Past, serial: str, action_id: str) -> bool:
    return found.actions.new_of(serial, "device", [ActionState(action_id, None, "FINISHED")]) != []


async def test_a_start_reads_some_rows_of_each_serial_however_many_there_are(filled: Connection) -> None:
    found = await past.load(filled, "live", NOW)
    assert 0 < await rows_read(filled) < MOST_READ
    assert found.nodes == {f"S{number}": "0" for number in range(1, SERIALS + 1)}
    assert not any(is_new(found, f"S{number}", f"a{place}") for number in (1, SERIALS) for place in range(8))
    assert is_new(found, "S1", "a4000")
    assert is_new(found, "S1", "mock")
    assert is_new(found, "OLD", "a")


async def test_the_last_word_of_each_source_of_a_connection_is_known(filled: Connection) -> None:
    found = await past.load(filled, "live", NOW)
    assert found.connections == {
        (f"S{number}", source): "ONLINE" for number in range(1, SERIALS + 1) for source in ("device", "nodered")
    }


async def test_what_was_stored_more_than_seven_days_before_the_given_time_is_not_read(filled: Connection) -> None:
    found = await past.load(filled, "live", NOW + timedelta(days=7, seconds=2))
    assert (found.nodes, found.connections) == ({}, {})


async def test_of_an_environment_without_rows_nothing_is_known(filled: Connection) -> None:
    found = await past.load(filled, "replay", NOW)
    assert (found.nodes, found.connections, found.factory.orders) == ({}, {}, {})
