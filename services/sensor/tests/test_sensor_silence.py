"""Silent sensors and asked measurements, with a clock of the test's own on a real bus and database."""

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from kaiser_common.bus.bucket import BucketWriter, read_bucket
from kaiser_common.bus.connection import Outgoing, connect
from kaiser_common.bus.consumer import Consumer
from kaiser_common.bus.declare import apply
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.sensors import (
    LatestQuery,
    MeasurementId,
    MeasureSensor,
    PatchSensor,
    SensorConfig,
    SensorPatch,
)
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.schemas.sensor import SensorResponse
from kaiser_common.contract.subjects import SENSOR_CONFIGS_BUCKET, SENSOR_RESPONSES
from kaiser_common.runtime.clock import utc_now
from kaiser_common.runtime.consume import DeadLetters, take
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.service import Service
from kaiser_common.runtime.settings import CommonSettings
from kaiser_sensor.api.configs import ConfigApi
from kaiser_sensor.api.measurements import MeasureApi, to_measurement
from kaiser_sensor.api.overview import OverviewApi
from kaiser_sensor.api.readings import SensorApi
from kaiser_sensor.consumers.responses import Responses
from kaiser_sensor.jobs.stale import Staleness
from kaiser_sensor.jobs.state_counts import StateCounts
from kaiser_sensor.store import configs as config_store
from kaiser_sensor.store import measurements as measure_store
from kaiser_sensor.store import readings as store
from kaiser_sensor.store.config_mirror import Configs
from moment import moment
from nats.errors import Error as NatsError
from prometheus_client import REGISTRY

START = moment().replace(microsecond=0)
TIMEOUT = timedelta(seconds=30)
ADA = Caller(user="ada", role="operator", request_id="r1")


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Registry:
    """Devices as sensor knows them: all but strangers, and TEST_GONE is offline since START."""

    def offline_since(self, esp_id: str) -> int | None:
        return round(START.timestamp() * 1000) if esp_id == "TEST_GONE" else None

    def get(self, esp_id: str) -> DeviceRecord | None:
        return None if "STRANGER" in esp_id else DeviceRecord(esp_id=esp_id, kaiser_id="god", state="approved")


@pytest.fixture
async def bus(bus_settings):
    async with connect(bus_settings, "test") as bus:
        yield bus


@pytest.fixture
async def pool(make_database):
    async with open_pool(CommonSettings(database_url=make_database()), "test") as pool:
        yield pool


async def sensor_with_reading(pool, esp_id: str, at: datetime) -> None:
    async with pool.connection() as connection:
        await config_store.put(connection, SensorConfig(esp_id=esp_id, gpio=4, sensor_type="ph", interval_s=30))
        row = (at, esp_id, 4, "ph", None, None, 7.0, "pH", "good", "device", "MOCK", "device", "")
        await store.insert(connection, [row], note_rollups=False)


async def events(bus) -> list[dict]:
    count = (await bus.jetstream.stream_info("EVENTS")).state.messages
    return [json.loads((await bus.jetstream.get_msg("EVENTS", seq=seq)).data) for seq in range(1, count + 1)]


async def test_silence_counts_only_while_kaiser_listens(bus, pool):
    clock = Clock()
    stale = Staleness(bus, pool, Registry(), clock)
    await sensor_with_reading(pool, "TEST_A", START - timedelta(days=1))
    await sensor_with_reading(pool, "TEST_STRANGER", START - timedelta(days=1))
    waiting = [Outgoing("esp.sensor.data.god.TEST_B.4", b"{}", f"waiting-{number}") for number in range(1500)]
    await bus.publish_batch(waiting)
    assert await stale.look() == 0, "readings wait in the stream"
    clock.pass_by(1000)
    assert await stale.look() == 0, "they still do"
    await bus.jetstream.purge_stream("SENSORS")
    assert await stale.look() == 0, "it listens from now on"
    clock.pass_by(90)
    assert await stale.look() == 0, "three intervals are not over"
    clock.pass_by(1)
    stale.interrupted()
    assert await stale.look() == 0, "the database was away"
    clock.pass_by(91)
    assert await stale.look() == 1, "of a stranger nothing is told"
    clock.pass_by(91)
    assert await stale.look() == 0, "it is told once"
    told = await events(bus)
    assert [(event["esp_id"], event["quality"], event["value"], event["data_source"]) for event in told] == [
        ("TEST_A", "stale", 7.0, "MOCK")
    ]


