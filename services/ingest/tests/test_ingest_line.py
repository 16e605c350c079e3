"""The straight line on real servers: MQTT to SENSORS, DEVICES, EVENTS and REJECTED."""

import base64
import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from device_vectors import BATCH, COUNTED_ONLY, MESSAGES, READINGS_OF_BATCH, RECEIVED_AT_MS, expected_of
from kaiser_common.bus.connection import connect
from kaiser_common.runtime.loops import beside
from kaiser_ingest.consumers.receiver import receiver_of
from kaiser_ingest.domain.incoming import Incoming
from kaiser_ingest.publish import SystemEvents
from kaiser_ingest.settings import IngestSettings
from kaiser_ingest.store.devices import KnownDevices
from kaiser_ingest.store.session_store import SessionStore

_TS_S = 1_767_225_600
"""The time that the messages have, in s."""
_FAR_AHEAD_S = 2_082_585_600
"""The time of the one that is dated far ahead: the end of 2035. It is sent with the same distance from today."""
_FAR_S = _FAR_AHEAD_S - _TS_S


async def test_readings_and_bad_messages_end_where_they_belong(
    world: Any, make_reading: Callable[..., bytes], until: Callable[..., Any]
) -> None:
    esp_ids = [f"ESP_{number:04d}" for number in range(50)]
    await world.approve(esp_ids)
    ingest = world.ingest()
    await until(ingest.ready)
    device = await world.device()
    for _ in range(2):  # the second time all are redeliveries
        for number in range(1000):
            esp_id = esp_ids[number % 50]
            await device.publish(number, world.topic(esp_id, "sensor/34/data"), make_reading(esp_id, number))
    bad: list[tuple[int, str, bytes]] = [
        (5209, world.topic("ESP_0001", "sensor/34/data"), b"{"),
        (5205, world.topic("ESP_0001", "sensor/34/data"), b"{}"),
        (5001, world.topic("ESP_UNKNOWN", "sensor/34/data"), make_reading("ESP_UNKNOWN", 1)),
        (5201, world.topic("esp-lower", "sensor/34/data"), b"{}"),
        (5211, world.topic("ESP_0001", "sensor/35/data"), make_reading("ESP_0001", 1)),
    ]
    for number in range(50):
        _, topic, payload = bad[number % 5]
        await device.publish(2000 + number, topic, payload)
    await device.all_acknowledged()
    await until(lambda: ingest.total("kaiser_ingest_messages_total") == 2050)
    stored = await world.stored("SENSORS")
    assert sorted(body["raw"] for _, body in stored) == list(range(1000))
    assert stored[0][0] == f"esp.sensor.data.{world.site}.0"
    rejected = await world.stored("REJECTED")
    assert Counter(body["code"] for _, body in rejected) == {5209: 10, 5205: 10, 5001: 10, 5201: 10, 5211: 10}
    assert {subject.split(".")[1] for subject, _ in rejected} == {"5209", "5205", "5001", "5201", "5211"}
    assert ingest.accounts_balance()
    await device.close()
    assert ingest.stop() == 0


@pytest.mark.speed
async def test_an_idle_system_adds_no_latency(
    world: Any, make_reading: Callable[..., bytes], until: Callable[..., Any]
) -> None:
    await world.approve(["ESP_0001"])
    ingest = world.ingest()
    await until(ingest.ready)
    device = await world.device()
    async with world.client() as client:
        heard: dict[int, float] = {}

        async def note(message: Any) -> None:
            heard.setdefault(json.loads(message.data)["raw"], time.monotonic())  # again where the PubAck was late

        await client.subscribe("esp.sensor.data.>", cb=note)
        await client.flush()
        waits = []
        for number in range(11):
            sent = time.monotonic()
            await device.publish(number, world.topic("ESP_0001", "sensor/34/data"), make_reading("ESP_0001", number))
            await until(lambda: number in heard, within_s=60.0, every_s=0.0005)  # noqa: B023
            waits.append(heard[number] - sent)
    assert min(waits) < 0.02, "a lone reading waits"


