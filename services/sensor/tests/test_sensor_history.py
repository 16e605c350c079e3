"""Requests about stored readings, on a real database."""

from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta

import psycopg
import pytest
from kaiser_common.contract.schemas.api.sensors import SensorConfig
from kaiser_common.runtime.partitions import make_day_partitions
from kaiser_sensor.domain.completeness import day_span, expected_readings, share
from kaiser_sensor.domain.rollups import HOUR, MINUTE, RollupProgress, Span
from kaiser_sensor.domain.rows import COLUMNS, Row
from kaiser_sensor.store import charts
from kaiser_sensor.store import configs as config_store
from kaiser_sensor.store import readings as store
from kaiser_sensor.store import rollups as rollup_store

DAY = date(2026, 1, 31)
START, END = day_span(DAY)
READINGS_A_SENSOR = 500


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (END + timedelta(days=3), 2880),
        (START + timedelta(hours=1), 120),
        (START, 0),
        (START - timedelta(days=1), 0),
    ],
)
def test_a_day_expects_one_reading_an_interval_up_to_now(now, expected):
    assert expected_readings(DAY, timedelta(seconds=30), now) == expected


def test_the_share_is_at_most_one_and_unknown_when_nothing_was_expected():
    assert (share(1440, 2880), share(3000, 2880), share(0, 2880), share(0, 0)) == (0.5, 1.0, 0.0, None)


def row(at: datetime, esp_id: str, gpio: int) -> Row:
    return (at, esp_id, gpio, "ds18b20", None, None, 21.5, "°C", "good", "device", "TEST", "device", "")


@pytest.fixture
async def connection(storage):
    async with await psycopg.AsyncConnection.connect(storage, prepare_threshold=None) as connection:
        await make_day_partitions(connection, "sensor.data", START)
        yield connection
        await connection.rollback()


async def test_completeness_counts_the_day_of_configured_sensors_only(connection):
    for gpio, active in ((4, True), (5, True), (6, False)):
        config = SensorConfig(esp_id="TEST_1", gpio=gpio, sensor_type="ds18b20", interval_s=60, active=active)
        await config_store.put(connection, config)
    inside = [row(START + timedelta(minutes=minute), "TEST_1", 4) for minute in range(720)]
    outside = [row(START - timedelta(seconds=1), "TEST_1", 4), row(END, "TEST_1", 4), row(START, "TEST_1", 7)]
    await store_all(connection, [*inside, *outside])
    assert await store.received(connection, "TEST_1", START, END) == [
        (4, "ds18b20", "", 60, 720),
        (5, "ds18b20", "", 60, 0),
    ]


async def store_all(connection, rows: list[Row]) -> None:
    for start in range(0, len(rows), 200):
        await store.insert(connection, rows[start : start + 200], note_rollups=False)


class Explaining:
    """A connection that explains what it is asked instead of doing it."""

    def __init__(self, connection):
        self._connection = connection
        self._explained = None

    @asynccontextmanager
    async def cursor(self, **_):
        yield self

    async def execute(self, query, parameters):
        text = query.decode() if isinstance(query, bytes) else query
        self._explained = await self._connection.execute(f"EXPLAIN (FORMAT JSON) {text}", parameters)
        return self._explained

    async def fetchall(self):
        return await self._explained.fetchall()


def scanned_whole(plan) -> set[str]:
    """The tables that a plan reads from end to end."""
    found = {plan["Relation Name"]} if plan["Node Type"] == "Seq Scan" else set()
    return found.union(*(scanned_whole(part) for part in plan.get("Plans", [])))


_FILL = f"""
INSERT INTO sensor.data ({", ".join(COLUMNS)})
SELECT %s + make_interval(mins => minute), 'TEST_' || device, 4, 'ds18b20', NULL, NULL, 21.5, '°C', 'good', 'device',
       'TEST', 'device', ''
FROM generate_series(0, 39) AS device, generate_series(0, %s - 1) AS minute
"""


@pytest.fixture
async def filled(connection):
    """Forty sensors with 500 readings each, which the database makes: sent in rows, they cost ten times as much."""
    await connection.execute(_FILL, (START, READINGS_A_SENSOR))
    await connection.execute("ANALYZE sensor.data")
    return connection


@pytest.mark.parametrize("sensor_type", ["ds18b20", None])
async def test_one_sensors_day_is_read_by_index(filled, sensor_type):
    def asked(connection):
        return store.readings(
            connection,
            "TEST_7",
            gpio=4,
            sensor_type=sensor_type,
            address=None,
            from_at=START,
            to_at=END,
            after=None,
            limit=1000,
        )

    assert len(await asked(filled)) == READINGS_A_SENSOR
    [(plans,)] = await asked(Explaining(filled))
    assert scanned_whole(plans[0]["Plan"]) == set()


@pytest.mark.parametrize("waiting", [[], [Span(START + timedelta(hours=2), START + timedelta(hours=3))]])
@pytest.mark.parametrize("rollup", [None, MINUTE, HOUR])
async def test_one_sensors_chart_is_read_by_index(filled, rollup, waiting):
    if rollup is not None and await rollup_store.kept_by_service(filled):
        await rollup_store.note(filled, MINUTE, [Span(START, END)])
        for one in (MINUTE, HOUR):
            await rollup_store.refresh(filled, one, END + timedelta(hours=1), START)
        await filled.execute(f"ANALYZE {rollup.table}")

    def asked(connection):
        return charts.buckets(
            connection,
            ("TEST_7", 4, "ds18b20", None),
            START,
            END,
            3600,
            rollup,
            rollup and RollupProgress(END, waiting),
        )

    assert [bucket[1] for bucket in await asked(filled)] == [60] * 8 + [20] + [0] * 15
    [(plans,)] = await asked(Explaining(filled))
    assert scanned_whole(plans[0]["Plan"]) == set()
