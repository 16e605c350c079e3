"""The rounds of upkeep as the service makes them: partitions, rollups, the daily check and its metrics."""

from datetime import datetime, timedelta

import pytest
from kaiser_common.contract.schemas.api.sensors import SensorConfig
from kaiser_sensor.domain.rollups import floor
from kaiser_sensor.jobs.upkeep import Upkeep
from kaiser_sensor.settings import SensorSettings
from kaiser_sensor.store import configs as config_store
from kaiser_sensor.store import readings as store
from kaiser_sensor.store import rollups as rollup_store
from moment import moment
from prometheus_client import REGISTRY
from psycopg_pool import AsyncConnectionPool

NOW = moment()
TODAY = floor(NOW, timedelta(days=1))
YESTERDAY = TODAY - timedelta(days=1)


def row(at: datetime, esp_id: str):
    return (at, esp_id, 4, "ph", None, None, 7.0, "pH", "good", "device", "TEST", "device", "")


@pytest.fixture
async def pool(make_database):
    async with AsyncConnectionPool(make_database(), min_size=1, max_size=2) as pool:
        yield pool


def difference(rollup: str) -> float:
    return REGISTRY.get_sample_value("kaiser_sensor_rollup_difference_readings", {"rollup": rollup})


def sensors(share: str) -> float:
    return REGISTRY.get_sample_value("kaiser_sensor_completeness_sensors", {"share": share})


async def test_a_rollup_that_differs_shows_and_is_made_anew(pool):
    upkeep = Upkeep(pool, SensorSettings(), lambda: NOW)
    await upkeep.begin()
    async with pool.connection() as connection:
        for esp_id, hours in (("TEST_A", 24), ("TEST_B", 12), ("TEST_C", 0)):
            config = SensorConfig(esp_id=esp_id, gpio=4, sensor_type="ph", interval_s=3600)
            await config_store.put(connection, config)
            if hours:
                came = [row(YESTERDAY + timedelta(hours=hour), esp_id) for hour in range(hours)]
                await store.insert(connection, came, note_rollups=True)
    await upkeep.refresh()
    await upkeep.check_days()
    assert (difference("1m"), difference("1h")) == (0, 0)
    assert (sensors("complete"), sensors("partial"), sensors("silent")) == (1, 1, 1)
    async with pool.connection() as connection:
        await connection.execute("DELETE FROM sensor.rollup_1m WHERE esp_id = 'TEST_A'")
        await connection.execute("DELETE FROM sensor.rollup_1h WHERE esp_id = 'TEST_B'")
        await connection.execute("DELETE FROM sensor.day_checks")  # as on the next day
    await upkeep.check_days()
    assert (difference("1m"), difference("1h")) == (24, 12)
    await upkeep.refresh()
    await upkeep.check_days()
    assert (difference("1m"), difference("1h")) == (0, 0)


async def test_who_finds_another_replica_at_it_leaves_it_alone(pool):
    upkeep = Upkeep(pool, SensorSettings(), lambda: NOW)
    await upkeep.begin()
    async with pool.connection() as connection:
        await store.insert(connection, [row(YESTERDAY, "TEST_A")], note_rollups=True)
    async with pool.connection() as other:
        assert await rollup_store.lock(other)
        await upkeep.refresh()
        await upkeep.keep_tables()
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM sensor.rollup_1m")
        assert await cursor.fetchone() == (0,)
    await upkeep.refresh()
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM sensor.rollup_1m")
        assert await cursor.fetchone() == (1,)