async def test_a_sensor_that_nobody_configured_is_silent_by_the_interval_it_had(bus, pool):
    clock = Clock()
    stale = Staleness(bus, pool, Registry(), clock)
    rows = [
        (START - timedelta(seconds=10 * number), "TEST_A", 4, "ph", None, None, 7.0, "pH", "good", "device", "MOCK",
         "device", "")
        for number in range(20)
    ]  # fmt: skip
    async with pool.connection() as connection:
        await store.insert(connection, rows, note_rollups=False)
        off = SensorConfig(esp_id="TEST_B", gpio=4, sensor_type="ph", interval_s=1, active=False)
        await config_store.put(connection, off)
        await store.insert(connection, [(rows[0][0], "TEST_B", *rows[0][2:])], note_rollups=False)
    assert await stale.look() == 0
    clock.pass_by(30)
    assert await stale.look() == 0, "three intervals are not over"
    clock.pass_by(0.5)
    assert await stale.look() == 1, "one that is configured as inactive is not watched"
    [event] = await events(bus)
    assert (event["esp_id"], event["quality"], event["state"]) == ("TEST_A", "stale", "silent")
    assert event["known_until"] == round((START + timedelta(seconds=30)).timestamp() * 1000)
    api = SensorApi(pool, str.lower, None, clock, {"TEST_B": round(START.timestamp() * 1000)}.get)
    page = await api.latest(LatestQuery(), ADA)
    assert [(one.esp_id, one.interval_s) for one in page.items] == [("TEST_A", 10.0), ("TEST_B", 1.0)]
    assert (page.items[1].state, page.items[1].known_until) == ("offline", round(START.timestamp() * 1000))


async def test_a_sensor_configured_for_each_hour_is_not_silent_by_the_pace_at_which_it_was_measured_by_hand(bus, pool):
    clock = Clock()
    stale = Staleness(bus, pool, Registry(), clock)
    of_all = (4, "ph", None, None, 7.0, "pH", "good", "device", "MOCK", "device", "")
    rows = [(START - timedelta(seconds=10 * number), "TEST_A", *of_all) for number in range(20)]
    async with pool.connection() as connection:
        await config_store.put(connection, SensorConfig(esp_id="TEST_A", gpio=4, sensor_type="ph", interval_s=3600))
        await store.insert(connection, rows, note_rollups=False)
    assert await stale.look() == 0
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT interval_s FROM sensor.intervals")
        assert await cursor.fetchall() == [(10.0,)], "it was learned"
    clock.pass_by(3 * 3600)
    assert await stale.look() == 0, "three hours are not over"
    clock.pass_by(1)
    assert await stale.look() == 1


async def test_a_silent_sensor_of_an_offline_device_is_offline_in_its_event(bus, pool):
    clock = Clock()
    stale = Staleness(bus, pool, Registry(), clock)
    for esp_id in ("TEST_GONE", "TEST_HERE"):
        await sensor_with_reading(pool, esp_id, START - timedelta(seconds=40))
    await stale.look()
    clock.pass_by(91)
    assert await stale.look() == 2
    told = {event["esp_id"]: (event["state"], event["known_until"]) for event in await events(bus)}
    at_ms = round(START.timestamp() * 1000)
    assert told == {"TEST_GONE": ("offline", at_ms), "TEST_HERE": ("silent", at_ms + 50_000)}


