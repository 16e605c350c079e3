"""A device's life by its firmware's generation, on a real NATS and PostgreSQL with a fake clock."""

import json
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from consuming import stored
from kaiser_common.bus.connection import connect
from kaiser_common.bus.pull import Delivery
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.schemas.api.devices import (
    AuditQuery,
    ConfigRequest,
    DeviceCommand,
    DeviceId,
    DevicesQuery,
    PushCommand,
    PushConfig,
    PushSubzone,
    PushZone,
    RegisterDevice,
    SubzoneRequest,
    ZoneRequest,
)
from kaiser_common.contract.schemas.device import ActuatorItem, SensorItem
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.settings import CommonSettings
from kaiser_health.api.pushes import DeviceApi
from kaiser_health.api.registry import DeviceRegistryApi
from kaiser_health.consumers.devices import DeviceMessages
from kaiser_health.jobs.sweep import LateSweep
from kaiser_health.settings import HealthSettings
from kaiser_health.store.bucket import DevicesBucket
from pydantic import ValidationError

START = datetime(2026, 1, 1, tzinfo=UTC)
ADA = Caller(user="ada", role="operator", request_id="r1")


class Site:
    """The service's parts on real servers, a device ESP_A, and a hand on the clock."""

    def __init__(self, pool, bus, bucket, settings) -> None:
        self.now = START
        self.bus = bus
        self._parts = pool, bus, bucket, settings
        self.api = DeviceRegistryApi(pool, bus, bucket, lambda: self.now)
        self.devices = DeviceApi(pool, bus, settings, lambda: self.now)
        self._sequence = 0
        self.restart()

    def restart(self) -> None:
        """Forget what is in memory, as a killed process does."""
        pool, bus, bucket, settings = self._parts
        self.messages = DeviceMessages(pool, bus, bucket, settings, lambda: self.now)
        self.late = LateSweep(pool, bus, bucket, settings, lambda: self.now)

    def message(self, kind: str, site: str = "god", **fields) -> Delivery:
        at_ms = int(self.now.timestamp() * 1000)
        self._sequence += 1
        body = {"kaiser_id": site, "esp_id": "ESP_A", "ts": at_ms, "received_at": at_ms, **fields}
        reply = f"$JS.ACK.DEVICES.health.1.{self._sequence}.1.1.0"
        return Delivery(f"esp.{kind}.{site}.ESP_A", reply, json.dumps(body).encode(), None)

    async def say(self, kind: str, site: str = "god", **fields) -> None:
        await self.messages.on_messages([self.message(kind, site, **fields)])

    async def beat(self, site: str = "god", **fields) -> None:
        self.now += timedelta(seconds=60)
        await self.say("system.heartbeat", site, **fields)

    async def published(self, stream: str) -> list[tuple[str, dict]]:
        return await stored(self.bus, stream)

    async def sent(self) -> list[tuple[str, dict]]:
        """The messages that were sent to the device, without acknowledgements."""
        outbox = [body for _, body in await self.published("OUTBOX")]
        return [(each["topic"], json.loads(each["payload"])) for each in outbox if "heartbeat/ack" not in each["topic"]]

    async def acknowledged(self) -> list[tuple[str, dict]]:
        outbox = [body for _, body in await self.published("OUTBOX")]
        return [(each["topic"], json.loads(each["payload"])) for each in outbox if "heartbeat/ack" in each["topic"]]

    async def events(self, name: str) -> list[dict]:
        return [body for subject, body in await self.published("EVENTS") if f".{name}." in subject]

    async def told(self, event: str) -> list[dict]:
        return [body for body in await self.events("system_event") if body["event"] == event]

    async def device(self):
        return await self.api.read(DeviceId(esp_id="ESP_A"), ADA)

    async def record(self) -> dict:
        kv = await self.bus.jetstream.key_value("devices")
        return json.loads((await kv.get("ESP_A")).value)


