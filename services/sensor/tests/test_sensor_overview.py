"""The overview of all sensors: a day by the hour from the rollups, newest values and states from one query."""

from datetime import UTC, datetime, timedelta

import pytest
from kaiser_common.bus.rpc import Caller
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.sensors import SensorConfig
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.settings import CommonSettings
from kaiser_sensor.api.overview import OverviewApi, days_of, first_hour
from kaiser_sensor.store import configs as config_store
from kaiser_sensor.store import readings as store

NOW = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
ADA = Caller(user="ada", role="viewer")


def test_the_last_of_the_hours_is_the_running_one():
    assert first_hour(NOW) == datetime(2026, 1, 30, 13, tzinfo=UTC)
    key = ("ESP_A", 4, "ph", "")
    rows = [
        (*key, first_hour(NOW) - HOUR, 1.0, 2.0, 1.5),  # a day and an hour ago: left out
        (*key, first_hour(NOW), 3.0, 4.0, 3.5),
        (*key, datetime(2026, 1, 31, 12, tzinfo=UTC), 5.0, 6.0, 5.55555555),
    ]
    day = days_of(rows, first_hour(NOW))[key]
    assert day.lows == [3.0, *[None] * 22, 5.0]
    assert day.highs == [4.0, *[None] * 22, 6.0]
    assert day.means[-1] == 5.5556


async def test_every_sensor_is_there_with_its_name_state_and_day(make_database):
    now = datetime.now(UTC)
    overview_of = {"TEST_B": round(now.timestamp() * 1000)}.get
    async with open_pool(CommonSettings(database_url=make_database()), "test") as pool:
        async with pool.connection() as connection:
            named = SensorConfig(esp_id="TEST_A", gpio=4, sensor_type="ph", name="Tank 1", interval_s=3600)
            await config_store.put(connection, named)
            for esp_id, value in (("TEST_A", 7.0), ("TEST_A", 9.0), ("TEST_B", 5.0)):
                at = now - timedelta(seconds=value)
                row = (at, esp_id, 4, "ph", None, None, value, "pH", "good", "device", "MOCK", "device", "")
                await store.insert(connection, [row], note_rollups=True)
            await connection.execute(
                "INSERT INTO sensor.rollup_1m (time, esp_id, gpio, sensor_type, address, min, max, avg, last, count)"
                " SELECT date_trunc('minute', now()), 'TEST_A', 4, 'ph', '', 7, 9, 8, 7, 2"
                " WHERE (SELECT relkind FROM pg_class WHERE oid = 'sensor.rollup_1m'::regclass) <> 'v'"
            )
        overview = OverviewApi(pool, overview_of, lambda: now)
        await overview.look()
        found = await overview.overview(Nothing(), ADA)
    first, second = found.items
    assert (found.total, first.name, first.value, first.state) == (2, "Tank 1", 7.0, "known")
    assert (first.lows[-1], first.highs[-1], first.means[-1]) == pytest.approx((7.0, 9.0, 8.0))
    assert (second.name, second.state, second.known_until) == (None, "offline", overview_of("TEST_B"))
