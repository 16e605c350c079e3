"""Many new readings by COPY: the same tables as by INSERT, and none of them where one cannot be stored that way."""

from datetime import timedelta

import psycopg
import pytest
from kaiser_common.runtime.database import Level, detect_level
from kaiser_sensor.domain.unwritten import Unwritten
from kaiser_sensor.jobs import upkeep
from kaiser_sensor.settings import SensorSettings
from kaiser_sensor.store import old_keys, policies
from kaiser_sensor.store import readings as store
from moment import moment

NOW = moment().replace(microsecond=123_000)
TABLES = (
    "SELECT * FROM sensor.data ORDER BY time, esp_id, gpio, sensor_type, address",
    "SELECT * FROM sensor.latest ORDER BY esp_id, gpio, sensor_type, address",
    "SELECT rollup, esp_id, from_at, to_at FROM sensor.rollup_pending ORDER BY 1, 2, 3, 4",
)


@pytest.fixture
async def connection(storage):
    async with await psycopg.AsyncConnection.connect(storage, prepare_threshold=None) as connection:
        for table in ("data", "latest", "rollup_pending"):
            await connection.execute(f"TRUNCATE sensor.{table}")
        await old_keys.drop(connection)
        await upkeep.make_partitions(connection, NOW, SensorSettings())
        await policies.apply(connection, SensorSettings())
        await connection.commit()
        yield connection


def row(second, esp_id="TEST_A", address="", **changes):
    fields = {"raw": second, "raw_value": 0.5, "value": 20.25, "unit": "°C\t\\N\n", "quality": "good"} | changes
    at = NOW + timedelta(seconds=second)
    return (at, esp_id, 4, "ph", *fields.values(), "raw", "TEST", "device", address)


def arrival(one, late_s=1.0, device_ts=None):
    return (one[0].timestamp() + late_s, device_ts)


async def tables(connection):
    found = [await (await connection.execute(query)).fetchall() for query in TABLES]
    await connection.commit()
    return found


async def test_copied_rows_are_those_that_are_inserted(connection):
    rows = [
        *[row(second, f"TEST_{second % 3}") for second in range(-9, 0)],
        row(-3 * 86_400),
        row(2, "TEST_AHEAD"),
        row(-2, "TEST_AHEAD", value=None, unit=None, raw=-0.5),
        row(-2, "TEST_AHEAD", "28FF641E8D3C0C79", raw_value=None, raw=None),
    ]
    arrivals = [arrival(one) for one in rows]
    arrivals[-3] = (NOW.timestamp() - 60, 7)  # its clock was ahead
    assert await store.copy_new(connection, rows, note_rollups=True)
    unwritten = Unwritten()
    unwritten.add(rows[:5], arrivals[:5])
    newest = unwritten.with_these(rows[5:], arrivals[5:])
    await store.put_latest(connection, newest.rows(), newest.arrivals())
    await connection.commit()
    copied = await tables(connection)
    assert len(copied[0]) == len(rows)
    for table in ("data", "latest", "rollup_pending"):
        await connection.execute(f"TRUNCATE sensor.{table}")
    assert await store.insert(connection, rows, arrivals, note_rollups=True) == store.Stored(len(rows), [])
    assert await tables(connection) == copied


@pytest.mark.parametrize(
    "last", [row(3), row(5, raw=99), row(9, unit="\0"), row(9, quality=None)], ids=["same", "other", "nul", "null"]
)
async def test_where_one_row_cannot_be_copied_none_is_and_insert_decides(connection, last):
    await store.insert(connection, [row(3), row(5)], note_rollups=False)
    await connection.commit()
    before = await tables(connection)
    rows = [row(7), row(8), last]
    assert not await store.copy_new(connection, rows, note_rollups=True)
    assert await tables(connection) == before


async def test_rows_are_copied_into_a_compressed_day_and_a_duplicate_there_is_left_to_insert(connection):
    if await detect_level(connection) is not Level.COMMUNITY:
        pytest.skip("only the community edition compresses")
    of_before = [row(second - 2 * 86_400) for second in range(200)]
    assert await store.copy_new(connection, of_before, note_rollups=False)
    await connection.execute("SELECT compress_chunk(chunk) FROM show_chunks('sensor.data') AS chunk")
    await connection.commit()
    late = [row(0.5 - 2 * 86_400), row(7 - 2 * 86_400, "TEST_B")]
    assert await store.copy_new(connection, late, note_rollups=False)
    await connection.commit()
    for twice in (row(5 - 2 * 86_400), late[0]):  # compressed, and beside it
        rows = [row(1.5 - 2 * 86_400), twice]
        assert not await store.copy_new(connection, rows, note_rollups=False)
        assert await store.insert(connection, rows, [arrival(one) for one in rows], note_rollups=False) == store.Stored(
            1, []
        )
        await connection.rollback()
    cursor = await connection.execute("SELECT count(*), count(DISTINCT (esp_id, time)) FROM sensor.data")
    assert await cursor.fetchone() == (202, 202)


async def test_rows_of_many_days_are_copied_each_into_its_partition(connection):
    rows = [row(-day * 86_400, esp_id) for day in range(7) for esp_id in ("TEST_A", "TEST_B", "TEST_C")]
    assert await store.copy_new(connection, rows, note_rollups=False)
    cursor = await connection.execute("SELECT count(DISTINCT tableoid), count(*) FROM sensor.data")
    assert await cursor.fetchone() == (7, 21)


async def test_a_reading_twice_in_one_batch_is_left_to_insert(connection):
    rows = [row(1), row(1)]
    arrivals = [arrival(one) for one in rows]
    assert not await store.copy_new(connection, rows, note_rollups=False)
    assert await store.insert(connection, rows, arrivals, note_rollups=False) == store.Stored(1, [])