@pytest.fixture
async def site(bus_settings, database):
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "TRUNCATE health.devices, health.heartbeats, health.pushes, health.device_errors, health.audit_log,"
            " health.owed_events"
        )
    settings = HealthSettings(database_url=database)
    async with (
        connect(CommonSettings(nats_url=bus_settings.nats_address), "test") as bus,
        open_pool(settings, "test") as pool,
    ):
        it = Site(pool, bus, await DevicesBucket.open(bus), settings)
        await it.api.register(RegisterDevice(esp_id="ESP_A"), ADA)
        yield it


@pytest.mark.parametrize(
    ("figures", "epoch"), [({}, 1), ({"active_handover_epoch": 0}, 1), ({"active_handover_epoch": 7}, 7)]
)
async def test_a_heartbeat_is_acknowledged_with_its_epoch(site, figures, epoch):
    await site.beat(**figures)
    assert await site.acknowledged() == [
        (
            "kaiser/god/esp/ESP_A/system/heartbeat/ack",
            {
                "status": "online",
                "handover_epoch": epoch,
                "config_available": False,
                "server_time": int(site.now.timestamp()),
            },
        )
    ]
    assert (await site.device()).online is True, "a heartbeat without figures is a sign of life"


async def test_a_session_is_acknowledged_under_the_site_of_its_device(site):
    await site.beat("north", heap_free=1)
    await site.say("system.session", "god", handover_epoch=3)
    await site.beat("north", heap_free=2)
    assert [(topic, payload["handover_epoch"]) for topic, payload in await site.acknowledged()] == [
        ("kaiser/north/esp/ESP_A/system/heartbeat/ack", 1),
        ("kaiser/north/esp/ESP_A/system/heartbeat/ack", 3),
        ("kaiser/north/esp/ESP_A/system/heartbeat/ack", 3),
    ]


async def test_figures_that_come_apart_are_kept_together_and_acknowledged_once(site):
    site.now += timedelta(seconds=60)
    await site.messages.on_messages(
        [
            site.message("system.heartbeat", heap_free=7, sensor_count=3),
            site.message("system.heartbeat", heap_free=8, metrics=True),
        ]
    )
    device = await site.device()
    assert (device.heap_free, device.sensor_count) == (8, 3)
    assert len(await site.acknowledged()) == 1


async def test_a_power_cut_shorter_than_a_batch_counts_as_a_boot_though_the_uptime_is_the_same(site):
    await site.beat(uptime=0, boot_sequence_id="b1")
    site.now += timedelta(seconds=2)
    await site.messages.on_messages(
        [
            site.message("system.will", status="offline"),
            site.message("system.heartbeat", uptime=0, boot_sequence_id="b1"),
        ]
    )
    assert ((await site.record())["online"], (await site.record())["boot"]) == (True, 1)


async def test_a_device_of_generation_b_is_known_as_such_when_it_is_approved(site):
    await site.api.reject(DeviceId(esp_id="ESP_A"), ADA)
    await site.beat(uptime=5, boot_sequence_id="b1")
    assert ((await site.record())["generation"], (await site.record())["state"]) == ("B", "rejected")
    await site.api.delete(DeviceId(esp_id="ESP_A"), ADA)
    await site.beat(uptime=65, boot_sequence_id="b1")
    assert ((await site.record())["generation"], (await site.record())["state"]) == ("B", "pending")


async def test_a_boot_id_makes_a_device_generation_b_and_each_restart_is_told(site):
    await site.beat(uptime=4000)
    assert (await site.record())["generation"] == "A"
    await site.beat(uptime=4060, boot_sequence_id="b1")
    assert ((await site.record())["generation"], (await site.record())["boot"]) == ("B", 0)
    await site.beat(uptime=5, boot_sequence_id="b1")
    await site.beat(uptime=65, boot_sequence_id="b2")
    await site.beat(uptime=125)
    assert [event["generation"] for event in await site.events("esp_health") if "uptime" in event][:2] == ["A", "B"]
    record, device = await site.record(), await site.device()
    assert (record["generation"], record["boot"]) == ("B", 2)
    assert (device.generation, device.boot) == ("B", 2)
    assert len(await site.told("device_rebooted")) == 2


