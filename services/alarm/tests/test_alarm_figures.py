"""The times in which conditions held, and every kind of figure of them, from steps that are written out."""

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from alarm_world import until
from kaiser_alarm.api.figures import LONGEST, FiguresApi
from kaiser_alarm.domain.figures import Acknowledged, Stood, figures_by
from kaiser_alarm.domain.life import Clear, Key, Raise, acknowledged, applied
from kaiser_alarm.store import alarms, standing
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.schemas.api.alarms import AlarmFiguresQuery, AlarmSpansQuery
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.settings import CommonSettings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = 60_000
ADA = Caller(user="ada", role="viewer", request_id="r1")
ZONES = {"ESP_A": "north", "ESP_B": "north", "ESP_C": "south"}


def at(minutes: int) -> int:
    """Minutes after noon, in ms."""
    return int(NOW.timestamp() * 1000) + minutes * MINUTE


def moment(minutes: int) -> datetime:
    return NOW + timedelta(minutes=minutes)


class History:
    """The steps of conditions, as the service would store them."""

    def __init__(self) -> None:
        self.open = {}
        self.steps = []

    def _take(self, steps) -> None:
        for step in steps:
            key = Key(step.alarm.kind, step.alarm.source)
            self.steps.append(step)
            if step.alarm.state == "closed":
                self.open.pop(key)
            else:
                self.open[key] = step.alarm

    def rises(self, minutes, kind, source, severity="warning", **of) -> None:
        raise_ = Raise(Key(kind, source), severity, f"{kind} of {source}", at(minutes), **of)
        self._take(applied({**self.open}, [(raise_, f"{minutes}")]))

    def ends(self, minutes, kind, source) -> None:
        self._take(applied({**self.open}, [(Clear(Key(kind, source), at(minutes)), f"{minutes}")]))

    def known(self, minutes, kind, source) -> None:
        self._take([acknowledged(self.open[Key(kind, source)], at(minutes), "ada", "", momentary=False)])


@pytest.fixture
async def connection(database):
    async with await psycopg.AsyncConnection.connect(database) as opened:
        await opened.execute("DELETE FROM alarm.alarms; DELETE FROM alarm.steps")
        yield opened
        await opened.rollback()


@pytest.fixture
async def told(connection):
    """From noon on: a device that is offline over the whole hour, one that flaps, a limit that is over before noon, a
    stop that still stands, an alarm of no device, and one that began after the hour."""
    history = History()
    history.rises(-90, "device_offline", "ESP_A", esp_id="ESP_A")
    history.known(20, "device_offline", "ESP_A")
    history.ends(80, "device_offline", "ESP_A")
    for minutes in (-5, 10, 30):
        history.rises(minutes, "device_offline", "ESP_B", esp_id="ESP_B")
        history.ends(minutes + 10, "device_offline", "ESP_B")
    history.known(45, "device_offline", "ESP_B")
    sensor = {"esp_id": "ESP_C", "gpio": 4, "sensor_type": "ds18b20", "address": "28FF"}
    history.rises(-30, "limit_hi", "ESP_C/4/ds18b20", **sensor)
    history.ends(-20, "limit_hi", "ESP_C/4/ds18b20")
    history.known(15, "limit_hi", "ESP_C/4/ds18b20")
    history.rises(50, "stop_in_force", "ESP_C", "critical", esp_id="ESP_C")
    history.rises(55, "broker_unreachable", "ingest.god", "warning")
    history.rises(56, "broker_unreachable", "ingest.god", "critical")  # worse, and no second beginning
    history.known(58, "broker_unreachable", "ingest.god")
    history.rises(70, "device_offline", "ESP_D", esp_id="ESP_D")
    await alarms.note_steps(connection, history.steps)
    return connection


