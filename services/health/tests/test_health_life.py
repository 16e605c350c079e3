"""A device's life on a real NATS and PostgreSQL, with a fake clock."""

import asyncio
import json
import resource
import time
from datetime import UTC, datetime, timedelta

import nats
import psycopg
import pytest
from consuming import stored
from kaiser_common.bus.connection import BusUnavailable, connect
from kaiser_common.bus.declare import apply
from kaiser_common.bus.mirror import Mirror
from kaiser_common.bus.pull import Delivery
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.schemas.api.devices import (
    ApproveDevice,
    AuditQuery,
    ConfigRequest,
    DeviceCommand,
    DeviceId,
    HealthQuery,
    PushCommand,
    PushConfig,
    PushZone,
    RegisterDevice,
    ZoneRequest,
)
from kaiser_common.contract.schemas.device import DeviceRecord, SensorItem
from kaiser_common.contract.subjects import DEVICES_BUCKET
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.settings import CommonSettings
from kaiser_health.api.pushes import DeviceApi
from kaiser_health.api.registry import DeviceRegistryApi
from kaiser_health.consumers.devices import DeviceMessages
from kaiser_health.jobs.retention import drop_old
from kaiser_health.jobs.sweep import LateSweep
from kaiser_health.settings import HealthSettings
from kaiser_health.store.bucket import DevicesBucket
from nats.js.kv import KeyValue

START = datetime(2026, 1, 1, tzinfo=UTC)
ADA = Caller(user="ada", role="operator", request_id="r1")


class Life:
    """The service's parts on real servers, and a hand on its clock."""

    def __init__(self, pool, bus, bucket, settings) -> None:
        self.now = START
        self.bus = bus
        self.messages = DeviceMessages(pool, bus, bucket, settings, lambda: self.now)
        self.late = LateSweep(pool, bus, bucket, settings, lambda: self.now)
        self.api = DeviceRegistryApi(pool, bus, bucket, lambda: self.now)
        self.devices = DeviceApi(pool, bus, settings, lambda: self.now)
        self._sequence = 0

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def message(self, kind: str, esp_id: str = "ESP_A", **fields) -> Delivery:
        at_ms = int(self.now.timestamp() * 1000)
        self._sequence += 1
        body = {"kaiser_id": "god", "esp_id": esp_id, "ts": at_ms, "received_at": at_ms, **fields}
        reply = f"$JS.ACK.DEVICES.health.1.{self._sequence}.1.1.0"
        return Delivery(f"esp.{kind}.god.{esp_id}", reply, json.dumps(body).encode(), None)

    def beat(self, esp_id: str = "ESP_A", **fields) -> Delivery:
        return self.message(
            "system.heartbeat", esp_id, **{"uptime": 60, "heap_free": 45_000, "wifi_rssi": -45, **fields}
        )

    async def say(self, *messages: Delivery) -> None:
        await self.messages.on_messages(messages)

    async def published(self, stream: str) -> list[tuple[str, dict]]:
        """Everything on a stream, oldest first."""
        return await stored(self.bus, stream)

    async def system_events(self) -> list[str]:
        return [body["event"] for subject, body in await self.published("EVENTS") if ".system_event." in subject]

    async def outbox(self) -> list[tuple[str, dict]]:
        return [(body["topic"], json.loads(body["payload"])) for _, body in await self.published("OUTBOX")]

    async def record(self, esp_id: str = "ESP_A") -> dict:
        kv = await self.bus.jetstream.key_value("devices")
        return json.loads((await kv.get(esp_id)).value)


@pytest.fixture
def limits() -> dict[str, int]:
    return {}


@pytest.fixture
async def life(bus_settings, database, limits):
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "TRUNCATE health.devices, health.heartbeats, health.pushes, health.device_errors, health.audit_log,"
            " health.owed_events"
        )
    settings = HealthSettings(database_url=database, **limits)
    async with (
        connect(CommonSettings(nats_url=bus_settings.nats_address), "test") as bus,
        open_pool(settings, "test") as pool,
    ):
        yield Life(pool, bus, await DevicesBucket.open(bus), settings)


