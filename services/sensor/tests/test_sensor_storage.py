"""Stored readings and their rollups, on every level of the database."""

from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest
from kaiser_common.contract.schemas.api.sensors import SensorConfig
from kaiser_common.runtime.database import Level, detect_level
from kaiser_common.runtime.partitions import drop_days_before
from kaiser_sensor.domain.rollups import HOUR, MINUTE, Span, answers, floor, widened
from kaiser_sensor.jobs import upkeep
from kaiser_sensor.settings import SensorSettings
from kaiser_sensor.store import charts, day_checks, old_keys, policies
from kaiser_sensor.store import configs as config_store
from kaiser_sensor.store import readings as store
from kaiser_sensor.store import rollups as rollup_store
from kaiser_sensor.store import silences as stale_store
from moment import moment

NOW = moment().replace(microsecond=0)
SETTINGS = SensorSettings()
DAY = timedelta(days=1)
KEY = ("TEST_A", 4, "ph", None)


def row(at, esp_id="TEST_A", value=7.0, gpio=4, quality="good", unit="pH"):
    return (at, esp_id, gpio, "ph", None, None, value, unit, quality, "device", "TEST", "device", "")


@pytest.fixture
async def connection(storage):
    """An empty database with the tables' partitions of now; what a test stores is gone after it."""
    async with await psycopg.AsyncConnection.connect(storage, autocommit=True, prepare_threshold=None) as connection:
        await connection.execute("SET timezone = 'UTC'")
        for table in ("data", "latest", "configs", "rollup_pending", "rollup_state", "day_checks", "stale"):
            await connection.execute(f"TRUNCATE sensor.{table}")
        for table in await materialized(connection):
            await connection.execute(f"TRUNCATE {table}")
        await old_keys.drop(connection)
        await upkeep.make_partitions(connection, NOW, SETTINGS)
        async with connection.transaction():
            await policies.apply(connection, SETTINGS)
        yield connection


async def materialized(connection, name="rollup_1%"):
    """The relations that hold the rollups: tables, or continuous aggregates behind views."""
    cursor = await connection.execute(
        "SELECT format('sensor.%%I', relname) FROM pg_class WHERE relnamespace = 'sensor'::regnamespace"
        " AND (relname LIKE %s AND relkind = 'v' AND relname <> ALL (ARRAY['rollup_1m', 'rollup_1h'])"
        "      OR relname LIKE %s AND relkind IN ('r', 'p') AND relname IN ('rollup_1m', 'rollup_1h')) ORDER BY 1",
        (name, name),
    )
    return [row[0] for row in await cursor.fetchall()]


async def insert(connection, rows, arrivals=None):
    return (await stored(connection, rows, arrivals)).new


async def stored(connection, rows, arrivals=None):
    note_rollups = await rollup_store.kept_by_service(connection)
    async with connection.transaction():
        return await store.insert(connection, rows, arrivals, note_rollups=note_rollups)


async def latest(connection, esp_id=None):
    return [row for row, _, _ in await store.latest(connection, esp_id)]


async def refresh(connection, now=NOW, from_at=None):
    """Refresh as the service does every minute, or the database by its policies."""
    if await rollup_store.kept_by_service(connection):
        for rollup in (MINUTE, HOUR):
            more = True
            while more:
                async with connection.transaction():
                    more = await rollup_store.refresh(connection, rollup, now, now - 89 * DAY)
        return
    for rollup in (MINUTE, HOUR):  # the window of the policy
        window = (now - 8 * DAY if from_at is None else from_at, now - rollup.width)
        await connection.execute(f"CALL refresh_continuous_aggregate('{rollup.table}_by_address', %s, %s)", window)


