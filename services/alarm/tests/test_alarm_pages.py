"""Pages of alarms and limits: each filter alone and together, and no item missing or twice from page to page."""

from datetime import UTC, datetime

import psycopg
import pytest
from kaiser_alarm.domain.life import LifeStep
from kaiser_alarm.store import alarms, limits
from kaiser_common.contract.schemas.api.alarms import (
    Alarm,
    AlarmsQuery,
    LimitsBody,
    LimitsKey,
    LimitsQuery,
    PutLimits,
)
from kaiser_common.runtime.cursors import to_cursor

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
MINUTE = 60_000


def alarm(alarm_id: str, minutes_ago: int, **values: object) -> Alarm:
    at = NOW_MS - minutes_ago * MINUTE
    stated = {"kind": "offline", "source": alarm_id, "severity": "warning", "state": "raised", "message": "m", **values}
    return Alarm.model_validate({"alarm_id": alarm_id, "raised_at": at, "last_raised_at": at, **stated})


ALARMS = [
    alarm("a", 5, esp_id="ESP_A", severity="critical"),
    alarm("b", 4, esp_id="ESP_B", state="cleared"),
    alarm("c", 3, esp_id="ESP_A", shelved_until=NOW_MS + MINUTE),
    alarm("d", 3, esp_id="ESP_A", shelved_until=NOW_MS - MINUTE, kind="silent"),
    alarm("e", 2, esp_id="ESP_A", state="closed"),
]


@pytest.fixture
async def connection(database):
    async with await psycopg.AsyncConnection.connect(database) as opened:
        await opened.execute("DELETE FROM alarm.alarms; DELETE FROM alarm.steps; DELETE FROM alarm.limits")
        await alarms.note_steps(opened, [LifeStep("raised", each.raised_at, each) for each in ALARMS])
        yield opened
        await opened.rollback()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "dcba"),
        ({"shown": "closed"}, "e"),
        ({"shown": "all"}, "edcba"),
        ({"severity": "critical"}, "a"),
        ({"state": "cleared"}, "b"),
        ({"kind": "silent"}, "d"),
        ({"source": "c"}, "c"),
        ({"esp_id": "ESP_A"}, "dca"),
        ({"shelved": True}, "c"),
        ({"shelved": False}, "dba"),
        ({"from_ms": NOW_MS - 4 * MINUTE}, "dcb"),
        ({"to_ms": NOW_MS - 4 * MINUTE}, "a"),
        ({"from_ms": NOW_MS - 4 * MINUTE, "to_ms": NOW_MS - 3 * MINUTE}, "b"),
        ({"shown": "all", "esp_id": "ESP_A", "kind": "offline", "shelved": False}, "ea"),
        ({"shown": "closed", "severity": "critical"}, ""),
    ],
)
async def test_a_page_has_the_alarms_that_are_asked_for(connection, query, expected):
    found = await alarms.page(connection, AlarmsQuery(**query), NOW)
    assert "".join(each.alarm_id for each in found) == expected


@pytest.mark.parametrize(("devices", "expected"), [(None, "dcba"), (["ESP_B"], "b"), ([], "")])
async def test_a_page_has_the_alarms_of_the_devices_of_a_zone(connection, devices, expected):
    found = await alarms.page(connection, AlarmsQuery(zone_id="north"), NOW, devices)
    assert "".join(each.alarm_id for each in found) == expected


async def test_from_page_to_page_no_alarm_is_missing_or_twice(connection):
    seen, cursor = "", None
    for _ in range(len(ALARMS)):
        [first, *_] = await alarms.page(connection, AlarmsQuery(shown="all", limit=1, cursor=cursor), NOW)
        seen += first.alarm_id
        cursor = to_cursor(first.raised_at, first.alarm_id)
    assert seen == "edcba"
    assert await alarms.page(connection, AlarmsQuery(shown="all", cursor=cursor), NOW) == []


async def test_an_alarm_is_read_as_it_was_stored(connection):
    assert await alarms.read(connection, "c") == ALARMS[2]
    assert await alarms.read(connection, "d", lock=True) == ALARMS[3]
    assert await alarms.read(connection, "x") is None
    assert sorted(each.alarm_id for each in (await alarms.open_alarms(connection)).values()) == ["a", "b", "c", "d"]
    [step] = await alarms.steps_of(connection, "a")
    assert (step.step, step.what, step.severity, step.message) == (1, "raised", "critical", "m")


async def test_limits_are_paged_by_sensor_and_replaced_as_a_whole(connection):
    keys = [LimitsKey(esp_id=esp_id, gpio=gpio, sensor_type="ph") for esp_id in ("ESP_A", "ESP_B") for gpio in (4, 5)]
    for key in reversed(keys):
        await limits.put(connection, PutLimits(sensor=key, limits=LimitsBody(hi=7, delay_s=5)), "ada", NOW)
    await limits.put(connection, PutLimits(sensor=keys[0], limits=LimitsBody(lo=1)), "bob", NOW)

    async def page(**query: object) -> list[LimitsKey]:
        return [each.sensor for each in await limits.page(connection, LimitsQuery.model_validate(query))]

    assert await page() == keys
    assert await page(esp_id="ESP_B") == keys[2:]
    assert await page(cursor=to_cursor("ESP_A", 5, "ph", ""), limit=1) == keys[2:]
    found = await limits.read(connection, keys[0])
    assert found is not None
    assert (found.limits, found.changed_by, found.changed_at) == (LimitsBody(lo=1), "bob", NOW_MS)
    assert await limits.delete(connection, keys[0])
    assert not await limits.delete(connection, keys[0])
    assert len(await limits.read_all(connection)) == 3
