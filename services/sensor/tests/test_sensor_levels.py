"""The tables when the level of their server changes."""

from datetime import datetime, timedelta

import psycopg
import pytest
from kaiser_common.migrate import command as migrate
from kaiser_common.migrate.command import migrate_database
from kaiser_common.runtime.database import Level, detect_level
from kaiser_common.runtime.settings import CommonSettings
from kaiser_sensor.domain.rollups import HOUR, MINUTE, RollupProgress, answers
from kaiser_sensor.jobs import upkeep
from kaiser_sensor.settings import SensorSettings
from kaiser_sensor.store import charts, policies
from kaiser_sensor.store import readings as store
from kaiser_sensor.store import rollups as rollup_store
from moment import moment

NOW = moment().replace(microsecond=0)
SETTINGS = SensorSettings()


def row(at: datetime):
    return (at, "TEST_A", 4, "ph", None, None, 7.0, "pH", "good", "device", "TEST", "device", "")


async def relation_kind(connection, name: str) -> str:
    cursor = await connection.execute("SELECT relkind FROM pg_class WHERE oid = %s::regclass", (f"sensor.{name}",))
    return (await cursor.fetchone())[0]


async def refresh(connection) -> None:
    for rollup in (MINUTE, HOUR):
        async with connection.transaction():
            await rollup_store.refresh(connection, rollup, NOW, NOW - timedelta(days=80))


async def test_tables_made_without_timescaledb_work_on_once_it_is_there(apache_server, new_database, monkeypatch):
    """Somebody installs TimescaleDB later: what is partitioned stays so, and everything goes on."""
    with new_database(apache_server) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP EXTENSION IF EXISTS timescaledb")
        monkeypatch.setattr(migrate, "_create_timescaledb", lambda connection: None)  # as on a server that has none
        migrate_database(CommonSettings(database_url=url))
        monkeypatch.undo()
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            assert await detect_level(connection) is Level.PLAIN
            await upkeep.make_partitions(connection, NOW, SETTINGS)
            await store.insert(connection, [row(NOW - timedelta(hours=3))], note_rollups=True)
        migrate_database(CommonSettings(database_url=url))
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            assert await detect_level(connection) is Level.APACHE
            assert await relation_kind(connection, "data") == "p"
            await upkeep.make_partitions(connection, NOW + timedelta(days=4), SETTINGS)
            assert await policies.apply(connection, SETTINGS) == []
            await store.insert(connection, [row(NOW - timedelta(hours=2))], note_rollups=True)
            await refresh(connection)
            progress = RollupProgress(await rollup_store.complete_to(connection, HOUR))
            buckets = await charts.buckets(
                connection, ("TEST_A", 4, "ph", None), NOW - timedelta(hours=4), NOW, 3600, answers(3600), progress
            )
            assert sum(bucket[1] for bucket in buckets) == 2
            await upkeep.drop_old(connection, NOW + timedelta(days=200), SETTINGS)
            cursor = await connection.execute("SELECT count(*) FROM sensor.data")
            assert await cursor.fetchone() == (0,)


@pytest.mark.parametrize("level", ["timescaledb-community"], indirect=True, scope="module")
async def test_tables_of_the_apache_edition_gain_policies_with_the_licence(storage):
    """The community licence comes later: compression and retention by policy, the rollup tables stay the service's."""
    async with await psycopg.AsyncConnection.connect(storage, autocommit=True, prepare_threshold=None) as connection:
        for name in ("rollup_1h", "rollup_1m"):
            await connection.execute(f"DROP VIEW sensor.{name}")
            await connection.execute(f"DROP MATERIALIZED VIEW sensor.{name}_by_address")
        for name in ("rollup_1m", "rollup_1h"):
            await connection.execute(
                f"CREATE TABLE sensor.{name} (time timestamptz, esp_id text, gpio smallint, sensor_type text,"
                " address text, min float8, max float8, avg float8, last float8, count bigint,"
                " PRIMARY KEY (esp_id, gpio, sensor_type, address, time))"
            )
            await connection.execute(f"SELECT create_hypertable('sensor.{name}', by_range('time', INTERVAL '7 days'))")
        async with connection.transaction():
            assert await policies.apply(connection, SETTINGS) == ["compress data", "retain sensor.data"]
        await store.insert(connection, [row(NOW - timedelta(hours=3))], note_rollups=True)
        await refresh(connection)
        cursor = await connection.execute("SELECT count FROM sensor.rollup_1h")
        assert await cursor.fetchall() == [(1,)]
        await upkeep.drop_old(connection, NOW, SETTINGS)
