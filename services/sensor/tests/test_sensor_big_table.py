"""Questions to a big table: read by index whatever its size; how fast, where KAISER_TEST_ROWS says how big.

The named benchmark is KAISER_TEST_ROWS=10000000 on a machine of one's own: 10,000 sensors, a week of readings.
"""

import asyncio
import os
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time, timedelta
from time import perf_counter

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
TIMES = (time(0, 0, 30), time(0, 59), time(13, 20), time(23, 59))
"""Of a day: which partitions a day's chart touches, and how full they are, and so the plan, depends on the hour."""
WEEK, DAY = timedelta(days=7), timedelta(days=1)
P95_MS = 50.0
FEW_PAGES = 2
"""Just after midnight the partition of the day is all but empty, and is read whole."""


@pytest.fixture(scope="module")
def filled(make_database) -> str:
    """URI of a database with ROWS readings of SENSORS sensors over a week, rolled up."""
    url = make_database()
    asyncio.run(fill(url, NOW))
    return url


@pytest.fixture(scope="module", params=TIMES, ids=str)
def filled_at(request, make_database) -> tuple[str, datetime]:
    """The same at one of the times of the day, and that time."""
    url, now = make_database(), datetime.combine(NOW, request.param, UTC)
    asyncio.run(fill(url, now))
    return url, now


async def fill(url: str, now: datetime) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("SET statement_timeout = 0")
        await upkeep.make_partitions(connection, now, SensorSettings())
        await connection.execute(
            """
            INSERT INTO sensor.data
            SELECT %(now)s - reading * make_interval(secs => %(step_s)s), 'TEST_' || sensor / 4, sensor %% 4, 'ph',
                   2048, NULL, 7 + reading %% 3, 'pH', 'good', 'library', 'TEST', 'device', ''
            FROM generate_series(1, %(readings)s) AS reading, generate_series(0, %(sensors)s - 1) AS sensor
            """,
            {
                "now": now,
                "step_s": WEEK.total_seconds() / (ROWS // SENSORS),
                "readings": ROWS // SENSORS,
                "sensors": SENSORS,
            },
        )
        await connection.execute(
            "INSERT INTO sensor.latest SELECT DISTINCT ON (esp_id, gpio, sensor_type, address) * FROM sensor.data"
            " ORDER BY esp_id, gpio, sensor_type, address, time DESC"
        )
        await rollup_store.note(connection, MINUTE, [Span(now - WEEK - DAY, now)])
        for rollup in (MINUTE, HOUR):
            more = True
            while more:
                async with connection.transaction():
                    more = await rollup_store.refresh(connection, rollup, now, now - 2 * WEEK)
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


async def pages(url: str, tables: list[str]) -> int:
    """How many pages these tables of sensor have."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        cursor = await connection.execute(
            "SELECT coalesce(sum(pg_relation_size(format('sensor.%%I', name)) / 8192), 0)::int"
            " FROM unnest(%s::text[]) AS name",
            [tables],
        )
        return (await cursor.fetchone())[0]


@pytest.mark.parametrize("esp_id", [None, "TEST_7"])
async def test_the_latest_of_all_sensors_never_touches_the_readings(filled, esp_id):
    tables = {table for _, table in await explained(filled, lambda connection: store.latest(connection, esp_id))}
    assert tables == {"latest"}


@pytest.mark.parametrize("bucket_s", [60, 300, 3600])
async def test_a_days_chart_reads_no_table_from_end_to_end(filled_at, bucket_s):
    filled, now = filled_at

    def ask(connection):
        span = (now - DAY, now)
        progress = RollupProgress(floor(now - timedelta(minutes=5), timedelta(minutes=1)))
        return charts.buckets(connection, ("TEST_7", 3, "ph", None), *span, bucket_s, answers(bucket_s), progress)

    found = await explained(filled, ask)
    read_whole = [table for kind, table in found if kind == "Seq Scan"]
    by_index = {"Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Bitmap Index Scan"}
    assert {kind for kind, table in found if table not in read_whole} <= by_index
    assert await pages(filled, read_whole) <= FEW_PAGES
    rollup = "rollup_1h" if bucket_s == 3600 else "rollup_1m"
    assert {table.rpartition("_")[0] for _, table in found} <= {rollup, "data"}
    assert len(found) <= 6, "only the partitions of the day are read"


async def p95_ms(ask, times: int = 40) -> float:
    taken = []
    for number in range(times):
        started = perf_counter()
        await ask(number)
        taken.append((perf_counter() - started) * 1000)
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
