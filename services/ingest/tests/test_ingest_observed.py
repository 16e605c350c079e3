"""Metrics of ingest about itself, the broker and the streams, on real servers."""

from collections.abc import Callable
from typing import Any

import pytest
from kaiser_stack import mosquitto


async def test_every_stream_tells_its_size_and_its_limit(
    world: Any, make_reading: Callable[..., bytes], until: Callable[..., Any]
) -> None:
    await world.approve(["ESP_0001"])
    device = await world.device()
    first = world.ingest()
    await until(first.ready)
    for number in range(20):
        await device.publish(number, world.topic("ESP_0001", "sensor/34/data"), make_reading("ESP_0001", number))
    await device.all_acknowledged()
    await until(lambda: first.metric('kaiser_ingest_stream_bytes{stream="SENSORS"}') > 20 * 100, within_s=60.0)
    assert 1 <= first.metric('kaiser_ingest_stream_messages{stream="SENSORS"}') <= 20  # packs
    assert first.metric('kaiser_ingest_stream_limit_bytes{stream="SENSORS"}') == 8 * 1024**3
    assert first.metric('kaiser_ingest_stream_limit_bytes{stream="REJECTED"}') == 1024**3
    assert first.metric('kaiser_stage_seconds_count{stage="mqtt_to_bus"}') >= 1
    assert 0 < first.metric('kaiser_stage_seconds_sum{stage="mqtt_to_bus"}') < 20
    assert first.metric('kaiser_bus_consumer_pending_messages{consumer="ingest"}') == 0
    await device.close()


async def test_what_mosquitto_says_that_it_dropped_is_told(
    world_at: Callable[[Any], Any], mosquitto_factory: Callable[..., Any], until: Callable[..., Any]
) -> None:
    world = world_at(mosquitto_factory())
    ingest = world.ingest()
    await until(ingest.ready)
    await until(lambda: "kaiser_ingest_broker_dropped_messages_total" in ingest.metrics(), within_s=60.0)
    assert ingest.metric("kaiser_ingest_broker_dropped_messages_total") == 0
    assert ingest.total("kaiser_ingest_received_messages_total") == 0
    assert ingest.accounts_balance()


async def test_a_broker_that_drops_shows_in_the_count(
    world_at: Callable[[Any], Any],
    mosquitto_factory: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    until: Callable[..., Any],
) -> None:
    config = mosquitto._CONFIG.replace("max_queued_messages 1000000", "max_queued_messages 10")
    monkeypatch.setattr(mosquitto, "_CONFIG", config.replace("sys_interval 5", "sys_interval 1"))
    world = world_at(mosquitto_factory())
    ingest = world.ingest()
    await until(ingest.ready)
    absent = await world.device("absent", clean=False)
    await absent.subscribe("flood/#")
    await absent.close()
    device = await world.device()
    for number in range(100):
        await device.publish(number, "flood/x", b"x")
    await device.all_acknowledged()
    await until(lambda: ingest.metric("kaiser_ingest_broker_dropped_messages_total") == 90, within_s=60.0)
    await device.close()


@pytest.mark.parametrize("broker", ["nats_mqtt", "mosquitto"])
async def test_statistics_can_be_left_alone(
    broker: str, request: pytest.FixtureRequest, world_at: Callable[[Any], Any], until: Callable[..., Any]
) -> None:
    world = world_at(request.getfixturevalue(broker))
    ingest = world.ingest(KAISER_MQTT_BROKER_STATISTICS="false")
    await until(ingest.ready)
    assert "kaiser_ingest_broker_dropped_messages_total" not in ingest.metrics()
