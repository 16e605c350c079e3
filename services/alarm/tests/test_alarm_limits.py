"""Limits of a sensor in the running service: readings in, rows of alarms, events and messages out."""

import asyncio

import pytest
from alarm_world import FAST, ask, channel, has, say, shown, until
from kaiser_alarm.api.limits import LimitsApi
from kaiser_alarm.domain.board import Board
from kaiser_alarm.domain.life import Raise
from kaiser_alarm.domain.readings import Watch
from kaiser_common.bus.connection import Bus, Outgoing
from kaiser_common.bus.reader import OrderedReader
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.schemas.api.alarms import (
    AlarmKey,
    AlarmWithSteps,
    LimitsBody,
    LimitsKey,
    LimitsOfSensors,
    PutLimits,
    SensorLimits,
)
from kaiser_common.contract.schemas.event import AlarmEvent, SensorDataEvent
from kaiser_common.contract.subjects import EVENTS, event_pack_subject
from kaiser_common.runtime.database import DatabasePool, open_pool
from kaiser_common.runtime.settings import CommonSettings

FLAPS = 100


def reading(esp_id: str, value: float, ts_s: float) -> Outgoing:
    body = SensorDataEvent(
        kaiser_id="god", esp_id=esp_id, gpio=4, sensor_type="ds18b20", ts=round(1000 * ts_s) + 1_000_000,
        value=value, quality="good",
    )  # fmt: skip
    return Outgoing(event_pack_subject(), body.model_dump_json().encode(), f"{esp_id}-{ts_s}")


async def limit(bus: Bus, esp_id: str, **limits: float) -> None:
    key = LimitsKey(esp_id=esp_id, gpio=4, sensor_type="ds18b20")
    await ask(bus, "put_limits", PutLimits(sensor=key, limits=LimitsBody(**limits)), SensorLimits)


async def standing(bus: Bus, mark: str) -> set[str]:
    """The limits that ESP_1 is beyond once all earlier readings are judged: events are read in order."""
    await say(bus, "device_offline", mark)
    await until(lambda: shown(bus, esp_id=mark))
    alarms = await shown(bus, esp_id="ESP_1")
    return {alarm.kind.removeprefix("limit_") for alarm in alarms if alarm.state == "raised"}


async def published(bus: Bus) -> list[AlarmEvent]:
    """All events of alarms of ESP_1, in order."""
    reader = OrderedReader(bus, EVENTS.name, ["event.alarm.*"], start_sequence=1)
    found: list[AlarmEvent] = []
    async for batch in reader:
        found += [AlarmEvent.model_validate_json(delivery.body) for delivery in batch]
        if len(found) >= reader.pending_at_start:
            break
    return [event for event in found if event.esp_id == "ESP_1"]


WALK = [
    (20, 0, set()),
    (31, 10, set()),
    (31, 19, set()),
    (31, 20, {"hi"}),  # beyond for 10 s
    (41, 21, {"hi"}),
    (41, 31, {"hi", "hi_hi"}),
    (38.1, 32, {"hi", "hi_hi"}),  # not back by the hysteresis
    (38, 33, {"hi"}),
    (28.1, 34, {"hi"}),
    (28, 35, set()),
    (9, 40, set()),
    (9, 50, {"lo"}),
    (-1, 51, {"lo"}),
    (-1, 61, {"lo", "lo_lo"}),
    (1.9, 62, {"lo", "lo_lo"}),
    (2, 63, {"lo"}),
    (11.9, 64, {"lo"}),
    (12, 65, set()),
]


async def test_limits_that_are_set_or_removed_at_once_are_all_in_force(make_database):
    watch, changing, ada = Watch(), asyncio.Lock(), Caller(user="ada", role="operator")
    devices = [f"ESP_{number}" for number in range(24)]
    body = b"\n".join(reading(esp_id, 21.5, 1.0).body for esp_id in devices)

    together = asyncio.Barrier(4)

    async def connected(pool: DatabasePool) -> None:
        """Hold a connection until four are open: the pool opens others only while they are waited for."""
        async with pool.connection():
            async with asyncio.timeout(60):
                await together.wait()

    def beyond() -> list[str | None]:
        return [finding.esp_id for finding in watch.findings(body, 1, ()) if isinstance(finding, Raise)]

    async with open_pool(CommonSettings(database_url=make_database(), database_pool_size=8), "test") as pool:
        api = LimitsApi(pool, Board(), watch, changing, lambda: None, lambda: 1)
        keys = [LimitsKey(esp_id=esp_id, gpio=4, sensor_type="ds18b20") for esp_id in devices]
        async with asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(connected(pool))
        async with asyncio.TaskGroup() as tasks:
            for key in keys:
                tasks.create_task(api.put(PutLimits(sensor=key, limits=LimitsBody(hi_hi=0)), ada))
        assert beyond() == devices
        async with asyncio.TaskGroup() as tasks:
            for key in keys[1:]:
                tasks.create_task(api.delete(key, ada))
        assert beyond() == devices[:1]