async def test_register_heartbeat_online_will_offline(life):
    await life.api.register(RegisterDevice(esp_id="ESP_A"), ADA)
    await life.say(life.beat(sensor_count=3))
    device = await life.api.read(DeviceId(esp_id="ESP_A"), ADA)
    assert (device.online, device.heap_free, device.sensor_count) == (True, 45_000, 3)
    assert (await life.record())["online"] is True
    assert await life.outbox() == [
        (
            "kaiser/god/esp/ESP_A/system/heartbeat/ack",
            {
                "status": "online",
                "handover_epoch": 1,
                "config_available": False,
                "server_time": int(START.timestamp()),
            },
        )
    ]
    life.wait(5)
    await life.say(life.message("system.will", status="offline"))
    assert (await life.api.read(DeviceId(esp_id="ESP_A"), ADA)).online is False
    assert (await life.record())["online"] is False
    assert await life.system_events() == ["device_online", "device_offline"]


async def test_an_old_will_does_not_take_a_device_offline(life):
    await life.api.register(RegisterDevice(esp_id="ESP_A"), ADA)
    old = life.message("system.will", status="offline", retained=True)
    life.wait(5)
    await life.say(life.beat())
    await life.say(old)
    assert (await life.api.read(DeviceId(esp_id="ESP_A"), ADA)).online is True


def digest(at: datetime, *esp_ids: str) -> Delivery:
    devices = dict.fromkeys(esp_ids, int(at.timestamp() * 1000))
    body = json.dumps({"devices": devices}).encode()
    return Delivery("esp.system.alive.god.digest", "$JS.ACK.DEVICES.health.1.9.1.1.0", body, None)


async def test_a_digest_of_what_came_before_a_will_does_not_bring_the_device_back(life):
    await life.api.register(RegisterDevice(esp_id="ESP_A"), ADA)
    await life.say(life.beat())
    life.wait(1)
    last_data_at = life.now
    life.wait(1)
    await life.say(life.message("system.will", status="offline"))
    life.wait(3)
    await life.say(digest(last_data_at, "ESP_A"))
    device = await life.api.read(DeviceId(esp_id="ESP_A"), ADA)
    assert (device.online, device.last_seen) == (False, int(last_data_at.timestamp() * 1000))
    await life.say(digest(life.now, "ESP_A"))
    assert (await life.api.read(DeviceId(esp_id="ESP_A"), ADA)).online is True
    assert await life.system_events() == ["device_online", "device_offline", "device_online"]


async def test_a_heartbeat_that_brings_a_device_online_tells_its_figures(life):
    await life.api.register(RegisterDevice(esp_id="ESP_A"), ADA)
    await life.say(life.beat(sensor_count=3))
    told = [body for subject, body in await life.published("EVENTS") if ".esp_health." in subject]
    assert [(event["status"], event.get("heap_free")) for event in told] == [("online", None), ("online", 45_000)]


async def test_a_batch_that_failed_after_its_events_tells_each_once_when_it_comes_again(life, monkeypatch):
    async def away(*_):
        raise nats.errors.TimeoutError

    await life.api.register(RegisterDevice(esp_id="ESP_A"), ADA)
    batch = [
        life.beat(),
        life.beat("ESP_NEW"),
        life.message("system.error", error_code=1002, severity="error", message="m"),
        life.message("system.error", error_code=1003, severity="error", message="n"),
    ]
    with monkeypatch.context() as broken:
        broken.setattr(KeyValue, "put", away)
        with pytest.raises(nats.errors.TimeoutError):
            await life.say(*batch)
    life.wait(1)
    await life.say(*batch)
    events = await life.system_events()
    assert sorted(events) == ["device_error", "device_error", "device_online", "device_pending"]


async def test_figures_that_could_not_be_told_are_told_when_the_batch_comes_again(life, monkeypatch):
    async def away(*_):
        raise BusUnavailable("away")

    await life.api.register(RegisterDevice(esp_id="ESP_A"), ADA)
    beat = life.beat()
    with monkeypatch.context() as broken:
        broken.setattr(life.bus, "publish_batch", away)
        with pytest.raises(BusUnavailable):
            await life.say(beat)
    await life.say(beat)
    told = [body for subject, body in await life.published("EVENTS") if ".esp_health." in subject]
    assert [event.get("heap_free") for event in told] == [None, 45_000]