async def test_an_inactive_sensor_and_one_of_a_removed_device_are_not_watched(pool):
    for esp_id in ("TEST_A", "TEST_OFF", "TEST_STRANGER"):
        await sensor_with_reading(pool, esp_id, utc_now() - timedelta(days=1))
    await set_active(pool, "TEST_OFF", active=False)
    registry = Registry()

    def is_registered(esp_id: str) -> bool:
        return registry.get(esp_id) is not None

    latest = await SensorApi(pool, str.lower, None, utc_now, is_registered=is_registered).latest(LatestQuery(), ADA)
    overview = await OverviewApi(pool, registry.offline_since, utc_now, is_registered).overview(Nothing(), ADA)
    for items in (latest.items, overview.items):
        assert [(one.esp_id, one.state, one.watched) for one in items] == [
            ("TEST_A", "silent", True),
            ("TEST_OFF", "silent", False),
            ("TEST_STRANGER", "silent", False),
        ]


async def test_a_silent_sensor_that_is_made_inactive_is_left_and_reported_again_once_it_is_active(bus, pool):
    clock = Clock()
    stale = Staleness(bus, pool, Registry(), clock)
    await sensor_with_reading(pool, "TEST_A", START - timedelta(days=1))
    await stale.look()
    clock.pass_by(91)
    assert await stale.look() == 1
    await set_active(pool, "TEST_A", active=False)
    assert [await stale.look(), await stale.look()] == [0, 0]
    clock.pass_by(1)
    await set_active(pool, "TEST_A", active=True)
    assert [await stale.look(), await stale.look()] == [1, 0]
    told = await events(bus)
    assert [event.get("event") or event["quality"] for event in told] == ["stale", "sensor_unwatched", "stale"]
    assert (told[1]["esp_id"], told[1]["details"]["source"]) == ("TEST_A", "TEST_A/4/ph")


async def set_active(pool, esp_id: str, *, active: bool) -> None:
    async with pool.connection() as connection:
        config = SensorConfig(esp_id=esp_id, gpio=4, sensor_type="ph", interval_s=30, active=active)
        await config_store.put(connection, config)


def counted(state: str) -> float | None:
    return REGISTRY.get_sample_value("kaiser_sensor_sensors", {"state": state})


async def test_sensors_are_counted_by_whether_their_value_is_known(pool):
    clock = Clock()
    gone = {"TEST_D": round(START.timestamp() * 1000)}
    counts = StateCounts(pool, gone.get, clock)
    await sensor_with_reading(pool, "TEST_A", START)
    await sensor_with_reading(pool, "TEST_B", START + timedelta(seconds=60))
    await sensor_with_reading(pool, "TEST_C", START - timedelta(days=1))
    await sensor_with_reading(pool, "TEST_D", START)
    clock.pass_by(90)
    await counts.count()
    assert [counted(state) for state in ("known", "silent", "offline")] == [2, 1, 1]
    clock.pass_by(1)
    gone.clear()
    await counts.count()
    assert [counted(state) for state in ("known", "silent", "offline")] == [1, 3, 0]


async def test_another_process_does_not_tell_again_what_was_told(bus, pool):
    await sensor_with_reading(pool, "TEST_A", START - timedelta(days=1))
    told = []
    for _ in range(2):  # as after a restart
        clock = Clock()
        stale = Staleness(bus, pool, Registry(), clock)
        told.append(await stale.look())
        clock.pass_by(91)
        told.append(await stale.look())
    assert told == [0, 1, 0, 0]
    assert len(await events(bus)) == 1


@pytest.mark.parametrize(
    ("answered_after_s", "success", "now_after_s", "state"),
    [
        (None, None, 30, "pending"),
        (None, None, 30.1, "timeout"),
        (1, True, 2, "done"),
        (1, False, 2, "failed"),
        (600, True, 601, "done"),
    ],
)
def test_the_state_of_a_measurement_follows_from_its_times(answered_after_s, success, now_after_s, state):
    answered_at = None if answered_after_s is None else START + timedelta(seconds=answered_after_s)
    asked = ("id", "TEST_A", 4, START, answered_at, success, None, "")
    assert to_measurement(asked, START + timedelta(seconds=now_after_s), TIMEOUT).state == state