async def test_a_change_of_limits_that_waits_too_long_for_others_is_refused_and_stores_nothing(make_database):
    watch, changing, ada = Watch(), asyncio.Lock(), Caller(user="ada", role="operator")
    sensor = LimitsKey(esp_id="ESP_1", gpio=4, sensor_type="ds18b20")
    async with open_pool(CommonSettings(database_url=make_database()), "test") as pool, asyncio.timeout(60):
        api = LimitsApi(pool, Board(), watch, changing, lambda: None, lambda: 1, waits_s=0.0)
        before = await api.put(PutLimits(sensor=sensor, limits=LimitsBody(hi=30)), ada)
        async with changing:
            for change in (api.put(PutLimits(sensor=sensor, limits=LimitsBody(hi=20)), ada), api.delete(sensor, ada)):
                with pytest.raises(RpcError, match="other limits are being changed") as refused:
                    await change
                assert (refused.value.problem.status, refused.value.problem.code) == (503, 5402)
            assert await api.read(sensor, ada) == before
        await api.delete(sensor, ada)
        assert (await api.of_sensors(LimitsOfSensors(sensors=[sensor]), ada)).items == []


async def test_each_limit_is_an_alarm_after_its_delay_and_until_its_hysteresis_in_rows_and_events(start, bus):
    start()
    await limit(bus, "ESP_1", hi_hi=40, hi=30, lo=10, lo_lo=0, hysteresis=2, delay_s=10)
    seen = []
    for place, (value, ts_s, _) in enumerate(WALK):
        await bus.publish_batch([reading("ESP_1", value, ts_s)])
        seen.append((value, ts_s, await standing(bus, f"ESP_MARK_{place}")))
    assert seen == WALK
    rows = {alarm.kind: (alarm.severity, alarm.state, alarm.times) for alarm in await shown(bus, esp_id="ESP_1")}
    assert rows == {
        "limit_hi_hi": ("critical", "cleared", 1),
        "limit_hi": ("warning", "cleared", 1),
        "limit_lo": ("warning", "cleared", 1),
        "limit_lo_lo": ("critical", "cleared", 1),
    }

    async def all_published() -> list[AlarmEvent] | None:
        found = await published(bus)
        return found if len(found) >= 8 else None

    events = await until(all_published)
    assert [(event.kind, event.what, event.severity) for event in events] == [
        ("limit_hi", "raised", "warning"),
        ("limit_hi_hi", "raised", "critical"),
        ("limit_hi_hi", "cleared", "critical"),
        ("limit_hi", "cleared", "warning"),
        ("limit_lo", "raised", "warning"),
        ("limit_lo_lo", "raised", "critical"),
        ("limit_lo_lo", "cleared", "critical"),
        ("limit_lo", "cleared", "warning"),
    ]
    assert [event.message for event in events if event.what == "raised"] == [
        "ds18b20 of ESP_1 is 31, over hi 30",
        "ds18b20 of ESP_1 is 41, over hi_hi 40",
        "ds18b20 of ESP_1 is 9, under lo 10",
        "ds18b20 of ESP_1 is -1, under lo_lo 0",
    ]


@pytest.mark.parametrize(("hysteresis", "times"), [(0, FLAPS), (1, 1)])
async def test_a_sensor_that_flaps_at_a_limit_is_one_message_and_hides_no_other_alarm(
    start, bus, receiver, mailbox, hysteresis, times
):
    """Its own higher limit, the same limit of another sensor and another kind of alarm come while it flaps."""
    start(**FAST)
    await channel(bus, "hook", receiver.url)
    await channel(bus, "mail", mailbox.url, severities=["critical"])
    await limit(bus, "ESP_1", hi_hi=40, hi=30, hysteresis=hysteresis)
    await limit(bus, "ESP_2", hi=30)
    expected = ["is 30.5, over hi 30", "is 41, over hi_hi 40", "ESP_2 is 31, over hi 30", "ESP_3: device_offline"]
    for flap in range(FLAPS):
        await bus.publish_batch([reading("ESP_1", 29.5, 2 * flap), reading("ESP_1", 30.5, 2 * flap + 1)])
        if flap == 0:
            await until(has(lambda: receiver.taken, 1))
        elif flap == FLAPS // 2:
            await bus.publish_batch([reading("ESP_1", 41, 2 * flap + 1.5), reading("ESP_2", 31, 1)])
            await say(bus, "device_offline", "ESP_3")
            await until(has(lambda: mailbox.mails, 1))
            await until(has(lambda: receiver.taken, len(expected)))

    async def all_counted() -> bool:
        [alarm] = await shown(bus, kind="limit_hi", esp_id="ESP_1")
        return alarm.times == times and alarm.state == "raised"

    await until(all_counted)
    await say(bus, "device_offline", "ESP_LAST")
    await until(has(lambda: [one for one in receiver.taken if "ESP_LAST" in one["message"]], 1))
    found = [one["message"].partition("\n")[0] for one in receiver.taken]
    assert [sum(text in one for one in found) for text in expected] == [1, 1, 1, 1], found
    assert len(found) == len(expected) + 1
    assert len(mailbox.mails) == 1
    [alarm] = await shown(bus, kind="limit_hi", esp_id="ESP_1")
    steps = (await ask(bus, "read", AlarmKey(alarm_id=alarm.alarm_id), AlarmWithSteps)).steps
    assert len(steps) == 2 * times - 1
