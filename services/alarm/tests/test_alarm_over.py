"""Alarms that are over, or settled, before their message is sent: the service and a receiver, both real."""

import importlib
from datetime import timedelta

import psycopg
from alarm_world import FAST, ask, channel, has, notifications_of, say, shown, until
from kaiser_alarm.domain.life import Key, Raise, applied, shelved
from kaiser_alarm.domain.routing import DueNotification
from kaiser_alarm.store import alarms, notifications
from kaiser_common.contract.schemas.api.alarms import AcknowledgeAlarm, Alarm
from kaiser_common.contract.schemas.api.notifications import Notifications, NotificationsQuery
from kaiser_common.contract.times import time_of
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.settings import CommonSettings


async def test_what_begins_and_ends_while_the_service_is_killed_is_sent_once_as_over(start, bus, receiver, database):
    process = start(**FAST)
    await channel(bus, "hook", receiver.url)
    process.kill()
    process.wait(60)
    await say(bus, "device_offline", "ESP_1")
    await say(bus, "device_online", "ESP_1")
    process = start(**FAST)
    await until(has(lambda: receiver.taken, 1))
    assert receiver.taken[0]["title"] == "warning, over: ESP_1: device_offline"
    await until(lambda: all_sent(bus))
    process.kill()
    process.wait(60)
    start(**FAST)
    await say(bus, "device_offline", "ESP_2")
    await until(has(lambda: receiver.taken, 2))
    assert "ESP_2" in receiver.taken[1]["title"]
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT count(*), count(DISTINCT alarm_id) FROM alarm.notifications").fetchone()
    assert rows == (2, 2)


async def all_sent(bus):
    found = (await ask(bus, "notifications", NotificationsQuery(), Notifications)).items
    return bool(found) and all(one.state == "sent" for one in found)


async def test_what_is_acknowledged_before_its_channel_takes_it_is_not_sent(start, bus, receiver):
    receiver.status = 500
    start(**FAST)
    await channel(bus, "hook", receiver.url)
    await say(bus, "device_offline", "ESP_1")

    async def was_tried():
        return any(one.tries for one in await notifications_of(bus, "hook", "device_offline"))

    await until(lambda: shown(bus, kind="device_offline"))
    await until(was_tried)
    [alarm] = await shown(bus, kind="device_offline")
    await ask(bus, "acknowledge", AcknowledgeAlarm(alarm_id=alarm.alarm_id), Alarm)

    async def is_dropped():
        [row] = await notifications_of(bus, "hook", "device_offline")
        return (row.state, row.error) == ("dropped", "the alarm is acknowledged")

    await until(is_dropped)
    receiver.status = 200
    await say(bus, "emergency_stop", "ESP_2", severity="critical", gpio=None)
    await until(has(lambda: receiver.taken, 1))
    assert ["ESP_2" in one["title"] for one in receiver.taken] == [True]


def offline(esp_id, at=1_000_000):
    return applied({}, [(Raise(Key("device_offline", esp_id), "warning", "m", at, esp_id=esp_id), esp_id)])[0]


async def test_of_what_waits_a_channel_gets_the_oldest_and_the_newest_of_each_alarm(make_database):
    first, second, silenced = offline("ESP_1"), offline("ESP_2"), offline("ESP_3")
    silenced = shelved(silenced.alarm, 1_000_000, "ada", 2_000_000, "")
    at = time_of(1_000_000)

    def one(alarm, order):
        key = f"{alarm.alarm_id}-1-warning-hook-{order}"
        return DueNotification(key, "hook", alarm)

    async with open_pool(CommonSettings(database_url=make_database()), "test") as pool, pool.connection() as connection:
        await alarms.note_steps(connection, [first, second, silenced])
        told, again, other, silent = (
            one(first.alarm, 0),
            one(first.alarm, 1),
            one(second.alarm, 0),
            one(silenced.alarm, 0),
        )
        await notifications.add_sent(connection, [told], at)
        for number, each in enumerate((silent, again, other, one(first.alarm, 2)), 1):
            when = at + timedelta(seconds=number)
            await notifications.add(connection, [each], each.key, when, is_summary=False)
        found = await notifications.waiting(connection, at + timedelta(seconds=60), 2)
        assert [(each.bundle, each.tries) for each in found] == [(again.key, 0), (other.key, 0)]
        flags = [(stored.is_superseded, stored.is_told) for each in found for stored in each.notifications]
        assert flags == [(True, True), (False, False)]
        later = await notifications.waiting(connection, time_of(2_000_000), 9)
        assert {each.bundle for each in later} == {silent.key, again.key, other.key, one(first.alarm, 2).key}


async def test_what_an_older_version_gave_up_is_tried_again_while_its_alarm_stands(make_database):
    stands, over = offline("ESP_1"), offline("ESP_2")
    retry = importlib.import_module("kaiser_alarm.migrations.versions.0007_retry_failed").RETRY
    at = time_of(1_000_000)
    async with open_pool(CommonSettings(database_url=make_database()), "test") as pool, pool.connection() as connection:
        await alarms.note_steps(connection, [stands, over])
        await connection.execute("UPDATE alarm.alarms SET state = 'closed' WHERE source = 'ESP_2'")
        keys = [f"{each.alarm.alarm_id}-1-warning-hook-0" for each in (stands, over)]
        for key, each in zip(keys, (stands, over), strict=True):
            await notifications.add(connection, [DueNotification(key, "hook", each.alarm)], key, at, is_summary=False)
        await notifications.end(connection, keys, "failed", at, "no answer")
        await connection.execute(retry)
        cursor = await connection.execute("SELECT key FROM alarm.notifications WHERE state = 'waiting'")
        assert await cursor.fetchall() == [(keys[0],)]