async def test_a_restart_within_a_batch_is_found_and_a_batch_that_comes_again_adds_none(site):
    await site.beat(uptime=100)
    batch = []
    for uptime in (4000, 3, 200):
        site.now += timedelta(seconds=60)
        batch.append(site.message("system.heartbeat", uptime=uptime))
    await site.messages.on_messages(batch)
    await site.messages.on_messages(batch)
    assert (await site.record())["boot"] == 1
    assert len(await site.told("device_rebooted")) == 1


async def test_counters_of_a_device_are_bounded_whatever_names_they_have(site):
    for number in range(6):
        await site.beat(details={f"counter_{number}_{each}": each for each in range(200)})
    assert len(json.dumps((await site.device()).details)) < 12_000


async def test_a_live_will_of_a_power_cut_takes_the_device_offline_though_it_is_dated_at_connect(site):
    connected_ms = int(site.now.timestamp() * 1000)
    await site.beat(uptime=60)
    site.now += timedelta(seconds=1)
    await site.say("system.will", status="offline", ts=connected_ms)
    assert (await site.record())["online"] is False


async def test_the_will_of_the_session_before_does_not_take_the_new_session_offline(site):
    await site.beat(uptime=60)
    site.now += timedelta(seconds=5)
    await site.messages.on_messages(
        [site.message("system.will", status="offline"), site.message("system.heartbeat", uptime=1)]
    )
    assert (await site.record())["online"] is True, "in one batch, in one millisecond"
    site.now += timedelta(seconds=5)
    await site.say("system.will", status="offline")
    assert (await site.record())["online"] is False
    await site.say("system.heartbeat", uptime=1)
    assert (await site.record())["online"] is True, "in two batches, in one millisecond"


async def test_a_retained_will_is_compared_with_the_last_data(site):
    connected_ms = int(site.now.timestamp() * 1000)
    await site.beat(uptime=60)
    await site.say("system.will", status="offline", ts=connected_ms, retained=True)
    assert (await site.record())["online"] is True


CONFIG = ConfigRequest(
    sensors=[SensorItem(gpio=34, sensor_type="ph", sensor_name="pH")],
    actuators=[ActuatorItem(gpio=25, actuator_type="pump", actuator_name="Pump")],
)


async def test_a_configuration_is_applied_only_when_each_scope_has_said_so_also_over_a_restart(site):
    await site.beat(boot_sequence_id="b1")
    push = await site.devices.push_config(PushConfig(esp_id="ESP_A", config=CONFIG), ADA)
    [(topic, payload)] = await site.sent()
    assert topic == "kaiser/god/esp/ESP_A/config"
    assert payload == {
        "config_id": push.push_id,
        "correlation_id": push.push_id,
        "sensors": [{"gpio": 34, "sensor_type": "ph", "sensor_name": "pH"}],
        "actuators": [{"gpio": 25, "actuator_type": "pump", "actuator_name": "Pump"}],
    }
    good = {"status": "success", "count": 1, "correlation_id": push.push_id}
    await site.say("config.response", type="sensor", **good)
    assert [event["status"] for event in await site.events("config_response")] == ["pending"]
    site.restart()
    await site.say("config.response", type="actuator", **good)
    assert [event["status"] for event in await site.events("config_response")] == ["pending", "applied"]


async def test_a_refused_actuator_fails_a_configuration_whose_sensors_were_taken(site):
    push = await site.devices.push_config(PushConfig(esp_id="ESP_A", config=CONFIG), ADA)
    await site.say("config.response", type="sensor", status="success", count=1, correlation_id=push.push_id)
    failure = {"type": "actuator", "gpio": 25, "error": "UNKNOWN_ERROR"}
    await site.say(
        "config.response",
        type="actuator",
        status="error",
        message="no",
        failures=[failure],
        correlation_id=push.push_id,
    )
    last = (await site.events("config_response"))[-1]
    assert (last["status"], last["failures"]) == ("failed", [failure])