async def chart(connection, bucket_s, from_at, to_at, *, rolled_up=True, key=KEY, oldest=NOW - 89 * DAY):
    rollup = answers(bucket_s) if rolled_up else None
    progress = None
    if rollup is not None and await rollup_store.kept_by_service(connection):
        asked = widened(Span(from_at, to_at), timedelta(seconds=bucket_s))
        progress = await rollup_store.progress(connection, rollup, key[0], asked, oldest)
    return await charts.buckets(connection, key, from_at, to_at, bucket_s, rollup, progress)


def approximately(buckets):
    return [(start, count, least, most, pytest.approx(mean), last) for start, count, least, most, mean, last in buckets]


async def test_a_reading_is_stored_once_however_often_it_comes(connection):
    rows = [row(NOW), row(NOW - DAY), row(NOW), row(NOW, "TEST_B")]
    assert await insert(connection, rows) == 3
    assert await insert(connection, rows) == 0
    assert [(one[1], one[0]) for one in await latest(connection)] == [("TEST_A", NOW), ("TEST_B", NOW)]


async def test_the_latest_reading_is_the_newest_not_the_last_that_came(connection):
    await insert(connection, [row(NOW, value=1.0)])
    await insert(connection, [row(NOW - timedelta(hours=1), value=2.0)])
    assert [one[6] for one in await latest(connection, "TEST_A")] == [1.0]


@pytest.mark.parametrize("unit", ["°C", 'in"ches', "back\\slash", "{}", "a,b", "NULL", "", " ", None, "µ\t\n"])
async def test_any_text_is_stored_as_it_is(connection, unit):
    rows = [row(NOW, unit=unit), row(NOW, "TEST_B", unit="plain")]
    await insert(connection, rows)
    assert await latest(connection) == rows


@pytest.mark.parametrize("bad", [row(NOW, "TEST_\0"), row(NOW, gpio=40_000), row(NOW, value=10**400)])
async def test_a_row_that_cannot_be_stored_is_an_error_of_its_data(connection, bad):
    with pytest.raises((psycopg.DataError, psycopg.IntegrityError)):
        await insert(connection, [row(NOW), bad])
    assert await latest(connection) == []


async def test_a_late_reading_lies_in_its_own_day(connection, level):
    await insert(connection, [row(NOW - 7 * DAY)])
    cursor = await connection.execute("SELECT tableoid::regclass::text FROM sensor.data")
    [(table,)] = await cursor.fetchall()
    if level == "postgresql":
        assert table == f"sensor.data_{NOW - 7 * DAY:%Y%m%d}"
    else:
        assert "chunk" in table


def of_three_days():
    """Readings every 7 min and 13 s of two sensors, some of them bad, some without a value."""
    rows = []
    for number in range(600):
        at = NOW - timedelta(seconds=433 * number)
        quality = "bad" if number % 11 == 3 else "good"
        rows.append(row(at, value=None if number % 17 == 5 else float(number), quality=quality))
        rows.append(row(at, "TEST_B", value=-1.0))
    return rows


@pytest.mark.parametrize("bucket_s", [60, 300, 900, 3600, 6 * 3600, 86_400])
async def test_a_rollups_buckets_are_those_of_the_readings(connection, bucket_s):
    rows = of_three_days()
    for start in range(0, len(rows), 100):
        await insert(connection, rows[start : start + 100])
    span = (NOW - timedelta(hours=70, minutes=7), NOW + timedelta(hours=1))
    expected = approximately(await chart(connection, bucket_s, *span, rolled_up=False))
    assert await chart(connection, bucket_s, *span) == expected, "before the first refresh"
    await refresh(connection)
    assert await chart(connection, bucket_s, *span) == expected
    await insert(connection, [row(NOW - timedelta(hours=1), value=1000.0), row(NOW + timedelta(seconds=1), value=3.0)])
    fresh = approximately(await chart(connection, bucket_s, *span, rolled_up=False))
    if await rollup_store.kept_by_service(connection):
        assert await chart(connection, bucket_s, *span) == fresh, "what came late is there before it is rolled up"
    await refresh(connection, NOW + timedelta(minutes=1))
    assert await chart(connection, bucket_s, *span) == fresh, "after a late and a new one"


