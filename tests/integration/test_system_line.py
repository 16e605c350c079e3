"""The straight line as a whole: what devices send by MQTT is in the table and on a browser's WebSocket, once."""

import asyncio
import json
import time
from collections import Counter

import psycopg
import pytest
from harness import Message, Stack, payload_of, reading, wait_until

pytestmark = pytest.mark.both_brokers

PER_DEVICE = 20
BASE_MS = int(time.time() * 1000) - 3_600_000
SENTINEL_GPIO = 33


@pytest.fixture
def devices(stack: Stack) -> list[str]:
    return stack.register(50)


def readings_of(devices: list[str]) -> list[Message]:
    return [
        reading(esp_id, 4, BASE_MS + 1000 * number, 20 + number / 10)
        for number in range(PER_DEVICE)
        for esp_id in devices
    ]


def bad_of(devices: list[str]) -> list[tuple[int, Message]]:
    """Fifty messages that must be rejected, with the code for each."""
    bad: list[tuple[int, Message]] = []
    for number, esp_id in enumerate(devices[:10]):
        good = json.loads(reading(esp_id, 5, BASE_MS + number, 1.5).payload)
        topic = f"kaiser/god/esp/{esp_id}/sensor/5/data"
        stranger = esp_id.replace("TEST_", "SIM_")
        bad += [
            (5209, Message(topic, b'{"ts": 1, "esp_id"')),
            (5205, Message(topic, json.dumps({k: v for k, v in good.items() if k != "raw_mode"}).encode())),
            (5206, Message(topic, json.dumps(good | {"raw_mode": "perhaps"}).encode())),
            (5211, Message(topic, json.dumps(good | {"gpio": 6}).encode())),
            (5001, reading(stranger, 5, BASE_MS, 1.5)),
        ]
    return bad


def mixed(good: list[Message], bad: list[Message]) -> list[Message]:
    """The bad messages spread evenly among the good ones."""
    step = len(good) // len(bad)
    messages = []
    for number, message in enumerate(good):
        messages.append(message)
        if number % step == 0 and number // step < len(bad):
            messages.append(bad[number // step])
    return messages


def is_sentinel(data: dict[str, object]) -> bool:
    return data["gpio"] == SENTINEL_GPIO


def wait_for_rows(stack: Stack, devices: list[str], count: int) -> None:
    wait_until(lambda: stack.rows(devices) >= count, f"{count} rows", 120.0)


async def test_a_thousand_readings_are_stored_and_shown_once_and_fifty_bad_ones_are_kept_with_their_codes(
    stack: Stack, devices: list[str]
):
    good, bad = readings_of(devices), bad_of(devices)
    async with stack.events(devices) as events:
        stack.publish(mixed(good, [message for _, message in bad]))
        wait_for_rows(stack, devices, 1000)
        stack.publish([reading(devices[0], SENTINEL_GPIO, BASE_MS, 1.0)])
        shown = await events.sensor_data_until(is_sentinel)
    wait_for_rows(stack, devices, 1001)
    assert stack.rows(devices) == 1001
    assert len(shown) == 1000
    assert {(data["esp_id"], data["ts"]) for data in shown} == {
        (esp_id, BASE_MS + 1000 * number) for esp_id in devices for number in range(PER_DEVICE)
    }
    rejected = await stack.rejected_count({message.topic for _, message in bad}, 50)
    assert Counter((entry["code"], entry["topic"], payload_of(entry)) for entry in rejected) == Counter(
        (code, message.topic, message.payload) for code, message in bad
    )


async def test_the_same_thousand_again_leave_a_thousand_rows(stack: Stack, devices: list[str]):
    good = readings_of(devices)
    stack.publish(good)
    wait_for_rows(stack, devices, 1000)
    stack.publish(good)
    stack.publish([reading(devices[0], SENTINEL_GPIO, BASE_MS, 1.0)])
    wait_until(lambda: stack.rows(devices[:1]) > PER_DEVICE, "the reading sent last is stored", 120.0)
    assert stack.rows(devices) == 1001


async def test_nothing_is_lost_or_doubled_when_ingest_is_killed_in_the_middle(stack: Stack, devices: list[str]):
    good = readings_of(devices)
    first_pid = stack.pid("ingest")
    async with stack.events(devices) as events:
        await asyncio.to_thread(stack.publish, good[:400])
        await asyncio.to_thread(wait_until, lambda: stack.rows(devices), "the first rows are stored")
        await asyncio.to_thread(stack.kill, "ingest")
        await asyncio.to_thread(stack.publish, good[400:])
        await asyncio.to_thread(wait_for_rows, stack, devices, 1000)
        await asyncio.to_thread(stack.publish, [reading(devices[0], SENTINEL_GPIO, BASE_MS, 1.0)])
        shown = await events.sensor_data_until(is_sentinel)
    await asyncio.to_thread(wait_for_rows, stack, devices, 1001)
    assert stack.rows(devices) == 1001
    assert len({(data["esp_id"], data["ts"]) for data in shown}) == 1000
    assert stack.pid("ingest") != first_pid


async def test_live_values_go_on_without_the_database_and_the_store_catches_up(stack: Stack, devices: list[str]):
    async with stack.events(devices) as events:
        await asyncio.to_thread(stack.control, "kill", "postgres")
        try:
            await asyncio.to_thread(
                stack.publish, [*readings_of(devices), reading(devices[0], SENTINEL_GPIO, BASE_MS, 1.0)]
            )
            assert len(await events.sensor_data_until(is_sentinel)) == 1000
        finally:
            await asyncio.to_thread(stack.control, "start", "postgres")
    await asyncio.to_thread(wait_until, lambda: _postgres_answers(stack, devices), "PostgreSQL is back")
    await asyncio.to_thread(wait_for_rows, stack, devices, 1001)
    assert stack.rows(devices) == 1001


def _postgres_answers(stack: Stack, devices: list[str]) -> bool:
    try:
        stack.rows(devices)
    except psycopg.OperationalError:
        return False
    return True