async def test_silence_takes_a_device_offline_after_its_timeout_and_any_data_keeps_it_online(life):
    await life.api.register(RegisterDevice(esp_id="ESP_A"), ADA)
    await life.say(life.beat())
    life.wait(179)
    await life.late.sweep()
    assert (await life.api.read(DeviceId(esp_id="ESP_A"), ADA)).online is True
    at_ms = int(life.now.timestamp() * 1000)
    digest = json.dumps({"devices": {"ESP_A": at_ms}}).encode()
    await life.say(Delivery("esp.system.alive.god.digest", "$JS.ACK.D.h.1.9.1.1.0", digest, None))
    life.wait(179)
    await life.late.sweep()
    assert (await life.api.read(DeviceId(esp_id="ESP_A"), ADA)).online is True
    life.wait(1)
    await life.late.sweep()
    assert (await life.api.read(DeviceId(esp_id="ESP_A"), ADA)).online is False
    assert await life.system_events() == ["device_online", "device_offline"]


async def test_the_record_says_when_a_device_was_away_also_after_its_return(life):
    """By that time rules know which values are from before it."""

    async def away_at() -> int | None:
        return (await life.record())["away_at"]

    def ms(at: datetime) -> int:
        return int(at.timestamp() * 1000)

    await life.api.register(RegisterDevice(esp_id="ESP_A"), ADA)
    await life.say(life.beat())
    assert await away_at() is None
    life.wait(5)
    will_at = life.now
    await life.say(life.message("system.will", status="offline"))
    assert await away_at() == ms(will_at)
    life.wait(60)
    await life.say(life.beat())
    assert (await life.record())["online"] is True
    assert await away_at() == ms(will_at)
    heard_at = life.now
    life.wait(181)
    await life.late.sweep()
    assert (await life.record())["online"] is False
    assert await away_at() == ms(life.now - timedelta(seconds=10)), "what comes within a digest is of its return"
    assert (await life.record())["offline_since"] == ms(heard_at)


class Killed(BaseException):
    """Ends a step where a kill would."""


TOLD = {
    "before the commit": ["device_online"],
    "before the events": ["device_online", "device_offline", "device_online"],
    "after the events": ["device_online", "device_offline", "device_online"],
}


@pytest.mark.parametrize("killed", TOLD)
async def test_no_event_says_offline_of_a_device_that_stayed_online_when_health_was_killed(life, monkeypatch, killed):
    publish = life.bus.publish_batch

    async def dying(messages, **options):
        if any(b"device_offline" in message.body for message in messages):
            if killed == "after the events":
                await publish(messages, **options)
            raise Killed
        await publish(messages, **options)

    def die(*_):
        raise Killed

    await life.api.register(RegisterDevice(esp_id="ESP_A"), ADA)
    await life.say(life.beat())
    life.wait(181)
    with monkeypatch.context() as broken:
        if killed == "before the commit":
            broken.setattr("kaiser_health.jobs.sweep._count", die)
        else:
            broken.setattr(life.bus, "publish_batch", dying)
        with pytest.raises(Killed):
            await life.late.sweep()
    life.late.listening_since = life.now  # as a new process has it
    await life.say(life.beat())
    await life.late.sweep()
    assert (await life.api.read(DeviceId(esp_id="ESP_A"), ADA)).online is True
    assert await life.system_events() == TOLD[killed]


async def test_after_a_start_nobody_is_called_late_for_one_timeout(life):
    await life.api.register(RegisterDevice(esp_id="ESP_A"), ADA)
    await life.say(life.beat())
    life.wait(10_000)
    life.late.listening_since = life.now  # as a new process has it
    life.wait(179)
    await life.late.sweep()
    assert (await life.api.read(DeviceId(esp_id="ESP_A"), ADA)).online is True
    life.wait(1)
    await life.late.sweep()
    assert (await life.api.read(DeviceId(esp_id="ESP_A"), ADA)).online is False