async def rolled_up(connection, rollup, at):
    cursor = await connection.execute(
        f"SELECT count, min, max, avg, last FROM {rollup.table} WHERE esp_id = 'TEST_A' AND time = %s",
        (floor(at, rollup.width),),
    )
    return await cursor.fetchall()


async def test_a_reading_that_comes_days_late_is_in_both_rollups_after_the_next_refresh(connection):
    late_at = floor(NOW - 6 * DAY, timedelta(hours=1)) + timedelta(minutes=30)
    first = [row(late_at, value=1.0), row(late_at, "TEST_B"), row(NOW - timedelta(minutes=5))]
    await insert(connection, first)
    await refresh(connection)
    assert await rolled_up(connection, MINUTE, late_at) == [(1, 1.0, 1.0, 1.0, 1.0)]
    # A backlog of more minutes than a batch refreshes for all devices.
    backlog = [row(late_at + timedelta(minutes=minute, seconds=10), value=3.0) for minute in range(10)]
    await insert(connection, backlog)
    await refresh(connection, NOW + timedelta(minutes=1))
    assert await rolled_up(connection, MINUTE, late_at) == [(2, 1.0, 3.0, 2.0, 3.0)]
    [(count, least, most, mean, last)] = await rolled_up(connection, HOUR, late_at)
    assert (count, least, most, round(mean, 6), last) == (11, 1.0, 3.0, round(31 / 11, 6), 3.0)


async def test_a_straggler_of_before_the_retention_does_not_take_the_late_ones_with_it(connection):
    if not await rollup_store.kept_by_service(connection):
        pytest.skip("the database refreshes the window of its policy")
    late_at = NOW - 3 * DAY
    minutes = [late_at + timedelta(minutes=minute) for minute in range(10)]
    await insert(connection, [row(NOW - 200 * DAY), *(row(at, value=4.0) for at in minutes)])
    await refresh(connection)
    buckets = await chart(connection, 3600, late_at - timedelta(hours=1), late_at + timedelta(hours=1))
    assert sum(bucket[1] for bucket in buckets) == 10
    cursor = await connection.execute("SELECT sum(count) FROM sensor.rollup_1m WHERE esp_id = 'TEST_A'")
    assert await cursor.fetchone() == (10,)


async def test_rollups_outlive_the_readings(connection):
    at = NOW - 12 * DAY
    await insert(connection, [row(at, value=5.0), row(NOW, value=6.0)])
    await refresh(connection, from_at=at - DAY)
    await drop_days_before(connection, "sensor.data", floor(NOW, DAY) - 10 * DAY)
    await refresh(connection, NOW + timedelta(minutes=1))
    buckets = await chart(connection, 86_400, at, NOW)
    assert [(count, last) for _, count, _, _, _, last in buckets] == [(1, 5.0), *[(0, None)] * 11, (1, 6.0)]
    assert await chart(connection, 86_400, at, NOW, rolled_up=False) != buckets


async def test_a_rollup_of_dropped_readings_is_not_made_anew_of_one_straggler(connection):
    if not await rollup_store.kept_by_service(connection):
        pytest.skip("a refresh policy's window ends long before the readings are dropped")
    at = NOW - 3 * DAY
    await insert(connection, [row(at, value=5.0), row(at + timedelta(seconds=1), value=7.0)])
    await refresh(connection)
    await drop_days_before(connection, "sensor.data", floor(NOW, DAY))
    await insert(connection, [row(at + timedelta(seconds=2), value=9.0)])
    [before] = await chart(connection, 60, at, at + timedelta(seconds=1), oldest=NOW - DAY)
    assert before[1] == 2, "a chart does not show the straggler alone either"
    async with connection.transaction():
        await rollup_store.refresh(connection, MINUTE, NOW, NOW - DAY)
    assert [found[0] for found in await rolled_up(connection, MINUTE, at)] == [2]
    cursor = await connection.execute("SELECT count(*) FROM sensor.rollup_pending WHERE rollup = '1m'")
    assert await cursor.fetchone() == (0,)


