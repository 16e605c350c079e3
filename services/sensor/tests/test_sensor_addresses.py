"""The address in a sensor's identity: two probes on one pin, different values of one time, the move to the new key."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from alembic import command
from kaiser_common.contract.schemas.api.sensors import SensorConfig
from kaiser_common.contract.schemas.sensor import normal_address
from kaiser_common.contract.subjects import sensor_config_key
from kaiser_common.migrate.command import _alembic_config as alembic_config
from kaiser_common.runtime.settings import CommonSettings
from kaiser_sensor.domain.rollups import HOUR, MINUTE, Span, floor
from kaiser_sensor.jobs import upkeep
from kaiser_sensor.settings import SensorSettings
from kaiser_sensor.store import charts, day_checks, old_keys
from kaiser_sensor.store import configs as config_store
from kaiser_sensor.store import readings as store
from kaiser_sensor.store import rollups as rollup_store
from kaiser_sensor.store import silences as stale_store
from kaiser_sensor.store.config_mirror import config_key
from moment import moment

NOW = floor(moment(), timedelta(minutes=1)) - timedelta(hours=1)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
ONE, OTHER = "28AA0102030405C1", "28AA0102030405C2"


def row(at, address="", value=20.0, *, raw=None, quality="good", mode="device"):
    return (at, "TEST_A", 4, "ds18b20", raw, None, value, "°C", quality, mode, "TEST", "device", address)


@pytest.fixture
async def connection(storage):
    """An empty database of the newest version, its old keys dropped as the service does at its start."""
    async with await psycopg.AsyncConnection.connect(storage, autocommit=True, prepare_threshold=None) as connection:
        await connection.execute("SET timezone = 'UTC'")
        for table in ("data", "latest", "configs", "stale", "rollup_pending", "rollup_state", "day_checks"):
            await connection.execute(f"TRUNCATE sensor.{table}")
        await old_keys.drop(connection)
        await upkeep.make_partitions(connection, NOW, SensorSettings())
        yield connection


async def stored(connection, rows, arrivals=None):
    async with connection.transaction():
        return await store.insert(connection, rows, arrivals, note_rollups=False)


async def values(connection, table="data"):
    cursor = await connection.execute(f"SELECT address, value FROM sensor.{table} ORDER BY time, address")
    return await cursor.fetchall()


async def test_two_probes_on_one_pin_in_one_second_are_two_sensors(connection):
    found = await stored(connection, [row(NOW, ONE, 20.25), row(NOW, OTHER, 61.5)])
    assert (found.new, found.different) == (2, [])
    assert await values(connection) == [(ONE, 20.25), (OTHER, 61.5)]
    assert await values(connection, "latest") == [(ONE, 20.25), (OTHER, 61.5)]
    span = (NOW, NOW + SECOND)
    for address, count, mean in ((ONE, 1, 20.25), (OTHER, 1, 61.5), (None, 2, 40.875), ("", 0, None)):
        [bucket] = await charts.buckets(connection, ("TEST_A", 4, "ds18b20", address), *span, 60, None, None)
        assert (bucket[1], bucket[4]) == (count, mean)


@pytest.mark.parametrize(
    ("first", "then", "different"),
    [
        (row(NOW, value=20.0), row(NOW, value=20.0), []),
        (row(NOW, value=20.0), row(NOW, value=21.0), [0]),
        (row(NOW, value=None), row(NOW, value=21.0), [0]),
        (row(NOW, raw=100), row(NOW, raw=101), [0]),
        (row(NOW, raw=100, mode="library", value=7.0), row(NOW, raw=100, mode="library", value=7.5), []),
        (row(NOW, ONE, value=20.0), row(NOW, OTHER, value=21.0), []),
    ],
)
async def test_another_value_of_the_same_time_is_told_and_an_equal_one_is_a_repetition(
    connection, first, then, different
):
    await stored(connection, [first])
    before = await values(connection)
    found = await stored(connection, [then])
    assert found.different == different
    assert found.new + len(found.different) <= 1
    if not found.new:
        assert await values(connection) == before


async def test_each_of_a_batch_is_stored_repeated_or_different(connection):
    """Fifty readings of one time with values of their own: sent = stored + rejected."""
    rows = [row(NOW, value=float(number)) for number in range(50)]
    found = await stored(connection, rows)
    assert (found.new, found.different) == (1, list(range(1, 50)))
    assert await values(connection) == [("", 0.0)]
    assert await values(connection, "latest") == [("", 0.0)]


async def test_a_clock_that_was_ahead_does_not_hide_what_comes_after(connection):
    received = NOW.timestamp()
    ahead = NOW + timedelta(hours=2)
    await stored(connection, [row(ahead, value=12.0)], [(received, None)])
    await stored(connection, [row(NOW + SECOND, value=58.0)], [(received + 1, None)])
    assert await values(connection, "latest") == [("", 58.0)]
    await stored(connection, [row(NOW - DAY, value=1.0)], [(received + 2, None)])
    assert await values(connection, "latest") == [("", 58.0)], "what is late is not the newest"


async def test_silence_counts_from_the_receive_time_and_by_address(connection):
    await config_store.put(connection, SensorConfig(esp_id="TEST_A", gpio=4, sensor_type="ds18b20", interval_s=10))
    received = NOW.timestamp()
    ahead = NOW + timedelta(hours=2)
    await stored(connection, [row(ahead, ONE), row(NOW - DAY, OTHER)], [(received, None), (received + 25, None)])

    async def silent(at):
        rows = [found for found, *_ in await stale_store.silent(connection, at, NOW - DAY, 3, 100)]
        await stale_store.note_told(connection, rows)
        return [found[-1] for found in rows]

    assert await silent(NOW + 30 * SECOND) == []
    assert await silent(NOW + 31 * SECOND) == [ONE]
    assert await silent(NOW + 40 * SECOND) == []
    assert await silent(NOW + 56 * SECOND) == [OTHER]
    await stored(connection, [row(NOW + 60 * SECOND, ONE)], [(received + 60, None)])
    assert await silent(NOW + 91 * SECOND) == [ONE], "also where the clock was put back since"


async def test_a_configuration_of_an_address_counts_for_it_alone(connection):
    common = SensorConfig(esp_id="TEST_A", gpio=4, sensor_type="ds18b20", interval_s=10)
    own = common.model_copy(update={"address": ONE, "interval_s": 3600})
    for config in (common, own, own):
        await config_store.put(connection, config)
    await stored(connection, [row(NOW, ONE), row(NOW, OTHER)])
    rows = await stale_store.silent(connection, NOW + 60 * SECOND, NOW - DAY, 3, 100)
    assert [found[-1] for found, *_ in rows] == [OTHER]
    counts = await store.received(connection, "TEST_A", NOW - SECOND, NOW + SECOND)
    assert [(address, interval_s, count) for _, _, address, interval_s, count in counts] == [
        ("", 10, 2),
        (ONE, 3600, 1),
    ]
    found = await day_checks.check(connection, NOW.date())
    assert (found.sensors, found.silent) == (2, 0)


async def test_values_at_the_end_of_doubles_do_not_stop_the_rollups(connection):
    """±1e200 in one minute, 1.7e308 twice: stored by a version that let them through."""
    if not await rollup_store.kept_by_service(connection):
        pytest.skip("the database makes the rollups")
    at = floor(NOW, timedelta(minutes=1)) - timedelta(minutes=10)
    odd = [row(at + number * SECOND, value=value) for number, value in enumerate((1e200, -1e200, 1.7e308, 1.7e308))]
    await stored(connection, [*odd, row(at + 9 * SECOND, value=20.0), row(at + 9 * SECOND, ONE, value=30.0)])
    await rollup_store.note(connection, MINUTE, [Span(at, at + timedelta(minutes=1))])
    for rollup in (MINUTE, HOUR):
        async with connection.transaction():
            await rollup_store.refresh(connection, rollup, NOW, NOW - 80 * DAY)
    cursor = await connection.execute("SELECT address, count, avg FROM sensor.rollup_1m ORDER BY address")
    assert await cursor.fetchall() == [("", 1, 20.0), (ONE, 1, 30.0)]
    span = (at, at + timedelta(minutes=1))
    buckets = await charts.buckets(connection, ("TEST_A", 4, "ds18b20", ""), *span, 30, None, None)
    assert [(count, mean) for _, count, _, _, mean, _ in buckets] == [(1, 20.0), (0, None)]


def upgrade(url: str, revision: str) -> None:
    settings = CommonSettings(database_url=url)
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS sensor")
    command.upgrade(alembic_config(settings, "sensor", "kaiser_sensor.migrations", None), revision)


OLD_ROW = "(%s, 'TEST_A', 4, 'ds18b20', NULL, NULL, %s, '°C', 'good', 'device', 'TEST', 'device')"


@pytest.fixture(params=["postgresql", "timescaledb-community"])
def previous(request, make_server_database):
    """URI of a database of the version before addresses."""
    yield from make_server_database(request.param)


def test_what_the_version_before_stored_is_kept_and_it_works_on_meanwhile(previous):
    upgrade(previous, "0005")
    now = datetime.now(UTC)  # the migration and the policies go by the server's
    old, recent = now - 40 * DAY, now - timedelta(minutes=5)
    with psycopg.connect(previous, autocommit=True, prepare_threshold=None) as connection:
        continuous = connection.execute("SELECT relkind = 'v' FROM pg_class WHERE oid = 'sensor.rollup_1m'::regclass")
        continuous = continuous.fetchone()[0]
        for at, value in ((old, 1.0), (recent, 2.0)):
            connection.execute(f"INSERT INTO sensor.data VALUES {OLD_ROW}", (at, value))
        connection.execute(f"INSERT INTO sensor.latest VALUES {OLD_ROW}", (recent, 2.0))
        connection.execute("INSERT INTO sensor.stale VALUES ('TEST_A', 4, 'ds18b20', %s)", (recent,))
        connection.execute(
            "INSERT INTO sensor.configs (esp_id, gpio, sensor_type, config) VALUES ('TEST_A', 4, 'ds18b20', %s)",
            ('{"esp_id": "TEST_A", "gpio": 4, "sensor_type": "ds18b20", "of_a_newer_version": 1, "active": true}',),
        )
        if continuous:
            compress = (
                "SELECT compress_chunk(chunk) FROM show_chunks('sensor.data', older_than => INTERVAL '9 days') AS chunk"
            )
            connection.execute(
                "ALTER TABLE sensor.data SET (timescaledb.compress,"
                " timescaledb.compress_segmentby = 'esp_id, gpio, sensor_type', timescaledb.compress_orderby = 'time')"
            )
            assert connection.execute(compress).fetchall()
            for name in ("rollup_1m", "rollup_1h"):
                connection.execute(f"CALL refresh_continuous_aggregate('sensor.{name}', NULL, NULL)")
        else:
            connection.execute(
                "INSERT INTO sensor.rollup_1h VALUES (%s, 'TEST_A', 4, 'ds18b20', 1, 1, 1, 1, 1)",
                (floor(old, timedelta(hours=1)),),
            )
    upgrade(previous, "head")
    upgrade(previous, "head")
    with psycopg.connect(previous, autocommit=True, prepare_threshold=None) as connection:
        kept = connection.execute("SELECT value, address FROM sensor.data ORDER BY time").fetchall()
        assert kept == [(1.0, ""), (2.0, "")]
        rolled_up = connection.execute(
            "SELECT count, address FROM sensor.rollup_1h WHERE time = %s", (floor(old, timedelta(hours=1)),)
        )
        assert rolled_up.fetchall() == [(1, "")]
        # A process of the version before goes on with its own statements.
        old_statement = f"INSERT INTO sensor.data VALUES {OLD_ROW} ON CONFLICT DO NOTHING"
        assert connection.execute(old_statement, (recent, 2.0)).rowcount == 0
        assert connection.execute(old_statement, (recent + SECOND, 3.0)).rowcount == 1
        connection.execute(
            "INSERT INTO sensor.latest (time, esp_id, gpio, sensor_type, value, quality, processing_mode, data_source,"
            " clock) VALUES (%s, 'TEST_A', 4, 'ds18b20', 3, 'good', 'device', 'TEST', 'device')"
            " ON CONFLICT (esp_id, gpio, sensor_type) DO UPDATE SET time = excluded.time, value = excluded.value",
            (recent + SECOND,),
        )


async def test_the_new_version_takes_the_old_keys_away_and_stores_by_address(previous):
    upgrade(previous, "0005")
    recent = datetime.now(UTC) - timedelta(minutes=5)  # the server goes by its own time
    with psycopg.connect(previous, autocommit=True, prepare_threshold=None) as connection:
        for table in ("data", "latest"):
            connection.execute(f"INSERT INTO sensor.{table} VALUES {OLD_ROW}", (recent, 2.0))
    upgrade(previous, "head")
    async with await psycopg.AsyncConnection.connect(previous, autocommit=True, prepare_threshold=None) as connection:
        assert "data" in await old_keys.drop(connection)
        assert await old_keys.drop(connection) == []
        again = [row(recent, "", 2.0), row(recent, ONE, 2.0), row(recent, OTHER, 3.0)]
        found = await stored(connection, again)
        assert (found.new, found.different) == (2, [])
        assert await store.drop_replaced(connection) == 1, "the newest of before there were addresses"
        assert await values(connection, "latest") == [(ONE, 2.0), (OTHER, 3.0)]
        assert await config_store.every(connection) == []


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("", ""),
        ("28ff641e8d3c0c79", "28FF641E8D3C0C79"),
        ("28FF641E8D3C0C79", "28FF641E8D3C0C79"),
        ("0x44", "68"),
        ("68", "68"),
        ("0X7f", "127"),
        ("128", None),
        ("-1", None),
        ("28FF641E8D3C0C7", None),
        ("28FF641E8D3C0C7G", None),
        ("٣", None),
        ("a.b", None),
    ],
)
def test_an_address_has_one_form(written, normal):
    assert normal_address(written) == normal


@pytest.mark.parametrize(
    "key", [("ESP_1", 4, "ds18b20", ""), ("ESP_1", 4, "ds18b20", ONE), ("ESP_1", 21, "sht31_temp", "68")]
)
def test_a_key_of_the_bucket_names_the_sensor(key):
    assert config_key(sensor_config_key(*key)) == key


def test_the_key_of_a_sensor_without_an_address_is_that_of_older_versions():
    assert sensor_config_key("ESP_1", 4, "ph") == "ESP_1.4.ph"