async def spans(connection, from_minutes, to_minutes, **query):
    asked = AlarmSpansQuery(from_ms=at(from_minutes), to_ms=at(to_minutes), **query)
    found = await standing.spans(connection, asked, moment(from_minutes), moment(to_minutes))
    short = {None: None}
    return [
        (one.source, (one.begun_at - at(0)) // MINUTE, short.get(one.ended_at, ((one.ended_at or 0) - at(0)) // MINUTE))
        for one in found
    ]


@pytest.mark.parametrize(
    ("span", "query", "expected"),
    [
        (
            (0, 60),
            {},
            [("ESP_A", -90, 80), ("ESP_B", -5, 5), ("ESP_B", 10, 20), ("ESP_B", 30, 40), ("ESP_C", 50, None),
             ("ingest.god", 55, None)],
        ),
        ((0, 60), {"esp_id": "ESP_A"}, [("ESP_A", -90, 80)]),  # raised before the span, and over behind it
        ((6, 9), {"esp_id": "ESP_B"}, []),  # between two times at which it held
        ((15, 16), {"esp_id": "ESP_B"}, [("ESP_B", 10, 20)]),
        ((0, 60), {"of_site": True}, [("ingest.god", 55, None)]),
        ((0, 60), {"severity": "critical"}, [("ESP_C", 50, None), ("ingest.god", 55, None)]),
        ((-60, -25), {}, [("ESP_A", -90, 80), ("ESP_C/4/ds18b20", -30, -20)]),
        ((60, 65), {"limit": 1}, [("ESP_C", 50, None), ("ingest.god", 55, None)]),  # the newest, and one more
        ((90, 95), {"esp_id": "ESP_A"}, []),
        ((-200, -100), {}, []),
    ],
)  # fmt: skip
async def test_a_condition_is_found_in_each_span_that_it_touches(told, span, query, expected):
    assert await spans(told, *span, **query) == expected


@pytest.mark.parametrize(
    ("severity", "expected"),
    [
        ("critical", [("critical", 0, 10), ("critical", 40, 50)]),  # one was so at once, one became so
        ("warning", [("warning", 20, 30)]),
        (None, [("critical", 0, 10), ("warning", 20, 30), ("critical", 40, 50)]),
        ("info", []),
    ],
)
async def test_a_span_is_found_by_the_severity_that_it_shows_the_worst_in_its_time(connection, severity, expected):
    history, of = History(), ("broker_unreachable", "ingest.god")
    for minutes, is_ended, *raised in ((0, False, "critical"), (10, True), (20, False, "warning"), (30, True),
                                       (40, False, "warning"), (45, False, "critical"), (50, True)):  # fmt: skip
        if is_ended:
            history.ends(minutes, *of)
        else:
            history.rises(minutes, *of, *raised)
    history.rises(60, *of, "info")  # the severity of the alarm is now another than that of each of these times
    await alarms.note_steps(connection, history.steps)
    asked = AlarmSpansQuery(from_ms=at(0), to_ms=at(55), severity=severity)
    found = await standing.spans(connection, asked, moment(0), moment(55))
    minutes_of = [(one.severity, (one.begun_at - at(0)) // MINUTE, (one.ended_at - at(0)) // MINUTE) for one in found]
    assert minutes_of == expected


async def test_the_severity_of_a_figure_is_the_worst_also_of_what_became_worse_and_nobody_acknowledged(connection):
    history = History()
    history.rises(5, "broker_unreachable", "ingest.god", "warning")
    history.rises(6, "broker_unreachable", "ingest.god", "critical")
    await alarms.note_steps(connection, history.steps)
    assert [one.severity for one in (await figures(connection, "kind")).values()] == ["critical"]


async def test_the_spans_of_a_device_are_found_by_an_index(told):
    """Among many old ones of it, and many of another device that still stand."""
    await told.execute(
        """
        INSERT INTO alarm.alarms (alarm_id, kind, source, severity, state, message, esp_id, times, step, raised_at,
                                  last_raised_at, cleared_at)
        SELECT number || esp_id, 'k', number || esp_id, 'info', 'closed', '', esp_id, 1, 1, %(at)s, %(at)s, cleared_at
        FROM generate_series(1, 5000) AS number, (VALUES ('ESP_A', %(at)s), ('ESP_Z', NULL)) AS of (esp_id, cleared_at)
        """,
        {"at": NOW},
    )
    await told.execute("ANALYZE alarm.alarms")
    statement = """
        EXPLAIN SELECT alarm_id FROM alarm.alarms
        WHERE esp_id = 'ESP_A' AND coalesce(cleared_at, 'infinity'::timestamptz) >= now()
    """
    plan = " ".join(row[0] for row in await (await told.execute(statement)).fetchall())
    assert "alarms_of_device_until" in plan


async def test_steps_that_are_too_old_to_be_kept_are_not_missed(told):
    """Of a condition that has held for longer than steps are kept, the time of its beginning is in the later steps."""
    await told.execute("DELETE FROM alarm.steps WHERE at < %s", (NOW,))
    assert await spans(told, 0, 60, esp_id="ESP_A") == [("ESP_A", -90, 80)]


async def figures(connection, by):
    stood = await standing.stood(connection, NOW, moment(60), moment(100), 1000)
    known = await standing.acknowledged(connection, NOW, moment(60), 1000)
    return {one.name: one for one in figures_by(by, stood, known, ZONES.get)}


def shown(one):
    """times, conditions, minutes standing, standing now, acknowledged, mean and longest minutes until then."""
    waits = (one.mean_to_acknowledge_s, one.longest_to_acknowledge_s)
    return (
        *(one.times, one.conditions, one.standing_s / 60, one.standing_now, one.acknowledged),
        *(None if wait is None else wait / 60 for wait in waits),
    )


async def test_figures_by_kind(told):
    found = await figures(told, "kind")
    assert list(found) == ["device_offline", "stop_in_force", "broker_unreachable", "limit_hi"]
    assert {name: shown(one) for name, one in found.items()} == {
        "device_offline": (2, 2, 60 + 5 + 10 + 10, 0, 2, (110 + 15) / 2, 110),
        "stop_in_force": (1, 1, 10, 1, 0, None, None),
        "broker_unreachable": (1, 1, 5, 1, 1, 2, 2),  # since it became worse
        "limit_hi": (0, 0, 0, 0, 1, 45, 45),  # over before the span, acknowledged in it
    }
    assert [one.severity for one in found.values()] == ["warning", "critical", "critical", "warning"]


async def test_figures_by_source_name_the_sensor(told):
    found = await figures(told, "source")
    assert {name: shown(one) for name, one in found.items()} == {
        "ESP_A": (0, 1, 60, 0, 1, 110, 110),
        "ESP_B": (2, 1, 25, 0, 1, 15, 15),
        "ESP_C": (1, 1, 10, 1, 0, None, None),
        "ingest.god": (1, 1, 5, 1, 1, 2, 2),
        "ESP_C/4/ds18b20": (0, 0, 0, 0, 1, 45, 45),
    }
    assert found["ESP_B"].esp_id == "ESP_B"
    of_sensor = [Stood("limit_hi", "s", "ESP_C", 4, "ds18b20", "28FF", ["warning"], 1, 1.0, stands=False)]
    [one] = figures_by("source", of_sensor, [], ZONES.get)
    assert (one.esp_id, one.gpio, one.sensor_type, one.address) == ("ESP_C", 4, "ds18b20", "28FF")


async def test_figures_by_zone_are_of_the_zone_in_which_a_device_is_now(told):
    found = await figures(told, "zone")
    assert {name: shown(one) for name, one in found.items()} == {
        "north": (2, 2, 85, 0, 2, (110 + 15) / 2, 110),
        "south": (1, 1, 10, 1, 1, 45, 45),
        "": (1, 1, 5, 1, 1, 2, 2),
    }


def test_a_mean_is_of_all_that_were_acknowledged_and_not_of_means():
    known = [
        Acknowledged("k", "a", None, ["info"], 3, 30.0, 20.0),
        Acknowledged("k", "b", None, ["info"], 1, 50.0, 50.0),
    ]
    [one] = figures_by("kind", [], known, ZONES.get)
    assert (one.acknowledged, one.mean_to_acknowledge_s, one.longest_to_acknowledge_s) == (4, 20.0, 50.0)


@pytest.fixture
async def pool(database):
    async with open_pool(CommonSettings(database_url=database, database_pool_size=2), "test") as opened:
        yield opened


def api_of(pool, **limits) -> FiguresApi:
    return FiguresApi(pool, ZONES.get, lambda: at(100), **limits)


async def refused(awaitable) -> tuple[int, str | None, str]:
    with pytest.raises(RpcError) as error:
        await awaitable
    problem = error.value.problem
    return problem.status, problem.field, problem.detail


DAYS = int(LONGEST.total_seconds() * 1000)


@pytest.mark.parametrize(
    ("from_ms", "detail"),
    [
        (0, "from is more than 732 days before to: ask for a shorter time"),
        (at(0) - DAYS - 1, "from is more than 732 days before to: ask for a shorter time"),
        (at(0), "from must be before to"),
    ],
)
async def test_a_time_without_end_is_refused_before_anything_is_counted(from_ms, detail):
    api = api_of(None)  # it has no connection to count with
    asked = {"from_ms": from_ms, "to_ms": at(0)}
    assert await refused(api.spans(AlarmSpansQuery(**asked), ADA)) == (422, "from", detail)
    assert await refused(api.figures(AlarmFiguresQuery(**asked), ADA)) == (422, "from", detail)


async def test_the_longest_time_is_counted(told, pool):
    await told.commit()
    asked = {"from_ms": at(100) - DAYS, "to_ms": at(100)}
    assert len((await api_of(pool).spans(AlarmSpansQuery(**asked), ADA)).items) == 8
    assert len((await api_of(pool).figures(AlarmFiguresQuery(**asked), ADA)).items) == 4


HOUR = AlarmFiguresQuery(from_ms=at(0), to_ms=at(60))


async def test_figures_take_turns_and_leave_connections_to_those_who_raise_alarms(database, pool):
    """While one counts for a long time, others are refused, and each time there is a connection for an alarm."""
    api = api_of(pool, waits_s=0.05, statement_s=600.0)
    async with await psycopg.AsyncConnection.connect(database) as holding:
        await holding.execute("LOCK TABLE alarm.steps IN ACCESS EXCLUSIVE MODE")
        counting = asyncio.create_task(api.figures(HOUR, ADA))
        await waits_for_a_lock(holding)
        spans = AlarmSpansQuery(from_ms=at(0), to_ms=at(60))
        for awaitable in (api.figures(HOUR, ADA), api.spans(spans, ADA), api.spans(spans, ADA)):
            assert (await refused(awaitable))[0] == 503
            async with pool.connection() as connection:
                await connection.execute("SELECT count(*) FROM alarm.alarms")
        assert not counting.done()
        await holding.rollback()
    await counting
    assert (await api.spans(spans, ADA)).left_out is False


async def test_behind_thirty_two_requests_that_wait_for_their_turn_a_further_one_is_refused_at_once(database, pool):
    api = api_of(pool, waits_s=600.0, statement_s=600.0)
    async with await psycopg.AsyncConnection.connect(database) as holding:
        await holding.execute("LOCK TABLE alarm.steps IN ACCESS EXCLUSIVE MODE")
        counting = asyncio.create_task(api.figures(HOUR, ADA))
        await waits_for_a_lock(holding)
        behind = [asyncio.create_task(api.figures(HOUR, ADA)) for _ in range(32)]
        await asyncio.sleep(0)
        assert (await refused(api.figures(HOUR, ADA)))[0] == 503
        await holding.rollback()
    await asyncio.gather(counting, *behind)


async def test_figures_that_take_too_long_end_and_say_so(database, pool):
    api = api_of(pool, statement_s=0.05)
    async with await psycopg.AsyncConnection.connect(database) as holding:
        await holding.execute("LOCK TABLE alarm.steps IN ACCESS EXCLUSIVE MODE")
        told = "counting took longer than 0.05 s: ask for a shorter time"
        assert await refused(api.figures(HOUR, ADA)) == (504, "from", told)
        async with pool.connection() as connection:  # the time is that of figures alone
            cursor = await connection.execute("SHOW statement_timeout")
            assert await cursor.fetchone() == ("15s",)
        await holding.rollback()
    await api_of(pool).figures(HOUR, ADA)


async def waits_for_a_lock(connection) -> None:
    """Until a statement waits for a lock that another connection has."""
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'alarm.steps'::regclass"

    async def is_waiting() -> bool:
        return await (await connection.execute(query)).fetchone() == (1,)

    await until(is_waiting)


@pytest.mark.parametrize(("most", "left_out"), [(2, False), (1, True)])
async def test_acknowledged_conditions_that_are_left_out_are_told_of(connection, pool, monkeypatch, most, left_out):
    """Two that were over before the time asked for, and acknowledged in it."""
    history = History()
    for source in ("ESP_A/4/ph", "ESP_B/4/ph"):
        history.rises(-30, "limit_hi", source)
        history.ends(-20, "limit_hi", source)
        history.known(15, "limit_hi", source)
    await alarms.note_steps(connection, history.steps)
    await connection.commit()
    monkeypatch.setattr("kaiser_alarm.api.figures._MOST_CONDITIONS", most)
    found = await api_of(pool).figures(HOUR, ADA)
    assert (found.left_out, sum(one.acknowledged for one in found.items)) == (left_out, most)