def response(request_id: str, esp_id: str = "TEST_A", **fields) -> bytes:
    said = {"request_id": request_id, "gpio": 4, "command": "measure", "success": False, "message": "busy", **fields}
    return SensorResponse(kaiser_id="god", esp_id=esp_id, ts=1, received_at=2, **said).model_dump_json().encode()


async def test_an_answer_counts_once_and_for_its_own_device_only(bus, pool):
    async with pool.connection() as connection:
        for request_id in ("one", "two"):
            await measure_store.ask(connection, request_id, "TEST_A", 4, "ada", START)
    said = [
        response("one"),
        response("one", success=True),
        response("two", "TEST_B"),
        response("never asked"),
        b"not an answer",
    ]
    await bus.publish_batch(
        [Outgoing("esp.sensor.response.god.TEST_A.4", body, f"said-{number}") for number, body in enumerate(said)]
    )
    responses = Responses(bus, pool, Clock())
    async with Consumer(bus, SENSOR_RESPONSES).open() as consumer:
        taken, unreadable = 0, []
        async for batch in consumer:
            unreadable += await responses.on_responses(batch)
            await consumer.ack(batch)
            taken += len(batch)
            if taken == len(said):
                break
    async with pool.connection() as connection:
        one, two = [await measure_store.read(connection, request_id) for request_id in ("one", "two")]
    assert one[4:] == (START, False, "busy", "")
    assert two[4:] == (None, None, None, "")
    [event] = await events(bus)
    assert (event["event"], event["severity"], event["details"]["request_id"]) == (
        "sensor_measure_failed",
        "warning",
        "one",
    )
    assert [delivery.body for delivery, _ in unreadable] == [b"not an answer"]


async def test_configurations_are_in_force_again_after_their_bucket_was_deleted_and_declared_anew(bus, pool):
    configs = Configs(bus, {})
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(configs.keep())
        await configs.ready(60.0)
        api = ConfigApi(pool, await BucketWriter.open(bus, SENSOR_CONFIGS_BUCKET), configs)
        await api.put(SensorConfig(esp_id="TEST_A", gpio=4, sensor_type="ph"), ADA)
        await api.rebuild()
        await bus.jetstream.delete_key_value(SENSOR_CONFIGS_BUCKET.name)
        with pytest.raises(NatsError):
            await api.mend()
        await apply(bus)  # as the migrate step does
        await api.mend()
        [kept] = (await read_bucket(bus, SENSOR_CONFIGS_BUCKET)).values()
        assert json.loads(kept.value)["sensor_type"] == "ph"
        following.cancel()


async def test_a_patch_changes_what_it_names_and_an_unconfigured_sensor_goes_on_as_it_did(bus, pool):
    configs = Configs(bus, {})
    api = ConfigApi(pool, await BucketWriter.open(bus, SENSOR_CONFIGS_BUCKET), configs)
    async with pool.connection() as connection:
        await connection.execute(
            """
            INSERT INTO sensor.data (time, esp_id, gpio, sensor_type, address, value, quality, processing_mode,
                                     data_source, clock)
            SELECT %s::timestamptz - number * interval '5 s', 'TEST_A', 4, 'ph', '', 7, 'good', 'device',
                   'PRODUCTION', 'device'
            FROM generate_series(1, 10) AS number
            """,
            [START],
        )
    sensor = {"esp_id": "TEST_A", "gpio": 4, "sensor_type": "ph"}

    async def patch(**settings: Any) -> SensorConfig:
        return await api.patch(PatchSensor(**sensor, patch=SensorPatch(**settings)), ADA)

    named = await patch(name="Tank 1")
    assert (named.name, named.interval_s, named.raw_mode, named.active) == ("Tank 1", 5, False, True)
    slow = await patch(interval_s=60, subzone_id="a")
    assert (slow.name, slow.interval_s, slow.raw_mode) == ("Tank 1", 60, False)
    nameless = await patch(name=None)
    assert (nameless.name, nameless.interval_s, nameless.subzone_id) == (None, 60, "a")
    [kept] = (await read_bucket(bus, SENSOR_CONFIGS_BUCKET)).values()
    assert json.loads(kept.value)["interval_s"] == 60
    other = await api.patch(PatchSensor(esp_id="TEST_B", gpio=4, sensor_type="ph", patch=SensorPatch(name="New")), ADA)
    assert (other.interval_s, other.raw_mode) == (30, True)


