"""Five thousand sensors a second from one process: its CPU, and how far readings are off their moments."""

import asyncio
import json
import os
import time

import psycopg
import pytest
from kaiser_common.bus.consumer import Consumer
from kaiser_common.contract.schemas.api.mock import (
    CreateMock,
    CreateMocks,
    MocksCreated,
    MockSensorBody,
    MocksPage,
    MocksQuery,
)
from kaiser_common.contract.subjects import INGEST_OUTBOX

SENSORS, PER_MOCK = 5000, 20
FOR_S = 10.0
SPREAD_S = 6.0
"""Within this time every sensor of a started mock has begun."""
CORE_SHARE = 0.4
P99_MS = 50


def cpu_s(pid: int) -> float:
    """CPU that a process has used, user and system."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.speed
async def test_five_thousand_readings_a_second_cost_under_half_a_core_and_come_on_time(
    start, bus, health, ask, until, capsys, database
):
    sensors = [
        MockSensorBody(
            gpio=gpio,
            sensor_type="ds18b20",
            interval_s=1,
            variation_pattern=["CONSTANT", "RANDOM", "DRIFT", "SINE"][gpio % 4],
            variation_range=5,
        )
        for gpio in range(PER_MOCK)
    ]
    process = start(KAISER_SIMULATOR_OUTBOX_LIMIT="1000000")
    async with health.there():
        mocks = [CreateMock(esp_id=f"MOCK_S{number:03}", sensors=sensors) for number in range(SENSORS // PER_MOCK)]
        await ask("create_many", CreateMocks(devices=mocks), MocksCreated)

        await until(lambda: sends(bus, SENSORS), "readings come", 60.0)

        async def all_operational():
            await asyncio.sleep(1.0)  # a page of 250 mocks is work for the process that is to be measured
            page = await ask("list", MocksQuery(limit=1000), MocksPage)
            return {mock.state for mock in page.items} == {"OPERATIONAL"}

        await until(all_operational, "all are operational", 60.0)
        await asyncio.sleep(SPREAD_S)
        sequence, began, used = await last_sequence(bus), time.time(), cpu_s(process.pid)
        with psycopg.connect(database) as connection:
            writes = row_writes(connection)
            await until(lambda: has_passed(began + FOR_S), "the time is over")
            written = row_writes(connection) - writes
    used, took = cpu_s(process.pid) - used, time.time() - began
    late = sorted(await lateness_ms(bus, sequence + 1, int((began + FOR_S) * 1000)))
    rate, p99 = len(late) / took, late[int(len(late) * 0.99)]
    with capsys.disabled():
        print(
            f"\n  {rate:.0f} readings/s for {used / took * 100:.0f} % of a core; from the moment of a reading to "
            f"OUTBOX's disk: median {late[len(late) // 2]} ms, p99 {p99} ms, worst {late[-1]} ms"
            f" (load of the machine: {os.getloadavg()[0]:.1f})"
        )
    assert written == 0, "rows were written for readings"
    assert used / len(late) * SENSORS < CORE_SHARE
    assert rate > 0.95 * SENSORS
    assert p99 < P99_MS


async def has_passed(at: float) -> bool:
    return time.time() >= at


async def sends(bus, count: int) -> bool:
    return (await bus.jetstream.stream_info("OUTBOX")).state.messages > count


async def last_sequence(bus) -> int:
    return int((await bus.jetstream.stream_info("OUTBOX")).state.last_seq)


def row_writes(connection) -> int:
    connection.execute("SELECT pg_stat_clear_snapshot()")
    found = connection.execute(
        "SELECT n_tup_ins + n_tup_upd FROM pg_stat_user_tables WHERE schemaname = 'simulator' AND relname = 'mocks'"
    ).fetchone()
    return int(found[0]) if found else 0


async def lateness_ms(bus, first: int, end_ms: int) -> list[int]:
    """Of each reading in OUTBOX from a sequence on, until a time: ms from its `ts` to when JetStream stored it."""
    found: list[int] = []
    async with Consumer(bus, INGEST_OUTBOX, max_messages=5000).open() as consumer:
        async for batch in consumer:
            for delivery in batch:
                stored_ms = delivery.timestamp_ns // 1_000_000
                if stored_ms > end_ms:
                    return found
                message = json.loads(delivery.body)
                if delivery.stream_sequence >= first and message["topic"].endswith("/data"):
                    found.append(stored_ms - json.loads(message["payload"])["ts"])
            await consumer.ack(batch)
    return found
