"""Conditions that began or ended while nobody read the events: taken from what their owners report."""

import asyncio
from contextlib import asynccontextmanager

import psycopg
import pytest
from alarm_world import ask, shown, until
from alarm_world import say as say_event
from answering import Method, serve
from hypothesis import given, settings
from hypothesis import strategies as st
from kaiser_alarm.consumers.events import EventReading
from kaiser_alarm.consumers.owners import OwnerReading
from kaiser_alarm.domain import reconcile
from kaiser_alarm.domain.board import Board
from kaiser_alarm.domain.life import Clear, Key, Raise, applied, is_active
from kaiser_alarm.domain.limits import Sensor
from kaiser_alarm.domain.readings import Watch
from kaiser_alarm.jobs.registry import RegistryLook
from kaiser_common.bus.bucket import BucketWriter
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.actuators import (
    CommandStatus,
    Emergencies,
    EmergenciesQuery,
    Emergency,
    FailedCommands,
)
from kaiser_common.contract.schemas.api.alarms import (
    LimitsBody,
    LimitsKey,
    LimitsPage,
    LimitsQuery,
    PutLimits,
    SensorLimits,
)
from kaiser_common.contract.schemas.api.devices import Device, DevicesPage, DevicesQuery
from kaiser_common.contract.schemas.api.sensors import (
    ConfigsPage,
    ConfigsQuery,
    LatestQuery,
    ReadingItem,
    ReadingsPage,
    SensorConfig,
    ThresholdsModel,
)
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.schemas.event import SensorDataEvent
from kaiser_common.contract.subjects import DEVICES_BUCKET, EVENTS
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.settings import CommonSettings


def device(esp_id, online, state="approved", last_seen=1):
    return Device(
        esp_id=esp_id,
        kaiser_id="god",
        hardware_type="ESP32_WROOM",
        state=state,
        online=online,
        last_seen=last_seen,
        created_at=1,
    )


def stop(esp_id=None, gpio=None):
    return Emergency(emergency_id="1", esp_id=esp_id, gpio=gpio, reason="leak", raised_by="ada", raised_at=1)


def newest(esp_id, value, state="known", quality="good", sensor_type="ds18b20", **fields):
    return ReadingItem(
        ts=1000,
        esp_id=esp_id,
        gpio=4,
        sensor_type=sensor_type,
        value=value,
        quality=quality,
        data_source="real",
        state=state,
        **fields,
    )


def named(findings):
    return [(type(one).__name__, *one.key) for one in findings]


def open_of(*keys):
    return {key: applied({}, [(Raise(key, "warning", "m", 1), str(key))])[0].alarm for key in keys}


def test_devices_that_are_offline_raise_and_all_others_clear():
    found = reconcile.of_devices(
        [
            device("ESP_1", True),
            device("ESP_2", False),
            device("ESP_3", False, state="pending"),
            device("ESP_4", False, last_seen=None),
        ],
        open_of(Key("device_offline", "ESP_1"), Key("device_offline", "ESP_GONE"), Key("config_failed", "ESP_1")),
        7,
    )
    assert named(found) == [
        ("Raise", "device_offline", "ESP_2"),
        ("Clear", "device_offline", "ESP_1"),
        ("Clear", "device_offline", "ESP_GONE"),
    ]


def test_stops_in_force_raise_by_their_target_and_what_is_not_in_force_clears():
    known = open_of(Key("stop_in_force", "ESP_9"), Key("stop_in_force", "all"))
    found = list(reconcile.of_stops([stop(), stop("ESP_1"), stop("ESP_1", 25)], known, 7))
    assert named(found) == [
        ("Raise", "stop_in_force", "all"),
        ("Raise", "stop_in_force", "ESP_1"),
        ("Raise", "stop_in_force", "ESP_1/25"),
        ("Clear", "stop_in_force", "ESP_9"),
    ]
    assert (found[0].severity, found[0].message) == ("critical", "ada stopped everything: leak")


