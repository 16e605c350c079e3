"""The service as a real process on real servers: events in, rows, answers and event.alarm out; killed in between."""

import json

import psycopg
import pytest
from alarm_world import ask, say, shown, until
from kaiser_common.bus.reader import OrderedReader
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.schemas.api.alarms import (
    AcknowledgeAlarm,
    Alarm,
    AlarmKey,
    AlarmsPage,
    AlarmsQuery,
    AlarmStatistics,
    AlarmWithSteps,
    LimitsBody,
    LimitsKey,
    LimitsPage,
    LimitsQuery,
    PutLimits,
    SensorLimits,
    ShelveAlarm,
    StatisticsQuery,
)
from kaiser_common.contract.schemas.event import AlarmEvent, SensorDataEvent
from kaiser_common.contract.subjects import EVENTS, event_pack_subject


async def reading(bus, value, ts, quality="good"):
    body = SensorDataEvent(
        kaiser_id="god", esp_id="ESP_1", gpio=4, sensor_type="ds18b20", ts=ts, value=value, quality=quality
    )
    await bus.publish(event_pack_subject(), body.model_dump_json().encode())


async def published(bus):
    """All events of alarms on the bus, as (alarm_id, step)."""
    reader = OrderedReader(bus, EVENTS.name, ["event.alarm.*"], start_sequence=1)
    found = []
    async for batch in reader:
        found += [AlarmEvent.model_validate_json(delivery.body) for delivery in batch]
        if len(found) >= reader.pending_at_start:
            return found
    return found


async def test_an_alarm_is_there_next_morning_and_acknowledging_says_who(start, bus):
    start()
    await say(bus, "device_offline")
    (alarm,) = await until(lambda: shown(bus))
    assert (alarm.kind, alarm.source, alarm.state, alarm.esp_id) == ("device_offline", "ESP_1", "raised", "ESP_1")
    await say(bus, "device_online")
    (alarm,) = await until(lambda: shown(bus, state="cleared"))
    done = await ask(bus, "acknowledge", AcknowledgeAlarm(alarm_id=alarm.alarm_id, note="seen"), Alarm)
    assert (done.state, done.acknowledged_by) == ("closed", "ada")
    with pytest.raises(RpcError) as refused:
        await ask(bus, "acknowledge", AcknowledgeAlarm(alarm_id=alarm.alarm_id), Alarm)
    assert (refused.value.problem.status, refused.value.problem.code) == (409, 5414)
    assert await shown(bus) == []
    assert [one.alarm_id for one in await shown(bus, shown="closed")] == [alarm.alarm_id]
    found = await ask(bus, "read", AlarmKey(alarm_id=alarm.alarm_id), AlarmWithSteps)
    assert [(step.what, step.by, step.note) for step in found.steps] == [
        ("raised", None, None),
        ("cleared", None, None),
        ("acknowledged", "ada", "seen"),
    ]
    events = await until(lambda: all_published(bus, 3))
    assert [(event.step, event.what, event.by) for event in events] == [
        (1, "raised", None),
        (2, "cleared", None),
        (3, "acknowledged", "ada"),
    ]


async def all_published(bus, count):
    found = await published(bus)
    return found if len(found) >= count else None


async def test_killed_while_alarms_rise_and_clear_it_loses_none_and_makes_none_twice(start, bus, database):
    process = start()
    await ask(bus, "statistics", StatisticsQuery(), AlarmStatistics)
    for number in range(60):
        await say(bus, "device_offline", f"ESP_{number}")
        if number % 3 == 0:
            await say(bus, "device_online", f"ESP_{number}")
        if number % 12 == 6:
            process.kill()
            process.wait(60)
            process = start()
    await until(lambda: counted(bus, database))
    with psycopg.connect(database) as connection:
        rows = dict(connection.execute("SELECT source, state FROM alarm.alarms").fetchall())
        steps = connection.execute("SELECT alarm_id, step FROM alarm.steps ORDER BY number").fetchall()
    assert rows == {f"ESP_{number}": "cleared" if number % 3 == 0 else "raised" for number in range(60)}
    assert len(steps) == len(set(steps)) == 80
    events = await until(lambda: all_published(bus, 80))
    assert sorted((event.alarm_id, event.step) for event in events) == sorted(steps)


async def counted(bus, database):
    with psycopg.connect(database) as connection:
        (steps,) = connection.execute("SELECT count(*) FROM alarm.steps WHERE is_published").fetchone()
    return steps == 80