@pytest.mark.parametrize("together", [True, False])
async def test_a_configuration_that_the_device_took_in_part_and_could_not_keep_has_failed(site, together):
    push = await site.devices.push_config(PushConfig(esp_id="ESP_A", config=CONFIG), ADA)
    failure = {"type": "sensor", "gpio": 5, "error": "VALIDATION_FAILED"}
    asked = {"correlation_id": push.push_id}
    said = [
        site.message("config.response", type="sensor", status="partial_success", failures=[failure], **asked),
        site.message("config.response", type="actuator", status="success", count=1, **asked),
        site.message("config.response", type="system", status="error", message="persist failed", **asked),
        site.message("system.intent", outcome="failed", code="COMMIT_FAILED", **asked),
    ]
    for batch in [said] if together else [[each] for each in said]:
        await site.messages.on_messages(batch)
    told = await site.events("config_response")
    assert [event["status"] for event in told] == ["pending", "partial", "failed"]
    assert told[-1]["failures"] == [failure]
    assert "persist failed" in told[-1]["message"]
    assert await site.told("intent_outcome") == [], "it is about a push that has ended"


async def test_a_state_of_a_devices_life_cycle_is_told(site):
    await site.say("system.intent", outcome="entered_safe_mode", correlation_id="c1", lifecycle=True)
    await site.say("system.intent", outcome="accepted", correlation_id="c2")
    assert [event["details"]["outcome"] for event in await site.told("device_lifecycle")] == ["entered_safe_mode"]
    assert await site.told("intent_outcome") == []


async def test_an_intent_that_was_rejected_fails_its_push_and_another_one_is_told(site):
    push = await site.devices.push_config(PushConfig(esp_id="ESP_A", config=CONFIG), ADA)
    refused = {"outcome": "rejected", "code": "REGISTRATION_PENDING", "reason": "not registered"}
    await site.say("system.intent", correlation_id=push.push_id, **refused)
    last = (await site.events("config_response"))[-1]
    assert last["status"] == "failed"
    assert "REGISTRATION_PENDING" in last["message"]
    await site.say("system.intent", correlation_id=push.push_id, **refused)
    assert await site.told("intent_outcome") == [], "its push has ended already"
    await site.say("system.intent", correlation_id="unknown", **refused)
    assert [event["details"]["correlation_id"] for event in await site.told("intent_outcome")] == ["unknown"]


async def test_what_does_not_fit_a_device_of_generation_a_is_refused_and_nothing_is_sent(site):
    await site.beat(uptime=1)
    sensors = [SensorItem(gpio=gpio, sensor_type="ph", sensor_name="n" * 60) for gpio in range(30)]
    large = PushConfig(esp_id="ESP_A", config=ConfigRequest(sensors=sensors, actuators=[]))
    with pytest.raises(RpcError) as caught:
        await site.devices.push_config(large, ADA)
    assert (caught.value.problem.status, caught.value.problem.code) == (422, 5003)
    assert await site.sent() == []
    await site.beat(uptime=61, boot_sequence_id="b1")
    await site.devices.push_config(large, ADA)
    assert len(await site.sent()) == 1, "generation B takes it"


async def test_a_command_that_a_generation_does_not_know_is_refused_with_what_it_knows(site):
    await site.beat(uptime=1)
    status = PushCommand(esp_id="ESP_A", command=DeviceCommand(command="status"))
    with pytest.raises(RpcError) as caught:
        await site.devices.push_command(status, ADA)
    assert (caught.value.problem.status, caught.value.problem.code) == (422, 5204)
    assert "factory_reset" in caught.value.problem.detail
    await site.beat(uptime=61, boot_sequence_id="b1")
    push = await site.devices.push_command(status, ADA)
    assert await site.sent() == [
        ("kaiser/god/esp/ESP_A/system/command", {"command": "status", "correlation_id": push.push_id})
    ]
    await site.say("system.response", command="status", success=True)
    assert (await site.told("system_command"))[-1]["details"]["state"] == "applied"