def test_sensors_are_judged_by_their_newest_reading_and_those_of_offline_devices_by_their_silence_alone():
    watch = Watch()
    sensor = LimitsKey(esp_id="ESP_1", gpio=4, sensor_type="ds18b20")
    limits = SensorLimits(sensor=sensor, limits=LimitsBody(hi=30), changed_at=1, changed_by="ada")
    watch.set_limits({Sensor("ESP_1", 4, "ds18b20"): limits})
    readings = [newest("ESP_1", 31.0), newest("ESP_2", 20.0, "silent"), newest("ESP_3", None, "offline", "error")]
    known = open_of(
        Key("sensor_silent", "ESP_1/4/ds18b20"), Key("sensor_silent", "ESP_3/4/ds18b20"), Key("limit_lo", "ESP_8/4/x")
    )
    found = list(reconcile.of_sensors(readings, watch, known, 7))
    assert named(found) == [
        ("Clear", "sensor_silent", "ESP_1/4/ds18b20"),
        ("Clear", "sensor_fault", "ESP_1/4/ds18b20"),
        ("Raise", "limit_hi", "ESP_1/4/ds18b20"),
        ("Raise", "sensor_silent", "ESP_2/4/ds18b20"),
        ("Clear", "limit_lo", "ESP_8/4/x"),
    ]
    assert {one.at for one in found} == {7}


@pytest.mark.parametrize("state", ["silent", "offline"])
def test_a_sensor_that_is_silent_is_the_same_alarm_by_its_event_and_by_what_its_owner_says(state):
    """Whether or not its device is offline too: the event comes once for each silence, so a sensor that does not come
    back with its device would have no alarm otherwise."""
    event = SensorDataEvent(
        kaiser_id="god", esp_id="ESP_1", gpio=4, sensor_type="ds18b20", ts=1000, value=20.0, quality="stale",
        state=state, known_until=900, clock="server", data_source="PRODUCTION",
    )  # fmt: skip
    by_event = list(Watch().findings(event.model_dump_json(exclude_none=True).encode(), 7000, []))
    reading = newest("ESP_1", 20.0, state, received_at=900, interval_s=2.0)
    assert list(reconcile.of_sensors([reading], Watch(), {}, 7000)) == by_event
    assert named(by_event) == [("Raise", "sensor_silent", "ESP_1/4/ds18b20")]


@pytest.mark.parametrize(
    ("fields", "is_silent"),
    [
        ({"received_at": 5000, "interval_s": 20.0}, True),
        ({"received_at": 5001, "interval_s": 20.0}, False),  # three intervals are not over: its event will come
        ({"interval_s": 21.3}, True),  # by the time of the reading, 1000, where that of its receipt is not known
        ({"interval_s": 21.4}, False),
        ({"received_at": 5000}, False),
    ],
)
def test_of_an_offline_device_a_sensor_is_silent_after_three_intervals(fields, is_silent):
    reading = newest("ESP_1", 99.0, "offline", "bad", **fields)
    standing = open_of(Key("sensor_fault", "ESP_1/4/ds18b20"))
    found = named(reconcile.of_sensors([reading], Watch(), standing, 65_001))
    assert found == ([("Raise", "sensor_silent", "ESP_1/4/ds18b20")] if is_silent else [])


@pytest.mark.parametrize("state", ["silent", "offline"])
def test_the_silence_of_a_sensor_that_is_not_watched_is_no_alarm(state):
    """An earlier alarm of the sensor is cleared."""
    reading = newest("ESP_1", 20.0, state, received_at=900, interval_s=2.0, watched=False)
    found = named(reconcile.of_sensors([reading], Watch(), {}, 7000))
    assert found == [("Clear", "sensor_silent", "ESP_1/4/ds18b20")]


def failed(esp_id, gpio, **fields):
    return CommandStatus(
        command_id="c1", esp_id=esp_id, gpio=gpio, command="ON", value=1.0, duration_s=0, issued_by="ada",
        state="failed", queued_at=1, expires_at=2, **fields,
    )  # fmt: skip


def test_actuators_whose_last_command_failed_raise_and_all_others_clear():
    known = open_of(Key("command_failed", "ESP_1/25"), Key("command_failed", "ESP_2/25"), Key("config_failed", "ESP_9"))
    answer = FailedCommands(items=[failed("ESP_1", 25), failed("ESP_1", 26, message="jammed")])
    found = list(reconcile.of_commands(answer, known, 7))
    assert named(found) == [
        ("Raise", "command_failed", "ESP_1/25"),
        ("Raise", "command_failed", "ESP_1/26"),
        ("Clear", "command_failed", "ESP_2/25"),
    ]
    assert found[1].message == "ON on gpio 26 of ESP_1 failed: jammed"
    cut = reconcile.of_commands(answer.model_copy(update={"complete": False}), known, 7)
    assert [type(one) for one in cut] == [Raise, Raise]


