"""The straight line through the sensor service, as a real process on real servers."""

import asyncio
import json
import os
import signal
import time

import forked
import nats
import psycopg
import pytest
from waiting import until as until_async

NOW_MS = int(time.time() * 1000)
READING = {
    "kaiser_id": "god",
    "esp_id": "ESP_0A1B2C3D",
    "gpio": 4,
    "sensor_type": "DS18B20",
    "raw": 2150,
    "raw_value": 21.5,
    "raw_mode": False,
    "value": 21.5,
    "unit": "°C",
    "quality": "good",
    "ts": NOW_MS,
    "received_at": NOW_MS + 10,
}


@pytest.fixture(scope="module", params=["postgresql", "timescaledb-apache"])
def level(request) -> str:
    """The other level's test server has one connection, too few for a service."""
    return request.param


@pytest.fixture
def database(storage) -> str:
    return storage


@pytest.fixture
def sensor(bus_settings, database, free_port):
    environment = {
        "KAISER_SENSOR_ROLLUP_EVERY_S": "1",
        **os.environ,
        "KAISER_NATS_URL": bus_settings.nats_address,
        "KAISER_DATABASE_URL": database,
        "KAISER_METRICS_PORT": str(free_port()),
    }
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE sensor.data")
        connection.execute("TRUNCATE sensor.latest")
    process = forked.Popen(["kaiser-sensor"], env=environment)
    yield process
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


@pytest.fixture
async def jetstream(bus_settings):
    client = await nats.connect(bus_settings.nats_address)
    yield client.jetstream()
    await client.close()


async def send(jetstream, **changes) -> None:
    reading = {**READING, **changes}
    await jetstream.publish(f"esp.sensor.data.god.{reading['esp_id']}.{reading['gpio']}", json.dumps(reading).encode())


def rows(database: str, query: str) -> list[tuple]:
    with psycopg.connect(database) as connection:
        return connection.execute(query).fetchall()


def until(condition, timeout_s: float = 60.0):
    deadline = time.monotonic() + timeout_s
    while not (result := condition()):
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.1)
    return result


async def test_a_reading_becomes_one_row_and_one_event_however_often_it_comes(sensor, jetstream, database):
    for _ in range(3):
        await send(jetstream)
    await send(jetstream, ts=READING["ts"] + 1000, value=22.0)
    stored = until(lambda: len(r := rows(database, "SELECT value FROM sensor.data ORDER BY time")) == 2 and r)
    assert stored == [(21.5,), (22.0,)]
    until(lambda: rows(database, "SELECT value FROM sensor.latest") == [(22.0,)])
    event = await jetstream.get_msg("EVENTS", seq=1)
    assert event.subject == "event.sensor_data.0"
    data = json.loads(event.data)
    assert (data["value"], data["topic"]) == (21.5, "kaiser/god/esp/ESP_0A1B2C3D/sensor/4/data")


async def test_what_the_database_cannot_store_is_rejected_and_the_rest_is_kept(sensor, jetstream, database):
    for number in range(20):
        # PostgreSQL text holds no NUL; the bus lets it through.
        await send(jetstream, ts=READING["ts"] + number, sensor_type="a\0b" if number == 7 else "ph")
    until(lambda: rows(database, "SELECT count(*) FROM sensor.data WHERE sensor_type = 'ph'") == [(19,)])

    async def rejected():
        try:
            return await jetstream.get_msg("REJECTED", seq=1)
        except nats.js.errors.NotFoundError:
            return None

    deadline = time.monotonic() + 60
    while (message := await rejected()) is None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert message.subject == "rejected.5305.ESP_0A1B2C3D"


async def test_rollups_follow_without_being_asked(sensor, jetstream, database):
    start = READING["ts"] // 60_000 * 60_000 - 600_000
    for number in range(4):
        await send(jetstream, ts=start + number * 20_000, value=20.0 + number)
    query = "SELECT count::int, min, max, last FROM sensor.rollup_1m WHERE time = to_timestamp({})"
    query = query.format(start / 1000)
    until(lambda: rows(database, query) == [(3, 20.0, 22.0, 22.0)])
    await send(jetstream, ts=start + 30_000, value=10.0)
    until(lambda: rows(database, query) == [(4, 10.0, 22.0, 22.0)])


async def rejected(jetstream) -> list[int]:
    count = (await jetstream.stream_info("REJECTED")).state.messages
    if not count:
        return []
    first = (await jetstream.stream_info("REJECTED")).state.first_seq
    found = [json.loads((await jetstream.get_msg("REJECTED", seq)).data) for seq in range(first, first + count)]
    return [entry["code"] for entry in found]


async def test_what_is_sent_is_stored_or_rejected_and_two_probes_are_two_sensors(sensor, jetstream, database):
    """Fifty readings of one time with different values; two probes on one pin in one second; one reading five times."""
    for number in range(50):
        await send(jetstream, value=float(number), raw_value=None, esp_id="ESP_FC01", clock="server")
    for address, value in (("28AA0102030405C1", 20.25), ("28AA0102030405C2", 61.5)):
        await send(jetstream, address=address, value=value, raw_value=None, esp_id="ESP_FC03")
    for _ in range(5):
        await send(jetstream, esp_id="ESP_FC08")
    codes = await until_async(lambda: _at_least(jetstream, 49))
    assert codes == [5208] * 49
    until(lambda: rows(database, "SELECT count(*) FROM sensor.data") == [(4,)], 60)
    probes = "SELECT address, value FROM sensor.{} WHERE esp_id = 'ESP_FC03' ORDER BY address"
    expected = [("28AA0102030405C1", 20.25), ("28AA0102030405C2", 61.5)]
    assert rows(database, probes.format("data")) == expected
    assert rows(database, probes.format("latest")) == expected
    assert rows(database, "SELECT value FROM sensor.latest WHERE esp_id = 'ESP_FC01'") == [(0.0,)]


async def _at_least(jetstream, count: int) -> list[int]:
    codes = await rejected(jetstream)
    return codes if len(codes) >= count else []