async def test_a_token_that_a_device_took_is_kept_for_its_emergencies_and_shown_nowhere(site, database):
    await site.beat(uptime=1, boot_sequence_id="b1")
    command = DeviceCommand(command="set_emergency_token", params={"token": "s3cret-token"})
    await site.devices.push_command(PushCommand(esp_id="ESP_A", command=command), ADA)
    assert (await site.record())["emergency_token"] is None
    await site.say("system.response", command="set_emergency_token", success=True)
    assert (await site.record())["emergency_token"] == "s3cret-token"
    audit = await site.api.audit(AuditQuery(), ADA)
    shown = [(await site.device()).model_dump_json(), audit.model_dump_json(), repr(await site.device())]
    shown += [json.dumps(body) for _, body in await site.published("EVENTS")]
    assert not [text for text in shown if "s3cret-token" in text]
    with psycopg.connect(database) as connection:
        [(payload,)] = connection.execute("SELECT payload FROM health.pushes").fetchall()
    assert "s3cret-token" not in json.dumps(payload)


async def test_a_token_counts_however_late_its_device_says_that_it_took_it(site):
    await site.beat(uptime=1, boot_sequence_id="b1")
    for token in ("first", "second"):
        command = DeviceCommand(command="set_emergency_token", params={"token": token})
        await site.devices.push_command(PushCommand(esp_id="ESP_A", command=command), ADA)
    site.now += timedelta(hours=20)
    await site.late.sweep()
    assert len(await site.sent()) == 2, "a command is sent once"
    await site.say("system.response", command="set_emergency_token", success=True, details={"token": "second"})
    assert (await site.record())["emergency_token"] == "second"
    events = await site.told("system_command")
    assert [event["details"]["state"] for event in events] == ["pending", "pending", "applied"]
    assert "second" not in json.dumps(events)


@pytest.mark.parametrize("params", [{}, {"token": ""}, {"token": "x" * 65}, {"token": 5}])
async def test_a_token_that_no_device_could_be_asked_for_is_refused(site, params):
    await site.beat(uptime=1, boot_sequence_id="b1")
    command = DeviceCommand(command="set_emergency_token", params=params)
    with pytest.raises(RpcError) as caught:
        await site.devices.push_command(PushCommand(esp_id="ESP_A", command=command), ADA)
    assert caught.value.problem.status == 422


@pytest.mark.parametrize("result_first", [True, False])
async def test_what_a_one_wire_scan_has_found_is_told_with_its_command(site, result_first):
    await site.beat(uptime=1, boot_sequence_id="b1")
    command = DeviceCommand(command="onewire/scan", params={"pin": 4})
    push = await site.devices.push_command(PushCommand(esp_id="ESP_A", command=command), ADA)
    says = [
        ("system.scan", {"devices": ["28FF641E8D3C0C79"]}),
        ("system.response", {"command": "onewire/scan", "success": True, "status": "ok"}),
    ]
    for kind, fields in says if result_first else reversed(says):
        await site.say(kind, **fields)
    [found] = [event["details"] for event in await site.told("onewire_scan")]
    assert (found["devices"], found["push_id"]) == (["28FF641E8D3C0C79"], push.push_id)
    assert [event["details"]["state"] for event in await site.told("system_command")] == ["pending", "applied"]


async def test_a_scan_that_nobody_asked_for_names_no_command(site):
    await site.say("system.scan", devices=[])
    assert [event["details"].get("push_id") for event in await site.told("onewire_scan")] == [None]