def test_the_alarms_of_a_removed_device_clear():
    keys = [Key(kind, esp_id) for kind in ("device_offline", "stop_in_force") for esp_id in ("ESP_1", "ESP_GONE")]
    alarms = [applied({}, [(Raise(key, "warning", "m", 1, esp_id=key.source), "x")])[0].alarm for key in keys]
    silent = applied({}, [(Raise(Key("sensor_silent", "ESP_GONE/4/ph"), "warning", "m", 1, esp_id="ESP_GONE"), "x")])
    alarms.append(silent[0].alarm)
    assert list(reconcile.of_removed(alarms, lambda esp_id: esp_id == "ESP_GONE", 7)) == [
        Clear(Key("device_offline", "ESP_GONE"), 7),
        Clear(Key("sensor_silent", "ESP_GONE/4/ph"), 7),
    ]


def record(esp_id, **fields):
    return DeviceRecord(esp_id=esp_id, kaiser_id="god", **{"state": "approved", **fields})


def test_the_registry_says_which_devices_are_offline():
    devices = [
        record("ESP_1", online=True),
        record("ESP_2", offline_since=5),
        record("ESP_3", offline_since=5, state="rejected"),
        record("ESP_4"),  # it was never heard
        record("ESP_5", offline_since=5),
        record("ESP_6", online=True),
    ]
    known = open_of(Key("device_offline", "ESP_1"), Key("device_offline", "ESP_5"))
    assert named(reconcile.of_registry(devices, known, 7)) == [
        ("Clear", "device_offline", "ESP_1"),
        ("Raise", "device_offline", "ESP_2"),
    ]


async def test_an_alarm_that_events_left_wrong_is_put_right_by_the_registry_after_two_minutes(make_database):
    devices = {"ESP_1": record("ESP_1", online=True), "ESP_2": record("ESP_2", offline_since=5)}
    clock, board = [0], Board()
    async with open_pool(CommonSettings(database_url=make_database()), "test") as pool:
        events = EventReading(pool, None, board, Watch(), lambda: None)
        looking = RegistryLook(events, board, devices, lambda esp_id: False, lambda: clock[0])
        async with events.in_turn:
            await events.find([(Raise(Key("device_offline", "ESP_1"), "warning", "m", 1, esp_id="ESP_1"), "x")])
        for at in (1_000, 100_000, 120_999):
            clock[0] = at
            await looking.look()
            assert {key.source for key, alarm in board.alarms.items() if is_active(alarm)} == {"ESP_1"}
        clock[0] = 121_000
        await looking.look()
        assert {key.source for key, alarm in board.alarms.items() if is_active(alarm)} == {"ESP_2"}


async def test_an_alarm_of_a_device_clears_when_the_device_is_removed(start, bus):
    registry = await BucketWriter.open(bus, DEVICES_BUCKET)
    for esp_id in ("ESP_1", "ESP_2"):
        record = DeviceRecord(esp_id=esp_id, kaiser_id="god", state="approved")
        await registry.put(esp_id, record.model_dump_json().encode())
    start()
    for esp_id in ("ESP_1", "ESP_2", "ESP_NEVER"):
        await say_event(bus, "device_offline", esp_id)

    async def are(count):
        return len([one for one in await shown(bus, state="raised") if one.kind == "device_offline"]) == count

    await until(lambda: are(3))
    await registry.delete("ESP_1")
    await until(lambda: are(2))
    [cleared] = await shown(bus, state="cleared")
    assert cleared.source == "ESP_1"


_DEVICES = ["ESP_1", "ESP_2", "ESP_3"]