async def test_a_backlog_of_old_heartbeats_brings_nobody_online(life):
    await life.api.register(RegisterDevice(esp_id="ESP_A"), ADA)
    old = life.beat()
    life.wait(3600)
    await life.say(old)
    device = await life.api.read(DeviceId(esp_id="ESP_A"), ADA)
    assert (device.online, device.last_seen) == (False, int(START.timestamp() * 1000))


async def test_a_batch_that_comes_again_changes_and_tells_nothing_new(life):
    await life.api.register(RegisterDevice(esp_id="ESP_A"), ADA)
    beat = life.beat()
    await life.say(beat)
    before = await life.published("EVENTS"), await life.published("OUTBOX")
    await life.say(beat)
    assert (await life.published("EVENTS"), await life.published("OUTBOX")) == before
    history = await life.api.history(HealthQuery(esp_id="ESP_A", to_ms=int(START.timestamp() * 1000) + 1), ADA)
    assert [bucket.heartbeats for bucket in history.items] == [1]


async def test_an_unknown_device_is_pending_until_it_is_approved(life):
    await life.say(life.beat("ESP_NEW"))
    pending = await life.api.read(DeviceId(esp_id="ESP_NEW"), ADA)
    assert (pending.state, pending.online) == ("pending", False)
    assert (pending.uptime, pending.heap_free, pending.wifi_rssi) == (60, 45_000, -45)
    assert (await life.outbox())[0][1]["status"] == "pending_approval"
    assert await life.system_events() == ["device_pending"]
    await life.api.approve(ApproveDevice(esp_id="ESP_NEW"), ADA)
    life.wait(60)
    await life.say(life.beat("ESP_NEW"))
    assert (await life.api.read(DeviceId(esp_id="ESP_NEW"), ADA)).online is True
    await life.api.reject(DeviceId(esp_id="ESP_NEW"), ADA)
    life.wait(60)
    await life.say(life.beat("ESP_NEW"))
    assert [payload["status"] for _, payload in await life.outbox()] == ["pending_approval", "online", "rejected"]
    with pytest.raises(RpcError) as caught:
        await life.api.reject(DeviceId(esp_id="ESP_NEW"), ADA)
    assert caught.value.problem.status == 409


class TestFewPlaces:
    @pytest.fixture
    def limits(self):
        return {"pending_max": 3, "pending_per_minute": 2}

    async def test_a_flood_of_unknown_devices_finds_few_places(self, life):
        await life.say(*(life.beat(f"ESP_{number}") for number in range(50)))
        life.wait(60)
        await life.say(*(life.beat(f"ESP_{number}") for number in range(50)))
        states = [payload["status"] for _, payload in await life.outbox()]
        assert states.count("pending_approval") == 2 + 3
        assert len(states) == 2 + 3, "an answer to each of a flood would fill the OUTBOX"


async def test_a_config_is_answered_by_its_id_and_audited(life):
    await life.api.register(RegisterDevice(esp_id="ESP_A"), ADA)
    config = ConfigRequest(sensors=[SensorItem(gpio=4, sensor_type="ph")], actuators=[])
    push = await life.devices.push_config(PushConfig(esp_id="ESP_A", config=config), ADA)
    [(topic, payload)] = await life.outbox()
    assert topic == "kaiser/god/esp/ESP_A/config"
    assert (payload["config_id"], payload["sensors"][0]["gpio"]) == (push.push_id, 4)
    failures = [{"type": "sensor", "gpio": 4, "error_code": 1002, "error": "GPIO_CONFLICT", "detail": "in use"}]
    await life.say(
        life.message(
            "config.response",
            status="partial_success",
            type="sensor",
            count=0,
            message="0 set",
            failures=failures,
            config_id=push.push_id,
        )
    )
    events = [body for subject, body in await life.published("EVENTS") if ".config_response." in subject]
    assert [event["status"] for event in events] == ["pending", "partial"]
    assert events[1]["failures"] == failures
    audit = await life.api.audit(AuditQuery(), ADA)
    assert [(entry.actor, entry.action) for entry in audit.items] == [
        ("device", "config_response"),
        ("ada", "push_config"),
        ("ada", "register_device"),
    ]