async def test_what_a_device_answers_to_a_command_is_told(site):
    await site.beat(uptime=1, boot_sequence_id="b1")
    await site.devices.push_command(PushCommand(esp_id="ESP_A", command=DeviceCommand(command="status")), ADA)
    await site.say("system.response", command="status", success=True, details={"state": 8, "sensor_count": 2})
    assert (await site.told("system_command"))[-1]["details"]["answer"] == {"state": 8, "sensor_count": 2}


async def test_a_device_that_leaves_its_zone_without_a_word_is_confirmed_by_its_heartbeat(site):
    await site.devices.push_zone(PushZone(esp_id="ESP_A", zone=ZoneRequest(zone_id="z1")), ADA)
    await site.say("zone.ack", status="zone_assigned", zone_id="z1")
    assert (await site.device()).zone_id == "z1"
    await site.devices.push_zone(PushZone(esp_id="ESP_A", zone=ZoneRequest(zone_id=None)), ADA)
    assert (await site.sent())[-1][1] | {"correlation_id": "", "timestamp": 0} == {
        "zone_id": "",
        "master_zone_id": "",
        "zone_name": "",
        "kaiser_id": "god",
        "correlation_id": "",
        "timestamp": 0,
    }
    await site.beat(zone_id="z1")
    assert (await site.device()).zone_id == "z1"
    await site.beat(zone_id="")
    assert (await site.device()).zone_id is None
    assert [event["status"] for event in await site.events("zone_assignment")][-1] == "removed"


async def test_a_device_that_leaves_its_zone_without_a_word_is_waited_for_until_its_heartbeat(site):
    await site.say("zone.ack", status="zone_assigned", zone_id="z1")
    await site.devices.push_zone(PushZone(esp_id="ESP_A", zone=ZoneRequest(zone_id=None)), ADA)
    for _ in range(11):
        site.now += timedelta(seconds=5)
        await site.late.sweep()
    assert len(await site.sent()) == 3
    await site.say("system.heartbeat", zone_id="")
    assert [event["status"] for event in await site.events("zone_assignment")] == ["pending", "removed"]


async def test_a_device_that_stays_in_its_zone_ends_the_push_that_takes_it_out(site):
    await site.devices.push_zone(PushZone(esp_id="ESP_A", zone=ZoneRequest(zone_id=None)), ADA)
    for _ in range(4):
        await site.beat(zone_id="z1")
        await site.late.sweep()
    assert [event["status"] for event in await site.events("zone_assignment")] == ["pending", "timeout"]


async def test_a_zone_that_a_device_refuses_fails_at_once(site):
    await site.devices.push_zone(PushZone(esp_id="ESP_A", zone=ZoneRequest(zone_id="z1")), ADA)
    await site.say("zone.ack", status="error", message="flash is full")
    last = (await site.events("zone_assignment"))[-1]
    assert (last["status"], last["message"]) == ("failed", "flash is full")
    assert (await site.device()).zone_id is None


@pytest.mark.parametrize("action", ["assign", "remove", "safe"])
async def test_a_subzone_is_sent_and_its_answer_ends_the_push(site, action):
    await site.beat(uptime=65, boot_sequence_id="b1")  # generation B: A does not know subzone/safe
    request = PushSubzone(
        esp_id="ESP_A", subzone_id="bed", action=action, subzone=SubzoneRequest(subzone_name="Bed", assigned_gpios=[25])
    )
    push = await site.devices.push_subzone(request, ADA)
    [(topic, payload)] = await site.sent()
    assert topic == f"kaiser/god/esp/ESP_A/subzone/{action}"
    assert (payload["subzone_id"], payload["assigned_gpios"], payload["correlation_id"]) == ("bed", [25], push.push_id)
    await site.say("zone.ack", status=f"subzone_{action}ed", subzone_id="bed")
    assert [event["details"]["state"] for event in await site.told("subzone")] == ["pending", "applied"]