@settings(max_examples=150, derandomize=True, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("change"), st.sampled_from(_DEVICES)),
            st.tuples(st.just("read"), st.integers(1, 4)),
            st.tuples(st.just("lose"), st.just(0)),
            st.tuples(st.just("ask"), st.just(0)),
        ),
        max_size=40,
    )
)
def test_whatever_is_lost_and_whenever_owners_are_asked_the_alarms_end_as_the_devices_are(steps):
    """Events that are lost leave the owner owed; events are read in order, so some are older than the answer."""
    offline, events, read, table, owed = set(), [], 0, {}, False

    def take(findings):
        for step in applied(table, findings):
            table[Key(step.alarm.kind, step.alarm.source)] = step.alarm

    def ask():
        states = [device(each, each not in offline) for each in _DEVICES]
        take([(finding, f"now-{len(events)}-{read}") for finding in reconcile.of_devices(states, dict(table), 5)])

    for what, argument in steps:
        if what == "change":
            key = Key("device_offline", argument)
            began = argument not in offline
            offline ^= {argument}
            events.append(Raise(key, "warning", "m", 3) if began else Clear(key, 3))
        elif what == "read":
            taken = events[read : read + argument]
            take([(finding, str(read + place)) for place, finding in enumerate(taken)])
            read += len(taken)
        elif what == "lose":
            owed = owed or read < len(events)
            read = len(events)
        elif owed:
            ask()
            owed = False
    if owed:
        ask()
    take([(finding, str(read + place)) for place, finding in enumerate(events[read:])])
    assert {key.source for key, alarm in table.items() if is_active(alarm)} == offline


class Owners:
    """The doubles of health, sensor and actuator, and what they report."""

    def __init__(self):
        self.devices: list[Device] = []
        self.stops: list[Emergency] = []
        self.readings: list[ReadingItem] = []
        self.failed: list[CommandStatus] = []
        self.configs: list[SensorConfig] = []
        self.on_ask = lambda: None

    @asynccontextmanager
    async def answering(self, bus):
        async def devices(_, __):
            self.on_ask()
            return DevicesPage(items=self.devices)

        async def stops(_, __):
            return Emergencies(items=self.stops)

        async def configs(_, __):
            return ConfigsPage(items=self.configs)

        async def commands(_, __):
            self.on_ask()
            return FailedCommands(items=self.failed)

        async def readings(_, __):
            return ReadingsPage(items=self.readings)

        async with (
            serve(bus, "health", {"list": Method(DevicesQuery, devices)}),
            serve(
                bus,
                "actuator",
                {"emergencies": Method(EmergenciesQuery, stops), "failed_commands": Method(Nothing, commands)},
            ),
            serve(bus, "sensor", {"latest": Method(LatestQuery, readings), "configs": Method(ConfigsQuery, configs)}),
        ):
            yield


def owed(database):
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT owed FROM alarm.position").fetchone()
    return None if row is None else row[0]


async def settled(database):
    return owed(database) == ""


async def standing(bus):
    return {(one.kind, one.source) for one in await shown(bus, limit=1000) if one.state in ("raised", "acknowledged")}


async def test_what_began_and_ended_while_it_was_away_and_events_were_purged_stands_right(start, bus, database):
    owners = Owners()
    async with owners.answering(bus):
        process = start()
        await until(lambda: settled(database))
        await say_event(bus, "device_offline", "ESP_1")
        await say_event(bus, "emergency_stop", "ESP_X", severity="critical", gpio=None)

        async def both():
            return await standing(bus) == {("device_offline", "ESP_1"), ("stop_in_force", "ESP_X")}

        await until(both)
        process.terminate()
        process.wait(60)
        for event in ("device_online", "device_offline", "device_online"):
            await say_event(bus, event, "ESP_1")
        await bus.jetstream.purge_stream(EVENTS.name)
        owners.devices = [device("ESP_1", True), device("ESP_2", False)]
        owners.stops = [stop()]
        owners.failed = [failed("ESP_2", 25)]
        owners.readings = [newest("ESP_1", 20.0, "silent"), newest("ESP_1", None, quality="error", sensor_type="ph")]
        start()
        expected = {
            ("device_offline", "ESP_2"),
            ("command_failed", "ESP_2/25"),
            ("stop_in_force", "all"),
            ("sensor_silent", "ESP_1/4/ds18b20"),
            ("sensor_fault", "ESP_1/4/ph"),
        }

        async def right():
            return await standing(bus) == expected

        await until(right)
        cleared = {(one.kind, one.source) for one in await shown(bus, state="cleared")}
        assert cleared == {("device_offline", "ESP_1"), ("stop_in_force", "ESP_X")}
        await until(lambda: settled(database))


