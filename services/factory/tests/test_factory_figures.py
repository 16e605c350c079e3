"""Figures of a window, each worked out by hand, from rows in a real database."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.schemas.api.factory import FactoryFigures, MachineFigures, WindowQuery
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_common.contract.times import ms_of
from kaiser_common.runtime.clock import now_ms
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.settings import CommonSettings
from kaiser_factory.api.past import PastApi
from kaiser_factory.domain.figures import figures
from kaiser_factory.domain.live import FactoryState
from kaiser_factory.store import Connection
from kaiser_factory.store.figures import sums

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
END = START + timedelta(hours=1)
TABLES = ("transitions", "samples", "steps", "orders", "quality")
COLUMNS = {
    "transitions": ("serial", "time", "what", "value", "length_mm"),
    "steps": ("serial", "action_id", "command", "running_at", "finished_at", "result", "agv", "changed_at"),
    "samples": ("serial", "time", "driving", "waiting", "charging", "battery_percent"),
    "orders": ("order_id", "state", "type", "lead_ms", "first_seen_at", "changed_at", "record"),
}


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


class Rows:
    """Rows of the environment `live`, and the figures of them."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._ids = 0

    async def add(self, table: str, *values: Any, env: str = "live") -> None:
        names = ("env", *COLUMNS[table])
        await self.connection.execute(
            f"INSERT INTO factory.{table} ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})",
            (env, *values),
        )

    async def available(self, serial: str, *words: tuple[float, str]) -> None:
        for minutes, word in words:
            await self.add("transitions", serial, at(minutes), "availability", word, None)

    async def worked(
        self, serial: str, command: str, seconds: float, minutes: float = 30, result: str | None = None, **more: Any
    ) -> None:
        self._ids += 1
        end = at(minutes)
        ran = end - timedelta(seconds=seconds)
        await self.add("steps", serial, f"a{self._ids}", command, ran, end, result, False, end, **more)

    async def sampled(self, minutes: float, battery: float | None = None, **state: bool) -> None:
        words = {"driving": False, "waiting": False, "charging": False} | state
        await self.add("samples", "5iO4", at(minutes), *words.values(), battery)

    async def ended(self, state: str, kind: str | None, lead_ms: int | None, minutes: float = 30) -> None:
        self._ids += 1
        await self.add("orders", f"o{self._ids}", state, kind, lead_ms, START, at(minutes), "{}")

    async def figures(self, planned_s: dict[str, float] | None = None) -> FactoryFigures:
        found = await sums(self.connection, "live", START, END, within_s=60.0)
        return figures(START, END, found, planned_s or {})

    async def machine(self) -> MachineFigures:
        [one] = (await self.figures()).machines
        return one


@pytest.fixture
async def rows(database: str) -> AsyncIterator[Rows]:
    async with await psycopg.AsyncConnection.connect(database) as connection:
        await connection.execute(f"TRUNCATE {', '.join(f'factory.{table}' for table in TABLES)}")
        yield Rows(connection)
        await connection.rollback()


async def test_availability_is_the_share_of_the_window_in_which_a_machine_was_not_blocked(rows: Rows):
    await rows.available("S1", (-90, "READY"), (15, "BLOCKED"), (30, "BUSY"), (60, "BLOCKED"))
    assert (await rows.machine()).availability == pytest.approx(0.75)


async def test_before_its_first_transition_nothing_is_known_and_of_the_ones_before_the_newest_counts(rows: Rows):
    await rows.available("S1", (30, "READY"))
    await rows.available("S2", (-120, "READY"), (-60, "BLOCKED"))
    await rows.available("S3", (-60, "BLOCKED"), (-30, "READY"))
    found = (await rows.figures()).machines
    assert [(one.serial, one.availability) for one in found] == [("S1", 0.5), ("S2", 0.0), ("S3", 1.0)]


async def test_performance_is_the_fastest_tenth_of_each_command_over_what_was_needed(rows: Rows):
    for command, seconds in (("PICK", 10), ("PICK", 10), ("PICK", 20), ("MILL", 60)):
        await rows.worked("S1", command, seconds)
    one = await rows.machine()
    assert (one.performance, one.actions) == (pytest.approx(90 / 100), 4)


@pytest.mark.parametrize(("number", "fastest_s"), [(1, 1), (10, 1), (11, 2), (20, 2), (21, 3), (70, 7), (71, 8)])
async def test_the_fastest_tenth_is_that_of_ten_and_not_of_eleven(rows: Rows, number: int, fastest_s: int):
    durations = list(range(1, number + 1))
    random.Random(1).shuffle(durations)
    for seconds in durations:
        await rows.worked("S1", "PICK", seconds)
    assert (await rows.machine()).performance == pytest.approx(fastest_s * number / sum(durations))


async def test_oee_is_the_product_and_each_station_has_the_quality_of_its_own_checks(rows: Rows):
    for serial in ("AIQS1", "AIQS2", "AIQS3", "MILL1"):
        await rows.available(serial, (-1, "READY"))
        await rows.worked(serial, "PICK", 10)
    for serial, result in (("AIQS1", "PASSED"), ("AIQS1", "PASSED"), ("AIQS1", "PASSED"), ("AIQS1", "FAILED")):
        await rows.worked(serial, "CHECK_QUALITY", 10, result=result)
    for result in ("FAILED", None, "PASSED"):
        await rows.worked("AIQS2", "CHECK_QUALITY", 10, result=result)
    assert [(one.serial, one.quality, one.oee) for one in (await rows.figures()).machines] == [
        ("AIQS1", 0.75, 0.75),
        ("AIQS2", 0.5, 0.5),
        ("AIQS3", 1.0, 1.0),
        ("MILL1", 1.0, 1.0),
    ]


