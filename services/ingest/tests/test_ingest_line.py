"""The straight line on real servers: MQTT to SENSORS, DEVICES and REJECTED."""

import base64
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

GOLDEN = [
    example
    for name in ("device-messages", "firmware-messages")
    for example in json.loads((Path(__file__).parents[3] / f"tests/golden/{name}.json").read_text())
]
COUNTED_ONLY = "queue_pressure"


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


async def test_an_idle_system_adds_no_latency(
    world: Any, make_reading: Callable[..., bytes], until: Callable[..., Any]
) -> None:
    await world.approve(["ESP_0001"])
    ingest = world.ingest()
    await until(ingest.ready)
    device = await world.device()
    async with world.client() as client:
        heard: list[float] = []

        async def note(_: Any) -> None:
            heard.append(time.monotonic())

        await client.subscribe("esp.sensor.data.>", cb=note)
        await client.flush()
        waits = []
        for number in range(11):
            sent = time.monotonic()
            await device.publish(number, world.topic("ESP_0001", "sensor/34/data"), make_reading("ESP_0001", number))
            await until(lambda: len(heard) == number + 1, 60.0, 0.0005)  # noqa: B023
            waits.append(heard[-1] - sent)
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
        for number, example in enumerate(GOLDEN):
            del heard[:]
            # a reading of its own each: the same device, gpio, type and ts would be the same reading
            payload = example["payload"].replace("1767225600", str(1767225600 + number)).encode()
            await device.publish(number, example["topic"], payload)
            finished = number + 1
            await until(lambda: ingest.total("kaiser_ingest_messages_total") >= finished, 60.0, 0.005)  # noqa: B023
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
                expected = dict(example["normalised"] or {})
                if "ts" in expected and "1767225600" in example["payload"]:
                    expected["ts"] += number * 1000
                assert len(heard) == (2 if example["name"] == "sensor batch" else 1), example["name"]
                for subject, body in heard:  # each reading of a batch
                    assert subject.startswith("esp."), (example["name"], body)
                    assert {name: body[name] for name in expected} == expected, example["name"]
                    assert body["esp_id"] in example["topic"]
    await device.close()
    assert ingest.stop() == 0