async def test_owners_are_asked_once_the_events_that_were_kept_are_read(bus, make_database):
    """A device came back and went again while nobody read. Its owner, asked first, would raise what `device_online`
    then ends and `device_offline` raises again."""
    owners, board, watch, database = Owners(), Board(), Watch(), make_database()
    owners.devices = [device("ESP_1", False)]
    for event in ("device_online", "device_offline"):
        await say_event(bus, event, "ESP_1")
    when_asked = []
    owners.on_ask = lambda: when_asked.append(list(board.alarms))
    async with (
        open_pool(CommonSettings(database_url=database), "test") as pool,
        owners.answering(bus),
        asyncio.TaskGroup() as tasks,
    ):
        events = EventReading(pool, bus, board, watch, lambda: None)
        running = [tasks.create_task(each.run()) for each in (events, OwnerReading(bus, events, board, watch))]
        await until(lambda: settled(database))
        for task in running:
            task.cancel()
    assert when_asked == [[Key("device_offline", "ESP_1")]] * 2
    with psycopg.connect(database) as connection:
        steps = connection.execute("SELECT what FROM alarm.steps ORDER BY number").fetchall()
    assert steps == [("raised",)]


async def test_owners_that_do_not_answer_yet_are_asked_until_they_do_after_a_kill_too(start, bus, database):
    process = start()
    await until(lambda: _owes_all(database))
    process.kill()
    process.wait(60)
    start()
    await say_event(bus, "device_offline", "ESP_7")
    await until(lambda: shown(bus, kind="device_offline"))
    assert owed(database) == "commands devices sensors stops thresholds"
    owners = Owners()
    owners.devices, owners.stops = [device("ESP_7", True)], [stop("ESP_5")]
    async with owners.answering(bus):

        async def right():
            return await standing(bus) == {("stop_in_force", "ESP_5")}

        await until(right)
        await until(lambda: settled(database))


async def test_thresholds_of_before_become_limits_once_and_replace_none(start, bus, database):
    owners = Owners()
    owners.configs = [
        SensorConfig(esp_id="ESP_1", gpio=4, sensor_type="ph", thresholds=ThresholdsModel(**given))
        for given in ({"warning_low": 5.0, "critical_high": 9.0},)
    ]
    owners.configs.append(SensorConfig(esp_id="ESP_2", gpio=4, sensor_type="ph", thresholds=ThresholdsModel()))
    owners.configs.append(
        SensorConfig(esp_id="ESP_3", gpio=4, sensor_type="ph", thresholds=ThresholdsModel(warning_high=1e300))
    )
    owners.configs.append(
        SensorConfig(esp_id="ESP_4", gpio=4, sensor_type="ph", thresholds=ThresholdsModel(warning_high=8.0))
    )
    kept = PutLimits(sensor=LimitsKey(esp_id="ESP_4", gpio=4, sensor_type="ph"), limits=LimitsBody(hi=7.0))
    process = start()
    await ask(bus, "put_limits", kept, SensorLimits)
    async with owners.answering(bus):
        await until(lambda: settled(database))
        found = (await ask(bus, "limits", LimitsQuery(), LimitsPage)).items
        assert [(one.sensor.esp_id, one.limits.hi_hi, one.limits.hi, one.limits.lo) for one in found] == [
            ("ESP_1", 9.0, None, 5.0),
            ("ESP_4", None, 7.0, None),
        ]
        await ask(bus, "delete_limits", found[0].sensor, Nothing)
        process.terminate()
        process.wait(60)
        await bus.jetstream.purge_stream(EVENTS.name)
        await say_event(bus, "device_offline", "ESP_7")
        await bus.jetstream.purge_stream(EVENTS.name)
        start()
        await until(lambda: settled(database))
        found = (await ask(bus, "limits", LimitsQuery(), LimitsPage)).items
        assert [one.sensor.esp_id for one in found] == ["ESP_4"], "what was removed does not come back"


async def _owes_all(database):
    return owed(database) == "commands devices sensors stops thresholds"