async def test_a_day_whose_rollups_differ_is_found_and_made_anew(connection):
    yesterday = floor(NOW, DAY) - DAY
    await insert(connection, [row(yesterday + timedelta(hours=hour), value=1.0) for hour in range(24)])
    await refresh(connection)
    assert await day_checks.due(connection, NOW.date(), 7) == [(NOW - 8 * DAY).date(), yesterday.date()]
    found = await day_checks.check(connection, yesterday.date())
    assert (found.raw, found.minutes, found.hours) == (24, 24, 24)
    await day_checks.keep(connection, found, NOW)
    assert await day_checks.due(connection, NOW.date(), 7) == [(NOW - 8 * DAY).date()]
    if not await rollup_store.kept_by_service(connection):
        return
    await connection.execute("DELETE FROM sensor.rollup_1m WHERE time = %s", (yesterday + timedelta(hours=3),))
    found = await day_checks.check(connection, yesterday.date())
    assert (found.raw, found.minutes, found.hours) == (24, 23, 24)
    await day_checks.keep(connection, found, NOW)
    assert yesterday.date() in await day_checks.due(connection, NOW.date(), 7)
    await rollup_store.note(connection, MINUTE, [Span(yesterday, yesterday + DAY)])
    await refresh(connection)
    found = await day_checks.check(connection, yesterday.date())
    assert (found.raw, found.minutes, found.hours) == (24, 24, 24)


async def test_a_day_check_counts_complete_and_silent_sensors(connection):
    yesterday = floor(NOW, DAY) - DAY
    for esp_id, active in (("TEST_A", True), ("TEST_B", True), ("TEST_C", True), ("TEST_D", False)):
        config = SensorConfig(esp_id=esp_id, gpio=4, sensor_type="ph", interval_s=3600, active=active)
        await config_store.put(connection, config)
    await insert(connection, [row(yesterday + timedelta(hours=hour)) for hour in range(24)])
    await insert(connection, [row(yesterday + timedelta(hours=hour), "TEST_B") for hour in range(12)])
    found = await day_checks.check(connection, yesterday.date())
    assert (found.sensors, found.complete, found.silent) == (3, 1, 1)


async def test_a_silent_sensor_is_told_once_a_silence(connection):
    for esp_id, interval_s in (("TEST_A", 30), ("TEST_B", 600), ("TEST_C", 30)):
        await config_store.put(connection, SensorConfig(esp_id=esp_id, gpio=4, sensor_type="ph", interval_s=interval_s))
    long_ago = NOW - DAY

    async def silent(now, listening_since=long_ago):
        rows = [found for found, *_ in await stale_store.silent(connection, now, listening_since, 3, 100)]
        await stale_store.note_told(connection, rows)
        return [found[1] for found in rows]

    await insert(connection, [row(NOW), row(NOW, "TEST_B")])  # TEST_C never sent, so nothing of it is stale
    assert await silent(NOW + timedelta(seconds=90)) == []
    assert await silent(NOW + timedelta(seconds=91), NOW + timedelta(seconds=60)) == [], "Kaiser was away"
    assert await silent(NOW + timedelta(seconds=91)) == ["TEST_A"]
    assert await silent(NOW + timedelta(seconds=99)) == []
    await insert(connection, [row(NOW + timedelta(seconds=100))])
    assert await silent(NOW + timedelta(seconds=150)) == []
    assert await silent(NOW + timedelta(seconds=191)) == ["TEST_A"]