async def test_limits_of_a_sensor_raise_and_clear_and_taking_them_away_clears(start, bus):
    start()
    sensor = LimitsKey(esp_id="ESP_1", gpio=4, sensor_type="DS18B20")
    with pytest.raises(RpcError) as refused:
        await ask(bus, "put_limits", PutLimits(sensor=sensor, limits=LimitsBody(hi=10, lo=20)), SensorLimits)
    assert (refused.value.problem.status, refused.value.problem.field) == (422, "hi, lo")
    limits = LimitsBody(hi_hi=40, hi=30, lo=10, hysteresis=1)
    found = await ask(bus, "put_limits", PutLimits(sensor=sensor, limits=limits), SensorLimits)
    assert (found.limits, found.changed_by) == (limits, "ada")
    await reading(bus, 31.0, 1000)
    (alarm,) = await until(lambda: shown(bus, kind="limit_hi"))
    assert (alarm.severity, alarm.sensor_type) == ("warning", "ds18b20")
    await reading(bus, None, 2000, "error")
    await until(lambda: shown(bus, kind="sensor_fault"))
    assert [one.state for one in await shown(bus, kind="limit_hi")] == ["raised"]
    await reading(bus, 41.0, 3000)
    await until(lambda: shown(bus, kind="limit_hi_hi", severity="critical"))
    await reading(bus, 20.0, 4000)
    await until(lambda: shown(bus, kind="limit_hi_hi", state="cleared"))
    await reading(bus, 35.0, 5000)
    await until(lambda: shown(bus, kind="limit_hi", state="raised"))
    await ask(bus, "put_limits", PutLimits(sensor=sensor, limits=LimitsBody(lo=10)), SensorLimits)
    assert [one.times for one in await shown(bus, kind="limit_hi", state="cleared")] == [2]
    page = await ask(bus, "limits", LimitsQuery(), LimitsPage)
    assert [one.limits.lo for one in page.items] == [10]


async def test_a_shelved_alarm_is_not_counted_until_it_comes_off_the_shelf(start, bus, database):
    start()
    await say(bus, "emergency_stop", severity="critical", gpio=None)
    (alarm,) = await until(lambda: shown(bus))
    counts = await ask(bus, "statistics", StatisticsQuery(), AlarmStatistics)
    assert (counts.critical, counts.unacknowledged, counts.worst) == (1, 1, "critical")
    await ask(bus, "shelve", ShelveAlarm(alarm_id=alarm.alarm_id, for_s=3600), Alarm)
    counts = await ask(bus, "statistics", StatisticsQuery(), AlarmStatistics)
    assert (counts.critical, counts.unacknowledged, counts.shelved, counts.worst) == (0, 0, 1, None)
    assert [one.alarm_id for one in await shown(bus, shelved=True)] == [alarm.alarm_id]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE alarm.alarms SET shelved_until = now() - interval '1 minute'")

    async def is_back():
        counts = await ask(bus, "statistics", StatisticsQuery(), AlarmStatistics)
        (found,) = await shown(bus)
        return counts.unacknowledged == 1 and found.shelved_until is None

    await until(is_back)


async def test_pages_of_alarms_have_each_once(start, bus):
    start()
    for number in range(25):
        await say(bus, "device_offline", f"ESP_{number}")

    async def all_there():
        return len(await shown(bus)) == 25

    await until(all_there)
    sources, cursor = [], None
    while True:
        page = await ask(bus, "list", AlarmsQuery(limit=7, cursor=cursor), AlarmsPage)
        sources += [one.source for one in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(sources) == sorted(f"ESP_{number}" for number in range(25))
    assert len(json.dumps(sources)) > 0
    assert [one.source for one in await shown(bus, esp_id="ESP_7")] == ["ESP_7"]


async def test_a_viewer_acknowledges_nothing(start, bus):
    start()
    await ask(bus, "statistics", StatisticsQuery(), AlarmStatistics)
    viewer = Caller(user="eve", role="viewer")
    for method, request, answer in (
        ("acknowledge", AcknowledgeAlarm(alarm_id="0" * 16), Alarm),
        ("shelve", ShelveAlarm(alarm_id="0" * 16, for_s=60), Alarm),
        (
            "put_limits",
            PutLimits(sensor=LimitsKey(esp_id="ESP_1", gpio=4, sensor_type="x"), limits=LimitsBody(hi=1)),
            SensorLimits,
        ),
    ):
        with pytest.raises(RpcError) as refused:
            await call(bus, "alarm", method, request, answer, caller=viewer)
        assert refused.value.problem.status == 403