async def test_a_config_without_an_answer_is_sent_three_times_and_then_timed_out(life):
    await life.api.register(RegisterDevice(esp_id="ESP_A"), ADA)
    config = ConfigRequest(sensors=[SensorItem(gpio=4, sensor_type="ph")], actuators=[])
    await life.devices.push_config(PushConfig(esp_id="ESP_A", config=config), ADA)
    for _ in range(8):
        life.wait(5)
        await life.late.sweep()
    assert len(await life.outbox()) == 3
    events = [body["status"] for subject, body in await life.published("EVENTS") if ".config_response." in subject]
    assert events == ["pending", "timeout"]


async def test_a_missing_owner_of_settings_is_504_and_nothing_is_sent(life):
    await life.api.register(RegisterDevice(esp_id="ESP_A"), ADA)
    with pytest.raises(RpcError) as caught:
        await life.devices.push_config(PushConfig(esp_id="ESP_A", config=ConfigRequest()), ADA)
    assert (caught.value.problem.status, caught.value.problem.code) == (504, 5403)
    assert await life.outbox() == []


async def test_a_zone_comes_into_force_with_its_acknowledgement(life):
    await life.api.register(RegisterDevice(esp_id="ESP_A"), ADA)
    await life.devices.push_zone(PushZone(esp_id="ESP_A", zone=ZoneRequest(zone_id="z1", zone_name="North")), ADA)
    assert (await life.api.read(DeviceId(esp_id="ESP_A"), ADA)).zone_id is None
    await life.say(life.message("zone.ack", status="zone_assigned", zone_id="z1"))
    assert (await life.api.read(DeviceId(esp_id="ESP_A"), ADA)).zone_id == "z1"
    assert (await life.record())["zone_id"] == "z1"
    await life.devices.push_zone(PushZone(esp_id="ESP_A", zone=ZoneRequest(zone_id=None)), ADA)
    await life.say(life.message("zone.ack", status="zone_removed", zone_id=""))
    assert (await life.api.read(DeviceId(esp_id="ESP_A"), ADA)).zone_id is None
    events = [body["status"] for subject, body in await life.published("EVENTS") if ".zone_assignment." in subject]
    assert events == ["pending", "assigned", "pending", "removed"]


async def test_a_command_needs_the_device_online_and_is_sent_once(life):
    await life.api.register(RegisterDevice(esp_id="ESP_A"), ADA)
    reboot = PushCommand(esp_id="ESP_A", command=DeviceCommand(command="factory_reset", confirm=True))
    with pytest.raises(RpcError) as caught:
        await life.devices.push_command(reboot, ADA)
    assert (caught.value.problem.status, caught.value.problem.code) == (409, 5007)
    await life.say(life.beat())
    await life.devices.push_command(reboot, ADA)
    for _ in range(5):
        life.wait(10)
        await life.late.sweep()
    assert [topic for topic, _ in await life.outbox()].count("kaiser/god/esp/ESP_A/system/command") == 1


async def test_two_errors_of_one_code_in_one_second_are_told_both(life):
    await life.api.register(RegisterDevice(esp_id="ESP_A"), ADA)
    errors = [
        life.message("system.error", error_code=1040, severity=severity, message=text)
        for severity, text in (("error", "no answer from gpio 4"), ("critical", "no answer from gpio 5"))
    ]
    await life.say(*errors)
    await life.say(*errors)
    told = [body for subject, body in await life.published("EVENTS") if body.get("event") == "device_error"]
    assert sorted(event["severity"] for event in told) == ["critical", "error"]


async def test_a_device_error_is_kept_once_and_told_with_its_meaning(life):
    await life.api.register(RegisterDevice(esp_id="ESP_A"), ADA)
    error = life.message(
        "system.error", error_code=1002, severity="error", message="GPIO 5 in use", category="HARDWARE"
    )
    await life.say(error)
    await life.say(error)
    told = [body for subject, body in await life.published("EVENTS") if body.get("event") == "device_error"]
    assert [event["message"] for event in told] == [
        "ESP_A: GPIO conflict: the pin is in use already (hardware): GPIO 5 in use"
    ]