async def test_policies_follow_the_settings(connection):
    if await detect_level(connection) is not Level.COMMUNITY:
        assert await policies.apply(connection, SETTINGS) == []
        return

    async def jobs():
        cursor = await connection.execute(
            "SELECT proc_name, config ->> 'compress_after', config ->> 'drop_after', config ->> 'start_offset'"
            " FROM timescaledb_information.jobs WHERE proc_name LIKE 'policy\\_%' AND job_id >= 1000"
        )
        return sorted(tuple(part for part in job if part) for job in await cursor.fetchall())

    expected = [
        ("policy_compression", "7 days"),
        ("policy_refresh_continuous_aggregate", "8 days"),
        ("policy_refresh_continuous_aggregate", "8 days"),
        ("policy_retention", "730 days"),
        ("policy_retention", "730 days"),
        ("policy_retention", "90 days"),
    ]
    assert await jobs() == expected
    assert await policies.apply(connection, SETTINGS) == []
    async with connection.transaction():
        changed = await policies.apply(connection, SensorSettings(sensor_retention_days=30))
    assert changed == ["retain sensor.data"]
    assert ("policy_retention", "30 days") in await jobs()


async def test_a_late_reading_goes_into_a_compressed_day(connection):
    if await detect_level(connection) is not Level.COMMUNITY:
        pytest.skip("only the community edition compresses")
    await insert(connection, [row(NOW - 2 * DAY + timedelta(seconds=second)) for second in range(200)])
    await connection.execute("SELECT compress_chunk(chunk) FROM show_chunks('sensor.data') AS chunk")
    assert await insert(connection, [row(NOW - 2 * DAY + timedelta(seconds=5)), row(NOW - 2 * DAY, "TEST_B")]) == 1
    cursor = await connection.execute("SELECT count(*) FROM sensor.data")
    assert await cursor.fetchone() == (201,)


async def test_what_is_older_than_its_retention_is_dropped(connection):
    short = SensorSettings(sensor_retention_days=9, sensor_rollup_retention_days=40)
    ages = (1, 20, 100)
    for age in ages:
        await insert(connection, [row(NOW - age * DAY)])
        await refresh(connection, from_at=NOW - 120 * DAY)
    await upkeep.drop_old(connection, NOW, short)
    cursor = await connection.execute("SELECT time FROM sensor.data")
    assert await cursor.fetchall() == [(NOW - DAY,)]
    if await rollup_store.kept_by_service(connection):  # of continuous aggregates a policy does
        for rollup in (MINUTE, HOUR):
            kept = [await rolled_up(connection, rollup, NOW - age * DAY) for age in ages]
            assert [len(found) for found in kept] == [1, 1, 0], rollup.name


async def test_readings_of_before_there_were_rollups_are_rolled_up_in_portions(connection):
    if not await rollup_store.kept_by_service(connection):
        pytest.skip("the migration refreshes continuous aggregates")
    rows = [row(NOW - timedelta(hours=hour)) for hour in range(100)]
    async with connection.transaction():
        await store.insert(connection, rows, note_rollups=False)
    await rollup_store.note(connection, MINUTE, [Span(NOW - 5 * DAY, NOW)])
    async with connection.transaction():
        assert await rollup_store.refresh(connection, MINUTE, NOW, NOW - 80 * DAY), "more is left"
    assert await rollup_store.complete_to(connection, MINUTE) < NOW - 4 * DAY
    await refresh(connection)
    cursor = await connection.execute("SELECT sum(count)::int FROM sensor.rollup_1h")
    assert await cursor.fetchone() == (99,), "the running hour is not over"


async def test_only_one_replica_does_the_upkeep(connection, storage, level):
    if level == "timescaledb-community":
        pytest.skip("this server has one connection")
    async with connection.transaction():
        assert await rollup_store.lock(connection)
        async with await psycopg.AsyncConnection.connect(storage) as other:
            assert not await rollup_store.lock(other)
    async with await psycopg.AsyncConnection.connect(storage) as other:
        assert await rollup_store.lock(other)


def test_the_clock_of_these_tests_is_utc():
    assert NOW.tzinfo in (UTC, ZoneInfo("UTC"))
