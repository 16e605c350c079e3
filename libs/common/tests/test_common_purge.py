"""Messages that all consumers have acknowledged leave the streams of readings and of the factory."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from kaiser_common.bus import purge
from kaiser_common.bus.connection import Bus, Outgoing, connect
from kaiser_common.bus.consumer import Consumer
from kaiser_common.bus.pull import Delivery
from kaiser_common.bus.purge import PassedFloors, Purging, keep_purging
from kaiser_common.contract.subjects import (
    FACTORY,
    FACTORY_STORE,
    KEPT_OF_FACTORY,
    KEPT_PACKS,
    SENSOR_LIVE,
    SENSOR_STORE,
    SENSORS,
    DurableConsumer,
    Stream,
)
from kaiser_common.runtime.consume import DeadLetters, Unreadable, take
from kaiser_common.runtime.service import Service
from kaiser_common.runtime.settings import CommonSettings

FULL_BYTES = 1_000_000
OF_A_DEVICE = "esp.sensor.data.god.TEST_A.4"
OF_SENSORS = Purging(SENSORS, (SENSOR_LIVE, SENSOR_STORE), KEPT_PACKS)
OF_FACTORY = Purging(FACTORY, (FACTORY_STORE,), KEPT_OF_FACTORY)


@pytest.fixture
async def bus(bus_settings):
    async with connect(bus_settings, "test") as bus:
        yield bus


def letters(bus: Bus) -> DeadLetters:
    return DeadLetters(bus, Service("test"), CommonSettings())


async def test_a_full_stream_is_emptied_more_often_than_every_two_seconds(bus, monkeypatch):
    monkeypatch.setattr(purge, "_EVERY_S", 600.0)
    monkeypatch.setattr(purge, "_HURRY_FOR_S", 600.0)
    config = (await bus.jetstream.stream_info(SENSORS.name)).config
    await bus.jetstream.update_stream(replace(config, max_bytes=FULL_BYTES))
    stopping = asyncio.Event()
    async with (
        Consumer(bus, SENSOR_LIVE).open() as live,
        Consumer(bus, SENSOR_STORE).open() as store,
        asyncio.TaskGroup() as tasks,
    ):
        for consumer in (live, store):
            tasks.create_task(take(consumer, acknowledge, letters(bus)))
        await bus.publish_batch(readings(0))
        tasks.create_task(keep_purging(bus, OF_SENSORS, stopping))
        for number in range(1, 7):
            deadline = time.monotonic() + 60
            while await held(bus) > 16:
                assert time.monotonic() < deadline, "it is not emptied: the next look is in ten minutes"
                await asyncio.sleep(0.02)
            await bus.publish_batch(readings(number))
        stopping.set()
        live.stop()
        store.stop()


@pytest.fixture
def looks(monkeypatch) -> asyncio.Semaphore:
    """Released with each look of the purge, which begins again 10 ms later."""
    looks = asyncio.Semaphore(0)
    purge_once = purge._purge

    async def look(*arguments, **named) -> int:
        purged_to = await purge_once(*arguments, **named)
        looks.release()
        return purged_to

    monkeypatch.setattr(purge, "_EVERY_S", 0.01)
    monkeypatch.setattr(purge, "_purge", look)
    return looks


async def test_what_one_consumer_has_not_acknowledged_stays(bus, looks):
    stopping = asyncio.Event()
    async with Consumer(bus, SENSOR_LIVE).open() as live, asyncio.TaskGroup() as tasks:
        tasks.create_task(take(live, acknowledge, letters(bus)))
        tasks.create_task(keep_purging(bus, OF_SENSORS, stopping))
        messages = readings(7)
        await bus.publish_batch(messages)
        await acknowledged_by(bus, SENSOR_LIVE, len(messages))
        for _ in range(3):  # the first may have begun before that
            await asyncio.wait_for(looks.acquire(), 60)
        assert await held(bus) == len(messages)
        stopping.set()
        live.stop()


@pytest.mark.parametrize(("purging", "last"), [(OF_SENSORS, 16), (OF_FACTORY, 64)], ids=["SENSORS", "FACTORY"])
@pytest.mark.parametrize("age_s", [0.0, 600.0])
async def test_what_all_acknowledged_a_moment_ago_stays_and_of_what_is_older_the_last_messages(
    bus, monkeypatch, looks, age_s, purging, last
):
    stopping = asyncio.Event()
    purging = replace(purging, kept_s=age_s)
    messages = readings(8, "factory.live.agv.state.S1" if purging.stream is FACTORY else OF_A_DEVICE)
    async with AsyncExitStack() as stack:
        consumers = [await stack.enter_async_context(Consumer(bus, spec).open()) for spec in purging.consumers]
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        for consumer in consumers:
            tasks.create_task(take(consumer, acknowledge, letters(bus)))
        await bus.publish_batch(messages)
        for spec in purging.consumers:
            await acknowledged_by(bus, spec, len(messages))
        tasks.create_task(keep_purging(bus, purging, stopping))
        for _ in range(3):
            await asyncio.wait_for(looks.acquire(), 60)
        assert await held(bus, purging.stream) == (last if age_s == 0.0 else len(messages))
        stopping.set()
        for consumer in consumers:
            consumer.stop()


def test_where_both_were_fifteen_seconds_ago_is_known_once_it_was_seen():
    passed = PassedFloors()
    looks = [(0.0, 100), (14.5, 200), (15.0, 300), (29.0, 400), (29.5, 500), (100.0, 600), (101.0, 700), (115.0, 800)]
    assert [passed.note(floor, now_s) for now_s, floor in looks] == [0, 0, 100, 100, 200, 500, 500, 600]


async def acknowledge(deliveries: Sequence[Delivery]) -> Unreadable:
    """Take them: what a handler returns from is acknowledged."""
    return []


def readings(number: int, subject: str = OF_A_DEVICE) -> list[Outgoing]:
    """More than half of what the stream may hold."""
    body = b"x" * 6000
    return [Outgoing(subject, body, f"{number}-{place}") for place in range(100)]


async def acknowledged_by(bus: Bus, consumer: DurableConsumer, count: int) -> None:
    """Wait until a consumer has acknowledged so many."""
    async with asyncio.timeout(60):
        while True:
            info = await bus.jetstream.consumer_info(consumer.stream, consumer.name)
            if info.ack_floor and info.ack_floor.stream_seq >= count and not info.num_ack_pending:
                return
            await asyncio.sleep(0.02)


async def held(bus: Bus, stream: Stream = SENSORS) -> int:
    return (await bus.jetstream.stream_info(stream.name)).state.messages
