"""Sensor keeps its promises under faults: real processes on real servers, kills under load."""

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import forked
import nats
import psycopg
from kaiser_common.bus.connection import Bus, Outgoing, connect
from kaiser_common.migrate.command import migrate_database
from kaiser_common.runtime.settings import CommonSettings
from waiting import until

OUTAGE_S = float(os.environ.get("KAISER_TEST_OUTAGE_S", "0"))
"""How long PostgreSQL stays away at least; 30 for the long proof."""
RATE = int(os.environ.get("KAISER_TEST_RATE", "2000"))
TICK_S = 0.1
DEVICES = 50


def outgoing(number: int, ts: int, **changes) -> Outgoing:
    esp_id = f"TEST_{number % DEVICES}"
    body = {
        "kaiser_id": "god",
        "esp_id": esp_id,
        "gpio": 4,
        "sensor_type": "ph",
        "raw": number,
        "raw_mode": False,
        "value": float(number),
        "ts": ts,
        "received_at": ts,
        **changes,
    }
    return Outgoing(f"esp.sensor.data.god.{esp_id}.4", json.dumps(body).encode(), f"fault-{ts}-{number}")


async def publish(bus: Bus, numbers: range, start_ms: int) -> None:
    """Readings one ms apart."""
    await bus.publish_batch([outgoing(number, start_ms + number) for number in numbers])


async def publish_steadily(bus: Bus, enough: asyncio.Event, start_ms: int) -> int:
    """RATE a second until it is enough; how many."""
    a_tick = int(RATE * TICK_S)
    began, number = time.monotonic(), 0
    while not enough.is_set():
        await publish(bus, range(number, number + a_tick), start_ms)
        number += a_tick
        await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
    return number


