"""The cost of a reading for one replica that reads a full stream: CPU by the kernel's count, and memory.

The named benchmark is KAISER_TEST_STREAM=500000 on a machine of one's own.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from kaiser_common.bus.connection import Outgoing, connect

ASKED = os.environ.get("KAISER_TEST_STREAM")
READINGS = int(ASKED or 10_000)
DEVICES = 500
MOST_RSS_MB = 150
RATE, CPU_US = 25_000, 25


def outgoing(number: int, start_ms: int) -> Outgoing:
    esp_id, gpio = f"TEST_{number % DEVICES}", number // DEVICES % 4
    body = {
        "kaiser_id": "god",
        "esp_id": esp_id,
        "gpio": gpio,
        "sensor_type": "DS18B20",
        "raw": 2150,
        "raw_value": 21.5,
        "raw_mode": False,
        "value": 21.5,
        "unit": "°C",
        "quality": "good",
        "ts": start_ms + number // 20,
        "received_at": start_ms + number // 20,
    }
    return Outgoing(f"esp.sensor.data.god.{esp_id}.{gpio}", json.dumps(body).encode(), f"speed-{number}")


async def fill(settings) -> None:
    start_ms = int(time.time() * 1000) - READINGS // 20
    async with connect(settings, "test") as bus:
        for start in range(0, READINGS, 1000):
            await bus.publish_batch([outgoing(number, start_ms) for number in range(start, start + 1000)])


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_rss_mb(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def count(connection: psycopg.Connection) -> int:
    return connection.execute("SELECT count(*) FROM sensor.data").fetchone()[0]


@pytest.mark.timeout(900)
def test_a_full_stream_is_stored_in_little_memory_and_cpu(bus_settings, make_database, free_port, capsys):
    database = make_database()
    asyncio.run(fill(bus_settings))
    environment = {
        **os.environ,
        "KAISER_NATS_URL": bus_settings.nats_address,
        "KAISER_DATABASE_URL": database,
        "KAISER_METRICS_PORT": str(free_port()),
        "KAISER_LOG_LEVEL": "warning",
    }
    command = [sys.executable, "-c", "from kaiser_sensor.app import main; main()"]
    with (
        psycopg.connect(database, autocommit=True) as connection,
        subprocess.Popen(command, env=environment) as process,
    ):
        try:
            deadline = time.monotonic() + 600
            while not (first := count(connection)):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            began, cpu_before = time.monotonic(), cpu_s(process.pid)
            while count(connection) < READINGS:
                assert time.monotonic() < deadline
                time.sleep(0.3)  # counting 20 times a second takes a good part of PostgreSQL's core
            seconds, cpu = time.monotonic() - began, cpu_s(process.pid) - cpu_before
            rss_mb = peak_rss_mb(process.pid)
        finally:
            process.kill()
    rate, cpu_us = (READINGS - first) / seconds, cpu / (READINGS - first) * 1e6
    with capsys.disabled():
        print(
            f"\n{READINGS} readings, load {os.getloadavg()[0]:.1f}: {rate:.0f} stored a second, {cpu_us:.1f} µs CPU a"
            f" reading for its event and its row, peak RSS {rss_mb:.0f} MB"
        )
    assert rss_mb <= MOST_RSS_MB
    if ASKED:
        assert rate >= RATE
        assert cpu_us <= CPU_US
