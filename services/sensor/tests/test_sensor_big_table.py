"""Questions to a big table: read by index whatever its size; how fast, where KAISER_TEST_ROWS says how big.

The named benchmark is KAISER_TEST_ROWS=10000000 on a machine of one's own: 10,000 sensors, a week of readings.
"""

import asyncio
import os
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from kaiser_sensor.domain.rollups import HOUR, MINUTE, RollupProgress, Span, answers, floor
from kaiser_sensor.jobs import upkeep
from kaiser_sensor.settings import SensorSettings
from kaiser_sensor.store import charts
from kaiser_sensor.store import readings as store
from kaiser_sensor.store import rollups as rollup_store

ASKED = os.environ.get("KAISER_TEST_ROWS")
ROWS = int(ASKED or 50_000)
SENSORS = min(10_000, ROWS // 50)
NOW = datetime(2026, 6, 17, 13, 20, tzinfo=UTC)
"""Fixed: which partitions a day touches, and so the plan, depends on the hour."""
WEEK, DAY = timedelta(days=7), timedelta(days=1)
P95_MS = 50.0


@pytest.fixture(scope="module")
def filled(make_database) -> str:
    """URI of a database with ROWS readings of SENSORS sensors over a week, rolled up."""
    url = make_database()
    asyncio.run(fill(url))
    return url


async def fill(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("SET statement_timeout = 0")
        await upkeep.make_partitions(connection, NOW, SensorSettings())
        await connection.execute(
            """
            INSERT INTO sensor.data
            SELECT %(now)s - reading * make_interval(secs => %(step_s)s), 'TEST_' || sensor / 4, sensor %% 4, 'ph',
                   2048, NULL, 7 + reading %% 3, 'pH', 'good', 'library', 'TEST', 'device', ''
            FROM generate_series(1, %(readings)s) AS reading, generate_series(0, %(sensors)s - 1) AS sensor
            """,
            {
                "now": NOW,
                "step_s": WEEK.total_seconds() / (ROWS // SENSORS),
                "readings": ROWS // SENSORS,
                "sensors": SENSORS,
            },
        )
        await connection.execute(
            "INSERT INTO sensor.latest SELECT DISTINCT ON (esp_id, gpio, sensor_type, address) * FROM sensor.data"
            " ORDER BY esp_id, gpio, sensor_type, address, time DESC"
        )
        await rollup_store.note(connection, MINUTE, [Span(NOW - WEEK - DAY, NOW)])
        for rollup in (MINUTE, HOUR):
            more = True
            while more:
                async with connection.transaction():
                    more = await rollup_store.refresh(connection, rollup, NOW, NOW - 2 * WEEK)
        await connection.execute("ANALYZE")


class Explaining:
    """A connection that explains what it is asked instead of doing it."""

    def __init__(self, connection):
        self._connection = connection
        self.plans = []

    @asynccontextmanager
    async def cursor(self, **_):
        yield self

    async def execute(self, query, parameters):
        text = query.decode() if isinstance(query, bytes) else query
        cursor = await self._connection.execute(f"EXPLAIN (FORMAT JSON) {text}", parameters)
        [(self.plans,)] = await cursor.fetchall()
        return self

    async def fetchall(self):
        return []


def nodes(plan: dict) -> list[tuple[str, str]]:
    """Each node of a plan: its type and its table."""
    found = [(plan["Node Type"], plan.get("Relation Name", ""))]
    return found + [node for part in plan.get("Plans", []) for node in nodes(part)]


async def explained(url: str, ask) -> list[tuple[str, str]]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        explaining = Explaining(connection)
        await ask(explaining)
    return [node for node in nodes(explaining.plans[0]["Plan"]) if node[1]]


@pytest.mark.parametrize("esp_id", [None, "TEST_7"])
async def test_the_latest_of_all_sensors_never_touches_the_readings(filled, esp_id):
    tables = {table for _, table in await explained(filled, lambda connection: store.latest(connection, esp_id))}
    assert tables == {"latest"}


@pytest.mark.parametrize("bucket_s", [60, 300, 3600])
async def test_a_days_chart_reads_no_table_from_end_to_end(filled, bucket_s):
    def ask(connection):
        span = (NOW - DAY, NOW)
        progress = RollupProgress(floor(NOW - timedelta(minutes=5), timedelta(minutes=1)))
        return charts.buckets(connection, ("TEST_7", 3, "ph", None), *span, bucket_s, answers(bucket_s), progress)

    found = await explained(filled, ask)
    assert {kind for kind, _ in found} <= {"Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Bitmap Index Scan"}
    rollup = "rollup_1h" if bucket_s == 3600 else "rollup_1m"
    assert {table.rpartition("_")[0] for _, table in found} <= {rollup, "data"}
    assert len(found) <= 6, "only the partitions of the day are read"


async def p95_ms(ask, times: int = 40) -> float:
    taken = []
    for number in range(times):
        started = time.perf_counter()
        await ask(number)
        taken.append((time.perf_counter() - started) * 1000)
    return sorted(taken)[int(times * 0.95)]


@pytest.mark.skipif(not ASKED, reason="a benchmark: KAISER_TEST_ROWS asks for it")
async def test_latest_and_a_days_chart_take_less_than_50_ms(filled, capsys):
    async with await psycopg.AsyncConnection.connect(filled, autocommit=True) as connection:

        def chart(number: int):
            key = (f"TEST_{number * 7 % (SENSORS // 4)}", number % 4, "ph")
            progress = RollupProgress(floor(NOW - timedelta(minutes=5), timedelta(minutes=1)))
            return charts.buckets(connection, key, NOW - DAY, NOW, 300, answers(300), progress)

        figures = {
            "a day's chart": await p95_ms(chart),
            f"latest of {SENSORS} sensors": await p95_ms(lambda _: store.latest(connection, None)),
        }
    with capsys.disabled():
        print(f"\n{ROWS} rows, load {os.getloadavg()[0]:.1f}, p95 in ms: {figures}")
    assert all(figure < P95_MS for figure in figures.values()), figures