@contextmanager
def replica(nats_url: str, database: str, port: int) -> Iterator[subprocess.Popen]:
    environment = {
        **os.environ,
        "KAISER_NATS_URL": nats_url,
        "KAISER_DATABASE_URL": database,
        "KAISER_METRICS_PORT": str(port),
        "KAISER_LOG_LEVEL": "warning",
    }
    process = forked.Popen(["kaiser-sensor"], env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait(60)


def stored(database: str) -> int:
    try:
        with psycopg.connect(database, connect_timeout=2) as connection:
            return connection.execute("SELECT count(*) FROM sensor.data").fetchone()[0]
    except psycopg.OperationalError:
        return -1


async def events(bus: Bus) -> int:
    return (await bus.jetstream.stream_info("EVENTS")).state.messages


async def test_postgresql_killed_under_load_loses_nothing_and_events_go_on(bus_settings, postgres_factory, free_port):
    server = postgres_factory()
    migrate_database(CommonSettings(database_url=server.url))
    start_ms = int(time.time() * 1000) - 120_000
    async with connect(bus_settings, "test") as bus:
        with replica(bus_settings.nats_address, server.url, free_port()):
            await publish(bus, range(-1000, 0), start_ms)
            await until(lambda: stored(server.url) == 1000, "the first thousand are stored")
            enough = asyncio.Event()
            publishing = asyncio.create_task(publish_steadily(bus, enough, start_ms))
            await until(lambda: stored(server.url) > 2000, "the load is stored")
            server.kill()
            told, killed = await events(bus), time.monotonic()

            async def events_go_on() -> bool:
                over = time.monotonic() - killed
                return over >= OUTAGE_S and await events(bus) - told > RATE * max(1.0, OUTAGE_S / 4)

            await until(events_go_on, "events go on while the database is away", 90 + OUTAGE_S)
            server.start()
            before = stored(server.url)
            await until(lambda: stored(server.url) > before, "the load is stored again")
            enough.set()
            count = 1000 + await publishing
            await until(lambda: stored(server.url) >= count, f"all {count} are stored")
            assert stored(server.url) == count
            with psycopg.connect(server.url) as connection:
                missing = connection.execute(
                    "SELECT count(*) FROM generate_series(-1000, %s - 1) AS number"
                    " WHERE NOT EXISTS (SELECT FROM sensor.data WHERE raw = number)",
                    (count - 1000,),
                ).fetchone()
            assert missing == (0,)

            async def drained() -> bool:
                return (await bus.jetstream.consumer_info("SENSORS", "sensor-store")).num_ack_pending == 0

            await until(drained, "every reading is acknowledged")


async def test_a_poison_row_in_a_batch_of_a_thousand_costs_only_itself(bus_settings, make_database, free_port):
    database, now_ms = make_database(), int(time.time() * 1000) - 60_000
    async with connect(bus_settings, "test") as bus:
        batch = [outgoing(number, now_ms + number) for number in range(1000)]
        # PostgreSQL text holds no NUL; the bus lets it through.
        batch[617] = outgoing(617, now_ms + 617, sensor_type="a\0b")
        await bus.publish_batch(batch)
        with replica(bus_settings.nats_address, database, free_port()):
            await until(lambda: stored(database) == 999, "all but one are stored")

            async def rejected() -> int:
                return (await bus.jetstream.stream_info("REJECTED")).state.messages

            await until(rejected, "the one is rejected")
            assert await rejected() == 1
            message = await bus.jetstream.get_msg("REJECTED", seq=1)
            assert message.subject == f"rejected.5305.TEST_{617 % DEVICES}"


async def test_two_replicas_share_the_work_and_one_killed_costs_nothing(bus_settings, make_database, free_port):
    database, start_ms = make_database(), int(time.time() * 1000) - 60_000
    async with connect(bus_settings, "test") as bus:
        nats_url = bus_settings.nats_address
        ports = free_port(), free_port()
        with replica(nats_url, database, ports[0]) as first, replica(nats_url, database, ports[1]):

            async def both_ask() -> bool:
                return (await bus.jetstream.consumer_info("SENSORS", "sensor-store")).num_waiting >= 2

            await until(both_ask, "both ask for readings")
            enough = asyncio.Event()
            publishing = asyncio.create_task(publish_steadily(bus, enough, start_ms))

            async def both_store() -> bool:
                return all([await stored_by(port) > 0 for port in ports])

            await until(both_store, "both store")
            first.send_signal(signal.SIGKILL)
            killed_at = stored(database)
            await until(lambda: stored(database) > killed_at + RATE, "the other one stores on")
            enough.set()
            count = await publishing
            await until(lambda: stored(database) >= count, f"all {count} are stored")
            assert stored(database) == count

            async def all_are_shown() -> bool:
                return await events(bus) >= count

            await until(all_are_shown, f"all {count} are shown")


async def stored_by(port: int) -> float:
    """How many readings a replica says that it stored."""
    reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 60)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    text = (await asyncio.wait_for(reader.read(), 60)).decode()
    writer.close()
    return sum(
        float(line.split()[-1]) for line in text.splitlines() if line.startswith("kaiser_sensor_stored_readings_total ")
    )


async def test_what_is_no_reading_is_rejected_once(bus_settings, make_database, free_port):
    database, now_ms = make_database(), int(time.time() * 1000)
    async with connect(bus_settings, "test") as bus:
        await bus.publish("esp.sensor.data.god.TEST_1.4", b'{"not": "a reading"}')
        await bus.publish_batch([outgoing(1, now_ms)])
        with replica(bus_settings.nats_address, database, free_port()):
            await until(lambda: stored(database) == 1, "the reading is stored")
            client = await nats.connect(bus_settings.nats_address)

            async def acknowledged() -> bool:
                jetstream = client.jetstream()
                states = [await jetstream.consumer_info("SENSORS", name) for name in ("sensor-live", "sensor-store")]
                return all(state.num_pending == 0 and state.num_ack_pending == 0 for state in states)

            await until(acknowledged, "both consumers are through")
            state = (await client.jetstream().stream_info("REJECTED")).state
            assert state.messages == 1
            assert (await client.jetstream().get_msg("REJECTED", seq=1)).subject == "rejected.5407.TEST_1"
            await client.close()