async def test_a_device_registered_without_a_site_takes_the_one_it_speaks_under(site):
    await site.beat("north", uptime=1)
    record = await site.record()
    assert (record["kaiser_id"], record["kaiser_id_fixed"]) == ("north", False)
    await site.devices.push_zone(PushZone(esp_id="ESP_A", zone=ZoneRequest(zone_id="z1")), ADA)
    assert (await site.sent())[-1][0] == "kaiser/north/esp/ESP_A/zone/assign"


async def test_a_device_registered_with_a_site_keeps_it(site):
    await site.api.delete(DeviceId(esp_id="ESP_A"), ADA)
    await site.api.register(RegisterDevice(esp_id="ESP_A", kaiser_id="south"), ADA)
    await site.beat("north", uptime=1)
    record = await site.record()
    assert (record["kaiser_id"], record["kaiser_id_fixed"]) == ("south", True)


async def test_a_push_that_waits_follows_its_device_to_its_site(site):
    await site.devices.push_zone(PushZone(esp_id="ESP_A", zone=ZoneRequest(zone_id="z1")), ADA)
    await site.beat("north", uptime=1)
    await site.late.sweep()
    assert [topic for topic, _ in await site.sent()] == [
        "kaiser/god/esp/ESP_A/zone/assign",
        "kaiser/north/esp/ESP_A/zone/assign",
    ]


async def test_a_page_of_large_devices_is_cut_by_bytes_and_goes_on(site, database):
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO health.devices (esp_id, kaiser_id, hardware_type, state, metadata)"
            " SELECT 'ESP_L' || lpad(n::text, 3, '0'), 'god', 'ESP32_WROOM', 'approved',"
            " jsonb_build_object('note', repeat('x', 8000)) FROM generate_series(0, 599) n"
        )
    found, cursor, pages = [], None, 0
    while pages == 0 or cursor is not None:
        page = await site.api.list_devices(DevicesQuery(limit=1000, cursor=cursor), ADA)
        assert len(page.model_dump_json()) < 1_100_000
        found += [device.esp_id for device in page.items]
        cursor, pages = page.next_cursor, pages + 1
    assert found == ["ESP_A", *(f"ESP_L{number:03}" for number in range(600))]
    assert pages == 6


def test_metadata_over_its_bound_is_refused():
    with pytest.raises(ValidationError):
        RegisterDevice(esp_id="ESP_A", metadata={"note": "x" * 8_200})


async def test_pages_are_bounded_in_bytes_and_not_in_characters(site, database):
    wide = json.dumps({"note": "\U0001f331" * 2_500})
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO health.devices (esp_id, kaiser_id, hardware_type, state, metadata)"
            " SELECT 'ESP_L' || lpad(n::text, 3, '0'), 'god', 'ESP32_WROOM', 'approved', %s"
            " FROM generate_series(0, 399) n",
            (wide,),
        )
        connection.execute(
            "INSERT INTO health.audit_log (actor, role, request_id, action, target, before, after)"
            " SELECT 'ada', 'operator', 'r', 'patch_device', 'ESP_L', %(wide)s, %(wide)s"
            " FROM generate_series(1, 200)",
            {"wide": wide},
        )
    found, cursor = [], None
    while not found or cursor is not None:
        page = await site.api.list_devices(DevicesQuery(limit=1000, cursor=cursor), ADA)
        assert len(page.model_dump_json().encode()) < 1_100_000
        found += [device.esp_id for device in page.items]
        cursor = page.next_cursor
    assert found == ["ESP_A", *(f"ESP_L{number:03}" for number in range(400))]
    entries, cursor = [], None
    while not entries or cursor is not None:
        entry_page = await site.api.audit(AuditQuery(limit=1000, cursor=cursor), ADA)
        assert len(entry_page.model_dump_json().encode()) < 1_100_000
        entries += [entry.id for entry in entry_page.items]
        cursor = entry_page.next_cursor
    assert len(entries) == 201
    assert entries == sorted(set(entries), reverse=True)
