"""`sensor.latest` beside the data: with a lone reading, once a second under load, and right after a kill."""

import asyncio
import dataclasses
import json
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from consuming import eventually, loop_of
from kaiser_common.bus.connection import connect
from kaiser_common.bus.consumer import Consumer
from kaiser_common.contract.subjects import SENSOR_STORE, SENSORS, pack_subject
from kaiser_common.runtime.consume import DeadLetters
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.service import Service
from kaiser_common.runtime.settings import CommonSettings
from kaiser_sensor.consumers import storing
from kaiser_sensor.consumers.storing import Storing
from kaiser_sensor.domain.process import Processor
from kaiser_sensor.domain.processed import PackProcessing
from kaiser_sensor.domain.unwritten import Unwritten, may_wait
from moment import moment
from nats.js.api import ConsumerConfig

NOW_MS = int(moment().timestamp() * 1000)
SPEC = dataclasses.replace(SENSOR_STORE, name="sensor-store-soon", ack_wait_s=1.0)
"""As the store's, but what a killed process held comes again after a second."""


def line(esp_id: str, number: int) -> bytes:
    reading = {
        "kaiser_id": "god",
        "esp_id": esp_id,
        "gpio": 4,
        "sensor_type": "ph",
        "raw": number,
        "raw_mode": True,
        "ts": NOW_MS + number,
        "received_at": NOW_MS + number + 5,
    }
    return json.dumps(reading).encode()


@pytest.fixture
async def bus(bus_settings):
    async with connect(bus_settings, "test") as bus:
        config = ConsumerConfig(durable_name=SPEC.name, ack_policy="explicit", ack_wait=SPEC.ack_wait_s)
        await bus.jetstream.add_consumer(SENSORS.name, config)
        yield bus
        await bus.jetstream.delete_consumer(SENSORS.name, SPEC.name)


@pytest.fixture
async def pool(database):
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE sensor.data, sensor.latest")
    async with open_pool(CommonSettings(database_url=database), "test") as pool:
        yield pool


def rows(database: str, query: str) -> list[tuple]:
    with psycopg.connect(database) as connection:
        return connection.execute(query).fetchall()


def store_of(bus, pool) -> Storing:
    processor = Processor({}, lambda *_: None)
    return Storing(bus, pool, PackProcessing(lambda reading: processor.process(reading, None)), note_rollups=True)


class Running:
    """A process of the store; `kill` leaves everything as it is."""

    def __init__(self, bus, pool) -> None:
        self._bus = bus
        self._pool = pool

    async def __aenter__(self) -> "Running":
        self._open = Consumer(self._bus, SPEC).open()
        self.consumer = await self._open.__aenter__()
        letters = DeadLetters(self._bus, Service("test"), CommonSettings())
        self._task = asyncio.create_task(loop_of(store_of(self._bus, self._pool))(self.consumer, letters))
        return self

    async def stop(self) -> None:
        self.consumer.stop()
        await self._task

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._open.__aexit__(None, None, None)


async def send(bus, *lines: bytes) -> None:
    await bus.publish(pack_subject("god"), b"\n".join(lines))


async def unacknowledged(bus) -> int:
    info = await bus.jetstream.consumer_info(SENSORS.name, SPEC.name)
    return info.num_ack_pending + info.num_pending


DATA = "SELECT raw::int FROM sensor.data ORDER BY 1"
LATEST = "SELECT esp_id, raw::int, (extract(epoch FROM received_at) * 1000)::bigint - {} FROM sensor.latest ORDER BY 1"
LATEST = LATEST.format(NOW_MS)


async def until_rows(database: str, query: str, expected: list[tuple]) -> None:
    async def are_there() -> bool:
        return rows(database, query) == expected

    await eventually(are_there)


async def test_a_lone_reading_is_in_latest_by_the_transaction_of_its_data(bus, pool, database):
    async with Running(bus, pool):
        await send(bus, line("TEST_A", 1))
        await until_rows(database, DATA, [(1,)])
        assert rows(database, "SELECT xmin::text FROM sensor.latest") == rows(
            database, "SELECT xmin::text FROM sensor.data"
        )


async def test_latest_is_right_after_a_kill_between_the_data_and_it(bus, pool, database, monkeypatch):
    monkeypatch.setattr(storing, "_LATEST_EVERY_S", 1e9)
    async with Running(bus, pool):
        await send(bus, line("TEST_A", 1))
        await until_rows(database, LATEST, [("TEST_A", 1, 6)])
        await send(bus, line("TEST_A", 3), line("TEST_B", 2))
        await send(bus, *(line(f"TEST_C{number:03}", 10 + number) for number in range(150)))  # by COPY
        await until_rows(database, "SELECT count(*) FROM sensor.data", [(153,)])
        assert rows(database, LATEST) == [("TEST_A", 1, 6)], "it is not due"
        assert await unacknowledged(bus) == 2
    monkeypatch.undo()
    async with Running(bus, pool):

        async def all_acknowledged() -> bool:
            return await unacknowledged(bus) == 0

        await eventually(all_acknowledged)
    assert rows(database, "SELECT count(*) FROM sensor.data") == [(153,)]
    assert rows(database, LATEST) == [
        ("TEST_A", 3, 8),
        ("TEST_B", 2, 7),
        *((f"TEST_C{number:03}", 10 + number, 15 + number) for number in range(150)),
    ]


async def test_what_latest_lacks_is_written_when_nothing_more_comes_and_at_the_end(bus, pool, database, monkeypatch):
    async with Running(bus, pool) as running:
        for number in range(1, 4):
            await send(bus, line("TEST_A", number))
        await until_rows(database, LATEST, [("TEST_A", 3, 8)])
        monkeypatch.setattr(storing, "_LATEST_EVERY_S", 1e9)
        await send(bus, line("TEST_A", 4))
        await until_rows(database, DATA, [(1,), (2,), (3,), (4,)])
        await send(bus, line("TEST_A", 5))
        await until_rows(database, DATA, [(1,), (2,), (3,), (4,), (5,)])
        await running.stop()
        assert rows(database, LATEST) == [("TEST_A", 5, 10)]
    assert await unacknowledged(bus) == 0


def row(second: float, esp_id: str = "TEST_A") -> tuple:
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    return (at, esp_id, 4, "ph", second, None, None, None, "good", "raw", "TEST", "device", "")


def test_the_newest_is_by_its_time_which_counts_as_no_later_than_it_was_received():
    received_s = row(100)[0].timestamp()
    unwritten = Unwritten()
    unwritten.add([row(5), row(9), row(7)], [(received_s, None)] * 3)
    assert [one[4] for one in unwritten.rows()] == [9]
    both = unwritten.with_these([row(8), row(500), row(9), row(1, "TEST_B")], [(received_s, None)] * 4)
    assert [(one[1], one[4]) for one in both.rows()] == [("TEST_A", 500), ("TEST_B", 1)]
    later = both.with_these([row(101)], [(received_s + 1, 7)])
    assert (later.rows()[0][4], later.arrivals()[0]) == (101, (received_s + 1, 7))
    assert [one[4] for one in unwritten.rows()] == [9], "what was not written stays as it was"


@pytest.mark.parametrize(
    ("arrival", "may"), [((0.0, None), True), ((1.8e9, 2**63 - 1), True), ((1.8e9, 2**63), False), ((1e18, 1), False)]
)
def test_what_latest_could_refuse_does_not_wait(arrival, may):
    assert may_wait([(1.8e9, None), arrival]) is may
