"""Pages of the API: bounded in bytes, with cursors that lead through everything once."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.schemas.api.sensors import ConfigsQuery, LatestQuery, ReadingsQuery, SensorConfig
from kaiser_common.runtime.clock import utc_now
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.settings import CommonSettings
from kaiser_sensor.api.configs import ConfigApi
from kaiser_sensor.api.readings import SensorApi, within
from kaiser_sensor.store import configs as config_store
from kaiser_sensor.store import old_keys
from pydantic import ValidationError

MOST_ON_NATS = 4 * 1024 * 1024
CALLER = Caller(user="ada", role="viewer")
SENSORS = 40_001


@pytest.fixture
async def pool(make_database):
    async with open_pool(CommonSettings(database_url=make_database()), "test") as pool:
        async with pool.connection() as connection:
            await old_keys.drop(connection)  # as the service does at its start
        yield pool


@pytest.fixture
def api(pool):
    return SensorApi(pool, str.lower, None, utc_now)


async def fill_latest(pool, sensors: int) -> None:
    """The fleet as advertised, with texts as long as they may be."""
    async with pool.connection() as connection:
        await connection.execute(
            """
            INSERT INTO sensor.latest (time, esp_id, gpio, sensor_type, address, raw, raw_value, value, unit, quality,
                                       processing_mode, data_source, clock, received_at, device_ts)
            SELECT '2026-01-01', 'ESP_' || lpad((number / 4)::text, 27, '0'), 4, repeat('t', 50),
                   lpad(number::text, 16, '0'), 1.2345678901234567e15, -1.2345678901234567e-5, 1.2345678901234567,
                   repeat('µ', 16), 'excellent', 'library', 'PRODUCTION', 'device', now(), 4102444800000
            FROM generate_series(1, %s) AS number
            """,
            (sensors,),
        )


async def test_the_newest_of_forty_thousand_sensors_come_by_pages_that_nats_carries(pool, api):
    await fill_latest(pool, SENSORS)
    found: list[tuple[str, str]] = []
    cursor = None
    while True:
        page = await api.latest(LatestQuery(cursor=cursor), CALLER)
        assert len(page.model_dump_json().encode()) < MOST_ON_NATS
        found += [(item.esp_id, item.address) for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert (len(found), len(set(found))) == (SENSORS, SENSORS)
    assert found == sorted(found)


async def test_one_probe_is_asked_for_by_its_address(pool, api):
    await fill_latest(pool, 10)
    page = await api.latest(LatestQuery(address=f"{7:016d}"), CALLER)
    assert [item.address for item in page.items] == [f"{7:016d}"]
    assert (page.items[0].device_ts, page.next_cursor) == (4_102_444_800_000, None)


async def test_probes_of_one_time_are_paged_by_address(pool, api):
    async with pool.connection() as connection:
        await connection.execute(
            """
            INSERT INTO sensor.data (time, esp_id, gpio, sensor_type, address, quality, processing_mode,
                                     data_source, clock)
            SELECT now(), 'TEST_A', 4, 'ds18b20', lpad(number::text, 16, '0'), 'good', 'device', 'TEST', 'device'
            FROM generate_series(1, 7) AS number
            """
        )
    found: list[str] = []
    cursor = None
    for _ in range(9):
        page = await api.data(ReadingsQuery(esp_id="TEST_A", limit=2, cursor=cursor), CALLER)
        found += [item.address for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == [f"{number:016d}" for number in range(1, 8)]


async def test_the_last_day_and_what_is_known_are_by_the_clock_that_is_given(pool):
    noon, day = datetime(2026, 2, 3, 12, tzinfo=UTC), 86_400_000
    at = round(noon.timestamp() * 1000)
    async with pool.connection() as connection:
        for table, reported in (("data", at - day), ("data", at - day - 1), ("data", at), ("latest", at - 7)):
            await connection.execute(
                f"INSERT INTO sensor.{table} (time, esp_id, gpio, sensor_type, quality, processing_mode, data_source,"
                " clock) VALUES (to_timestamp(%s / 1000.0), 'TEST_A', 4, 'ph', 'good', 'device', 'TEST', 'device')",
                (reported,),
            )
    api = SensorApi(pool, str.lower, None, lambda: noon)
    assert [one.ts for one in (await api.data(ReadingsQuery(esp_id="TEST_A"), CALLER)).items] == [at - day, at]
    [newest] = (await api.latest(LatestQuery(), CALLER)).items
    assert (newest.ts, newest.state) == (at - 7, "known")


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "WyJhIiwxXQ==", "MTc2NzIyNTYwMC4wIDQgZHMxOGIyMAA=", "WzFlMzAwLDQsImEiLCIiXQ==", "WzllMTcsNCwiYSIsIiJd"],
)
async def test_an_odd_cursor_is_refused_and_asks_the_database_nothing(pool, api, cursor):
    requests = [
        api.data(ReadingsQuery(esp_id="TEST_A", cursor=cursor or "\0"), CALLER),
        api.latest(LatestQuery(cursor=cursor or "\0"), CALLER),
        ConfigApi(pool, None, None).page(ConfigsQuery(cursor=cursor or "\0"), CALLER),  # type: ignore[arg-type]
    ]
    for request in requests:
        with pytest.raises(RpcError) as refused:
            await request
        assert refused.value.problem.status == 422


async def test_configurations_are_paged_by_address(pool):
    async with pool.connection() as connection:
        for address in ("28AA0102030405C1", "", "28AA0102030405C2"):
            config = SensorConfig(esp_id="TEST_A", gpio=4, sensor_type="ds18b20", address=address)
            await config_store.put(connection, config)
    api = ConfigApi(pool, None, None)  # type: ignore[arg-type]
    first = await api.page(ConfigsQuery(limit=2), CALLER)
    rest = await api.page(ConfigsQuery(limit=2, cursor=first.next_cursor), CALLER)
    found = [config.address for config in (*first.items, *rest.items)]
    assert found == ["", "28AA0102030405C1", "28AA0102030405C2"]


@given(st.lists(st.text(max_size=30), max_size=20), st.integers(1, 20_000))
def test_a_page_has_at_least_one_row_and_leaves_none_out(texts, most_bytes):
    rows = [((text,), None, None) for text in texts]
    left, pages = rows, []
    while left:
        page = within(left, most_bytes)
        assert page
        pages += page
        left = left[len(page) :]
    assert pages == rows


@pytest.mark.parametrize(
    "change",
    [
        {"intervall_s": 5},
        {"calibration": {"ofset": 1}},
        {"thresholds": {"warning": 1}},
        {"calibration": {"parameters": {"k" * 65: 1}}},
        {"calibration": {"parameters": {"k": float("inf")}}},
        {"calibration": {"points": [[1, float("nan")], [2, 3]]}},
        {"address": "28FF"},
        {"address": "300"},
    ],
)
def test_a_body_with_an_unknown_or_unbounded_field_is_refused(change):
    with pytest.raises(ValidationError):
        SensorConfig.model_validate({"esp_id": "ESP_1", "gpio": 4, "sensor_type": "ph", **change})


def test_a_stored_configuration_of_a_newer_version_is_read():
    stored = {"esp_id": "ESP_1", "gpio": 4, "sensor_type": "ph", "newer": 1, "calibration": {"offset": 2.0, "newer": 1}}
    assert config_store.read_config(json.loads(json.dumps(stored))).calibration.offset == 2.0