async def test_a_device_cannot_touch_another_ones_row(life):
    await life.api.register(RegisterDevice(esp_id="ESP_A"), ADA)
    await life.api.register(RegisterDevice(esp_id="ESP_B"), ADA)
    await life.say(life.beat("ESP_B", heap_free=1))
    assert (await life.api.read(DeviceId(esp_id="ESP_A"), ADA)).heap_free is None


async def test_a_change_that_the_bucket_did_not_take_is_told_by_the_next_sweep(life, monkeypatch):
    async def away(*_):
        raise nats.errors.TimeoutError

    with monkeypatch.context() as broken:
        broken.setattr(KeyValue, "put", away)
        broken.setattr(KeyValue, "delete", away)
        await life.api.register(RegisterDevice(esp_id="ESP_A"), ADA)
        with pytest.raises(nats.js.errors.KeyNotFoundError):
            await life.record()
    await life.late.sweep()
    assert (await life.record())["state"] == "approved"


async def test_what_is_older_than_its_retention_is_let_go(life, database):
    await life.api.register(RegisterDevice(esp_id="ESP_A"), ADA)
    await life.say(life.beat(), life.message("system.error", error_code=1002, severity="error", message="m"))
    config = ConfigRequest(sensors=[SensorItem(gpio=4, sensor_type="ph")], actuators=[])
    await life.devices.push_config(PushConfig(esp_id="ESP_A", config=config), ADA)
    life.wait(60)
    await life.devices.push_config(PushConfig(esp_id="ESP_A", config=config), ADA)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE health.audit_log SET at = %s", (life.now,))
    settings = HealthSettings(database_url=database, heartbeat_retention_days=30, audit_retention_days=60)

    async def rows_after(days: int) -> list[int]:
        tables = ("heartbeats", "device_errors", "pushes", "audit_log")
        async with await psycopg.AsyncConnection.connect(database) as connection:
            await drop_old(connection, START + timedelta(days=days), settings)
            counts = [await connection.execute(f"SELECT count(*) FROM health.{table}") for table in tables]
            return [(await cursor.fetchone())[0] for cursor in counts]

    assert await rows_after(29) == [1, 1, 2, 3]
    assert await rows_after(32) == [0, 0, 2, 3]
    # The push that still waits for its answer stays.
    assert await rows_after(62) == [0, 0, 1, 0]


@pytest.mark.speed
@pytest.mark.parametrize("online", [True, False], ids=["of devices that are online", "that bring their device online"])
async def test_ten_thousand_heartbeats_cost_little(life, bus_settings, database, online):
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO health.devices (esp_id, kaiser_id, hardware_type, state, online)"
            " SELECT 'ESP_' || n, 'god', 'ESP32_WROOM', 'approved', %s FROM generate_series(1, 10000) n",
            (online,),
        )
    batches = [[life.beat(f"ESP_{number}") for number in range(start, start + 500)] for start in range(1, 10_001, 500)]
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    for batch in batches:
        await life.say(*batch)
        await asyncio.sleep(0)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"10,000 heartbeats (online before: {online}): {cpu_s:.2f} s CPU, {time.monotonic() - started:.2f} s")
    assert cpu_s < (3.0 if online else 8.0), "5 % of a core over the minute in which 10,000 devices send once"


async def test_the_bucket_is_filled_again_after_it_was_deleted_and_declared_anew(life):
    await life.api.register(RegisterDevice(esp_id="ESP_A"), ADA)
    await life.late.sweep()
    mirror = Mirror(life.bus, DEVICES_BUCKET, DeviceRecord.model_validate_json)
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(mirror.keep())
        await mirror.ready()
        assert mirror["ESP_A"].state == "approved"
        await life.bus.jetstream.delete_key_value("devices")
        await life.late.sweep()  # nothing to fill yet; what else a sweep does goes on
        await apply(life.bus)  # as the migrate step does
        found = (await life.bus.jetstream.stream_info("KV_devices")).state.messages
        assert found == 0
        await life.late.sweep()
        assert (await life.record())["state"] == "approved"
        await life.api.register(RegisterDevice(esp_id="ESP_B"), ADA)
        async with asyncio.timeout(60):
            while set(mirror) != {"ESP_A", "ESP_B"}:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        following.cancel()