async def test_every_example_of_the_contract_goes_through_the_running_system(
    world_at: Callable[[Any], Any], mosquitto_factory: Callable[..., Any], until: Callable[..., Any]
) -> None:
    world = world_at(mosquitto_factory())
    await world.approve(["ESP_0A1B2C3D", "MOCK_001", "ESP_FFFFFFFF"])
    ingest = world.ingest(KAISER_MQTT_KAISER_IDS='["+"]')
    await until(ingest.ready)
    device = await world.device()
    async with world.client() as client:
        heard: list[tuple[str, dict[str, Any]]] = []

        async def note(message: Any) -> None:
            if message.data and ".alive." not in message.subject:
                heard.extend((message.subject, json.loads(line)) for line in message.data.split(b"\n"))

        await client.subscribe("esp.>", cb=note)
        await client.subscribe("rejected.>", cb=note)
        await client.flush()
        for number, example in enumerate(MESSAGES):
            del heard[:]
            # a reading of its own each: the same device, gpio, type and ts would be the same reading
            later_s = number if str(_TS_S) in example["payload"] else 0
            far_s = int(time.time()) + _FAR_S  # far ahead in whatever year this runs
            spoken = example["payload"].replace(str(_TS_S), str(_TS_S + later_s)).replace(str(_FAR_AHEAD_S), str(far_s))
            payload = spoken.encode()
            await device.publish(number, example["topic"], payload)
            finished = number + 1
            await until(lambda: ingest.total("kaiser_ingest_messages_total") >= finished, within_s=60.0, every_s=0.005)  # noqa: B023
            await client.flush()
            if example["topic"].endswith(COUNTED_ONLY):
                assert heard == []
                continue
            subject, body = heard[0]
            if example["expect"] == "reject":
                assert subject.split(".")[:2] == ["rejected", str(example["code"])], example["name"]
                assert base64.b64decode(body["payload_base64"]) == payload
                assert (body["topic"], body["code"]) == (example["topic"], example["code"])
            else:
                bodies = [body for _, body in heard]
                if example["name"] == BATCH:
                    readings = [(each["gpio"], each["sensor_type"], each["value"], each.get("unit")) for each in bodies]
                    assert readings == READINGS_OF_BATCH
                else:
                    assert len(heard) == 1, example["name"]
                for subject, body in heard:
                    assert subject.startswith("esp."), (example["name"], body)
                    expected = _on_the_bus(expected_of(example), body["received_at"], later_s)
                    if expected.get("device_ts") == _FAR_AHEAD_S * 1000:
                        expected["device_ts"] = far_s * 1000
                    assert expected or example["name"] == BATCH
                    assert {name: body.get(name) for name in expected} == expected, example["name"]
                    assert body["esp_id"] in example["topic"]
    await device.close()
    assert ingest.stop() == 0


async def test_a_wrong_clock_and_an_alert_that_cannot_be_read_become_events(
    world: Any, until: Callable[..., Any]
) -> None:
    """The receiver of ingest in this process, so that receive times are the test's."""
    await world.approve(["ESP_AHEAD", "ESP_BEHIND", "ESP_ALERT"])
    settings = IngestSettings(nats_url=world.bus.nats_url, site=world.site)

    def came(after_s: int, esp_id: str, rest: str, payload: bytes) -> Incoming:
        topic = world.topic(esp_id, rest).encode()
        return Incoming(topic, payload, 1, 1, False, False, 1, RECEIVED_AT_MS + after_s * 1000)

    def beat(after_s: int, esp_id: str, off_s: int) -> Incoming:
        body = {"ts": RECEIVED_AT_MS // 1000 + after_s + off_s, "uptime": 60 + after_s, "heap_free": 45_000}
        return came(after_s, esp_id, "system/heartbeat", json.dumps(body).encode())

    messages = [
        *(beat(after_s, "ESP_AHEAD", 7_200) for after_s in (0, 60)),
        *(beat(after_s, "ESP_BEHIND", -300) for after_s in (0, 29, 30, 60)),
        came(0, "ESP_ALERT", "actuator/25/alert", b'{"ts":0,"gpio":25,"alert_type":"emergency_stop"'),
    ]
    stored: list[Incoming] = []
    async with connect(world.bus, "tests") as bus:
        known, events = KnownDevices(bus), SystemEvents(bus)
        receiver = receiver_of(bus, settings, known, SessionStore(bus), events, lambda _: None, None)
        pipeline = receiver.pipeline
        async with beside(devices=known.mirror.keep(), events=events.run(), pipeline=pipeline.run(stored.extend)):
            await known.ready()
            pipeline.offer(messages)
            await until(lambda: len(stored) == len(messages))
            events.report("last", "info", "what was reported before is published")

            async def told() -> list[dict[str, Any]]:
                found = [body for subject, body in await world.stored("EVENTS") if ".system_event." in subject]
                return found if any(body["event"] == "last" for body in found) else []

            found = await until(told)
    seen = {body["event"]: (body["esp_id"], body["severity"], body["details"].get("off_s")) for body in found}
    assert len(seen) == len(found), "each once, however many heartbeats show it"
    del seen["last"]
    assert seen == {
        "clock_ahead": ("ESP_AHEAD", "warning", 7_200),
        "clock_behind": ("ESP_BEHIND", "warning", 300),
        "unreadable_alert": ("ESP_ALERT", "critical", None),
    }
    assert [body["code"] for _, body in await world.stored("REJECTED")] == [5209]


def _on_the_bus(expected: dict[str, Any], received_at: int, later_s: int) -> dict[str, Any]:
    """The expected form of the message whose time was sent so much later. received_at: when ingest received it."""
    ts = expected.get("ts")
    if ts is None:
        return {**expected}
    return {**expected, "ts": received_at if ts == RECEIVED_AT_MS else ts + later_s * 1000}
