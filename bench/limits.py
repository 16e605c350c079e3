"""The capacity of each stage (MQTT, JetStream, PostgreSQL) alone, on the same servers: the slowest limits the whole."""

import asyncio
import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import nats

from bench import sender
from bench.bed import Bed

_ROWS_AT_ONCE = 1_000
_PENDING = 4_000


def receive_mqtt(bed: Bed, count: int) -> float:
    """Messages a second that a bare receiver takes from the broker."""
    job = bed.job(count, devices=1000, prefix=sender.BARE)
    command = [sys.executable, "-m", "bench.receiver", job.host, str(job.port), f"{sender.BARE}/#", str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as receiver, sender.start(job) as sending:
        assert receiver.stdout
        try:
            receiver.stdout.readline()
            sending.go()
            sent = sending.result()
            last = json.loads(receiver.stdout.readline())
        finally:
            receiver.kill()
    assert last["received"] == count, f"{last['received']} of {count} messages came"
    return count / float(last["at"] - sent["started"])


async def publish_jetstream(bed: Bed, count: int) -> float:
    """Messages a second that JetStream acknowledges from disk, published asynchronously by nats-py."""
    client = await nats.connect(bed.stack.addresses["nats_url"])
    body = sender.payload("TEST_B00000", 1_767_225_600_000, 1)
    try:
        jetstream = client.jetstream(publish_async_max_pending=_PENDING)
        await jetstream.add_stream(name="BENCH", subjects=["bench.>"])
        started = time.monotonic()
        for _ in range(count):
            await jetstream.publish_async("bench.1", body, wait_stall=30.0)
        async with asyncio.timeout(120.0):
            await jetstream.publish_async_completed()
        took_s = time.monotonic() - started
        stored = (await jetstream.stream_info("BENCH")).state.messages
        await jetstream.delete_stream("BENCH")
    finally:
        await client.close()
    assert stored == count, f"{stored} of {count} are stored"
    return count / took_s


def upsert(bed: Bed, count: int) -> float:
    """Rows a second by COPY into a temporary table and one INSERT … ON CONFLICT, a thousand to a transaction."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    columns = (
        "time, esp_id, gpio, sensor_type, address, raw, raw_value, value, unit, quality, processing_mode, data_source,"
        " clock"
    )
    with bed.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS bench_data")
        connection.execute(
            "CREATE TABLE bench_data (LIKE sensor.data, PRIMARY KEY (esp_id, gpio, sensor_type, address, time))"
        )
        started = time.monotonic()
        for first in range(0, count, _ROWS_AT_ONCE):
            with connection.transaction():
                connection.execute("CREATE TEMP TABLE arriving (LIKE bench_data) ON COMMIT DROP")
                with connection.cursor().copy(f"COPY arriving ({columns}) FROM STDIN") as copy:
                    for number in range(first, first + _ROWS_AT_ONCE):
                        device = f"TEST_B{number % 1000:05}"
                        at = start + timedelta(milliseconds=number)
                        copy.write_row(
                            (at, device, 4, "ds18b20", "", 1.0, 21.5, 21.5, "°C", "good", "device", "real", "device")
                        )
                connection.execute(
                    f"INSERT INTO bench_data ({columns}) SELECT {columns} FROM arriving ON CONFLICT DO NOTHING"
                )
        took_s = time.monotonic() - started
        connection.execute("DROP TABLE bench_data")
    return count / took_s


def limits(bed: Bed, count: int) -> dict[str, int]:
    """All three, in messages a second."""
    return {
        "mqtt_receive": round(receive_mqtt(bed, count)),
        "jetstream_publish": round(asyncio.run(publish_jetstream(bed, count))),
        "copy_upsert": round(upsert(bed, count)),
    }