async def test_an_agv_drives_waits_and_charges_for_shares_of_the_sampled_time(rows: Rows):
    await rows.sampled(0)
    await rows.sampled(15, driving=True)
    await rows.sampled(30, waiting=True)
    await rows.sampled(45, charging=True)
    one = await rows.machine()
    assert (one.driving, one.waiting, one.charging) == (0.25, 0.25, 0.25)


CHARGED = {"charging": True}


@pytest.mark.parametrize(
    ("samples", "slope"),
    [
        ([(0, 80, {}), (30, 75, {}), (45, 72.5, {})], -10),
        ([(0, 20, {}), (10, 30, CHARGED), (15, 80, {}), (45, 70, {})], -20),
        ([(0, 80, {})], None),
        ([(0, None, {}), (30, None, {})], None),
        ([(0, 80, {}), (30, None, CHARGED)], None),
        ([(0, 80, {}), (30, None, {}), (45, 80, {})], 0),
    ],
)
async def test_the_battery_falls_by_so_much_an_hour_since_it_was_charged(
    rows: Rows, samples: list[tuple[float, float | None, dict[str, bool]]], slope: float | None
):
    for minutes, battery, state in samples:
        await rows.sampled(minutes, battery, **state)
    assert (await rows.machine()).battery_percent_per_h == (None if slope is None else pytest.approx(slope))


async def test_metres_are_those_of_the_roads_in_the_window(rows: Rows):
    for minutes, node, length in ((-5, "1", 360.0), (5, "2", 360.0), (6, "HBW", 380.0), (7, "3", None), (60, "1", 9.0)):
        await rows.add("transitions", "5iO4", at(minutes), "node", node, length)
    assert (await rows.machine()).metres == pytest.approx(0.74)


async def test_the_line_has_orders_an_hour_a_yield_and_lead_times_by_type(rows: Rows):
    for lead in (300_000, 400_000):
        await rows.ended("FINISHED", "WHITE", lead)
    await rows.ended("FINISHED", "RED", 280_000)
    await rows.ended("ERROR", "WHITE", 100_000)
    await rows.ended("IN_PROGRESS", "WHITE", None)
    line = await rows.figures({"WHITE": 300, "BLUE": 320})
    assert (line.orders, line.orders_per_hour, line.yield_share) == (3, 3.0, 0.75)
    assert (line.lead_ms_p50, line.lead_ms_p90) == (300_000, 400_000)
    assert [(one.type, one.orders, one.lead_ms_p90, one.planned_ms) for one in line.types] == [
        ("RED", 1, 280_000, None),
        ("WHITE", 2, 400_000, 300_000),
    ]


async def test_an_order_without_a_type_or_a_lead_time_counts_for_the_line(rows: Rows):
    await rows.ended("FINISHED", None, 200_000)
    await rows.ended("FINISHED", "RED", None)
    line = await rows.figures()
    assert (line.orders, line.yield_share, line.lead_ms_p50, line.types) == (2, 1.0, 200_000, [])


async def test_what_was_outside_the_window_or_in_another_environment_does_not_count(rows: Rows):
    for minutes in (-1, 60):
        await rows.worked("S1", "PICK", 5, minutes)
        await rows.sampled(minutes, 50)
        await rows.ended("FINISHED", "RED", 1, minutes)
    await rows.worked("S1", "PICK", 5, env="mock")
    await rows.add("transitions", "S1", at(1), "availability", "READY", None, env="mock")
    found = await rows.figures()
    assert (found.machines, found.orders) == ([], 0)


async def test_of_a_window_in_which_nothing_was_there_are_no_figures(rows: Rows):
    line = await rows.figures()
    assert (line.machines, line.orders, line.yield_share, line.lead_ms_p50, line.types) == ([], 0, None, None, [])


async def test_no_serial_is_left_out_however_many_rows_there_are(rows: Rows):
    await rows.connection.execute(
        "INSERT INTO factory.transitions (env, serial, time, what, value)"
        " SELECT 'live', 'S' || lpad(serial::text, 3, '0'), %s + place * interval '0.001 s', 'availability', 'READY'"
        " FROM generate_series(1, 300) AS serial, generate_series(0, 99) AS place",
        (START,),
    )
    found = (await rows.figures()).machines
    assert [one.serial for one in found] == [f"S{number:03}" for number in range(1, 301)]
    assert {one.availability for one in found} == {1.0}


async def test_a_window_that_takes_too_long_is_refused_and_says_what_to_do(make_database):
    """Never with a part of its figures, and never for longer than its caller waits."""
    environment = FactoryEnvironment(env="live", kind="live", epoch=1)
    settings = CommonSettings(database_url=make_database(), database_pool_size=4)
    async with open_pool(settings, "test", timeout_s=60.0) as pool:
        past = PastApi(pool, lambda: environment, lambda: FactoryState(environment, ()), now_ms, figures_within_s=0.5)
        window, someone = WindowQuery(from_ms=ms_of(START), to_ms=ms_of(END)), Caller(user="someone", role="viewer")
        async with pool.connection() as another:
            await another.execute("LOCK TABLE factory.orders IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(RpcError) as refused:
                await past.figures(window, someone)
        problem = refused.value.problem
        assert (problem.status, problem.code, problem.field) == (422, 5207, "from")
        assert problem.detail == "the figures of this window take longer than 0.5 s: ask for a shorter one"
        await another.rollback()


async def test_the_queries_of_a_window_share_its_time(rows: Rows):
    passed_s = iter([0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 55.0, 59.0])
    await sums(rows.connection, "live", START, END, within_s=60.0, clock_s=lambda: next(passed_s))
    assert await (await rows.connection.execute("SHOW statement_timeout")).fetchone() == ("1s",)
    assert list(passed_s) == []