class ReadOnly:
    """The pool with each transaction read-only while `on`, as on a standby server: PostgreSQL raises 25006."""

    def __init__(self, pool) -> None:
        self._pool = pool
        self.on = True
        self.asked = 0

    @asynccontextmanager
    async def connection(self):
        self.asked += 1
        async with self._pool.connection() as connection:
            await connection.set_read_only(self.on)
            try:
                yield connection
            finally:
                await connection.rollback() if self.on else await connection.commit()
                await connection.set_read_only(None)


async def test_a_read_only_database_holds_an_answer_up_and_ends_nothing(bus, pool):
    async with pool.connection() as connection:
        await measure_store.ask(connection, "one", "TEST_A", 4, "ada", START)
    await bus.publish_batch([Outgoing("esp.sensor.response.god.TEST_A.4", response("one"), "said")])
    database = ReadOnly(pool)
    async with Consumer(bus, SENSOR_RESPONSES).open() as consumer, asyncio.TaskGroup() as tasks:
        letters = DeadLetters(bus, Service("test"), CommonSettings())
        loop = tasks.create_task(take(consumer, Responses(bus, database, Clock()).on_responses, letters))
        async with asyncio.timeout(60):
            while database.asked < 4:  # more deliveries than a bug is given  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            assert not loop.done()
            database.on = False
            while True:
                async with pool.connection() as connection:
                    noted = await measure_store.read(connection, "one")
                if noted[4] is not None:
                    break
                await asyncio.sleep(0.02)
        consumer.stop()
    assert noted[4:] == (START, False, "busy", "")
    assert (await bus.jetstream.stream_info("REJECTED")).state.messages == 0


class Fleet:
    """Devices by id, online and approved."""

    def __init__(self, **generations):
        self._devices = {
            esp_id: DeviceRecord(esp_id=esp_id, kaiser_id="god", state="approved", online=True, generation=generation)
            for esp_id, generation in generations.items()
        }

    def get(self, esp_id: str) -> DeviceRecord | None:
        return self._devices.get(esp_id)


async def test_firmware_without_sensor_commands_is_sent_none(bus, pool):
    fleet = Fleet(ESP_A="A", ESP_B="B", MOCK_A="A", MOCK_B="B")
    api = MeasureApi(bus, pool, fleet, TIMEOUT, Clock())
    for esp_id in ("ESP_A", "MOCK_A"):
        with pytest.raises(RpcError) as refused:
            await api.measure(MeasureSensor(esp_id=esp_id, gpio=4), Caller(user="ada", role="operator"))
        assert (refused.value.problem.status, refused.value.problem.code) == (422, 5204)
    assert (await bus.jetstream.stream_info("OUTBOX")).state.messages == 0
    address = "28AA0102030405C1"
    for esp_id in ("ESP_B", "MOCK_B"):
        asked = await api.measure(
            MeasureSensor(esp_id=esp_id, gpio=4, address=address.lower()), Caller(user="ada", role="operator")
        )
        kept = await api.read(MeasurementId(request_id=asked.request_id), Caller(user="ada", role="viewer"))
        assert (kept.state, kept.address) == ("pending", address)
    assert (await bus.jetstream.stream_info("OUTBOX")).state.messages == 2
    outer = json.loads((await bus.jetstream.get_last_msg("OUTBOX", "mqtt.out.god.MOCK_B.sensor")).data)
    assert outer["topic"] == "kaiser/god/esp/MOCK_B/sensor/4/command"
    assert json.loads(outer["payload"]) == {
        "command": "measure",
        "request_id": asked.request_id,
        "timeout_ms": 30_000,
    }
