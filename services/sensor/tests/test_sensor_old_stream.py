"""An installation of before packs: what its SENSORS holds is worked off by this version, and then packs begin.

`recorded/sensors-91ab06c.json` is what commit 91ab06c left on NATS: its ingest, as a process, took 46 messages from a
real broker. The file has the configuration of the stream and of its two consumers, and each message with its headers.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import forked
import nats
import psycopg
import pytest
from kaiser_common.bus.connection import connect
from kaiser_common.bus.declare import apply
from kaiser_common.runtime.settings import CommonSettings

RECORDED = json.loads((Path(__file__).parent / "recorded" / "sensors-91ab06c.json").read_text())
MESSAGES = RECORDED["messages"]
STORED_BEFORE = 20
"""So many the old version has stored and acknowledged; none of them it has shown."""
SITE = "s560db014"
NEWEST_MS = 1_795_877_852_412
TYPES = {"DS18B20": "ds18b20", "light": "bh1750_light"}
"""The name in the table of a device's type, if it is not the same."""


async def leave_behind(url: str) -> None:
    """Bring the stream and its consumers into the state that the old version left."""
    client = await nats.connect(url)
    jetstream = client.jetstream()

    async def ask(subject: str, request: dict[str, Any]) -> None:
        answer = json.loads((await client.request(f"$JS.API.{subject}", json.dumps(request).encode())).data)
        assert "error" not in answer, answer

    await ask("STREAM.CREATE.SENSORS", RECORDED["stream"])
    for config in RECORDED["consumers"]:
        request = {"stream_name": "SENSORS", "config": config}
        await ask(f"CONSUMER.DURABLE.CREATE.SENSORS.{config['name']}", request)
    for message in MESSAGES:
        headers, body = message["headers"], message["body"].encode()
        if "Nats-Batch-Id" in headers and "Nats-Batch-Commit" not in headers:
            await client.publish(message["subject"], body, headers=headers)
        else:
            await client.request(message["subject"], body, headers=headers, timeout=60.0)
    subscription = await jetstream.pull_subscribe_bind("sensor-store", "SENSORS")
    for message in await subscription.fetch(STORED_BEFORE, timeout=60.0):
        await message.ack_sync()
    await client.close()


def pack(lines: int) -> bytes:
    """A pack: one JSON object a line."""
    return b"\n".join(
        json.dumps(
            {
                "kaiser_id": SITE,
                "esp_id": "ESP_0000",
                "ts": NEWEST_MS + 1000 + number,
                "received_at": NEWEST_MS + 2000,
                "gpio": 34,
                "sensor_type": "ph",
                "raw": 2000 + number,
                "raw_mode": True,
            }
        ).encode()
        for number in range(lines)
    )


def rows(database: str) -> list[tuple[Any, ...]]:
    """Key and figures of every row, in the order of the stream."""
    with psycopg.connect(database) as connection:
        return connection.execute(
            "SELECT esp_id, gpio, sensor_type, (extract(epoch FROM time) * 1000)::bigint, raw, value, unit, clock"
            " FROM sensor.data ORDER BY 4, 1, 2, 5"
        ).fetchall()


def expected() -> list[tuple[Any, ...]]:
    """The rows of what the old version had not stored, and of the pack."""
    readings = [json.loads(message["body"]) for message in MESSAGES[STORED_BEFORE:]]
    readings += [json.loads(line) for line in pack(3).split(b"\n")]
    found = [
        (
            one["esp_id"],
            one["gpio"],
            TYPES.get(one["sensor_type"], one["sensor_type"]),
            one["ts"],
            one.get("raw"),
            one.get("value"),
            one.get("unit"),
            one.get("clock", "device"),
        )
        for one in readings
    ]
    return sorted(found, key=lambda row: (row[3], row[0], row[1], row[4]))


def start(environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    return forked.Popen(["kaiser-sensor"], env=environment)


def until(condition):
    deadline = time.monotonic() + 60
    while not (result := condition()):
        assert time.monotonic() < deadline, "not within a minute"
        time.sleep(0.1)
    return result


@pytest.fixture
def old_bus(nats_factory) -> str:
    return nats_factory().url


async def test_what_the_version_before_packs_left_is_stored_and_shown_once_and_then_packs(
    old_bus, make_database, free_port
):
    await leave_behind(old_bus)
    settings = CommonSettings(nats_url=old_bus)
    async with connect(settings, "tests") as bus:
        await apply(bus)
        state = (await bus.jetstream.stream_info("SENSORS")).state
        assert (state.messages, state.last_seq) == (47, 47), "declaring anew keeps what is there"
        await bus.jetstream.publish(f"esp.sensor.data.{SITE}.0", pack(3), headers={"Nats-Msg-Id": "pack"})
        database = make_database()
        environment = {
            **os.environ,
            "KAISER_SENSOR_RETENTION_DAYS": "36500",
            "KAISER_NATS_URL": old_bus,
            "KAISER_DATABASE_URL": database,
            "KAISER_METRICS_PORT": str(free_port()),
        }
        sensor = start(environment)
        try:
            until(lambda: len(rows(database)) >= len(MESSAGES) - STORED_BEFORE + 3)
            assert rows(database) == expected()
            events = await read_events(bus)
            assert [event["raw"] for event in events if event["gpio"] == 34] == [*range(1000, 1040), 2000, 2001, 2002]
            assert len(events) == 50
            assert (await bus.jetstream.stream_info("REJECTED")).state.messages == 0
        finally:
            sensor.send_signal(signal.SIGTERM)
            assert sensor.wait(60) == 0
        for name in ("sensor-live", "sensor-store"):
            info = await bus.jetstream.consumer_info("SENSORS", name)
            assert (info.num_pending, info.num_ack_pending) == (0, 0)


async def read_events(bus) -> list[dict[str, Any]]:
    """The line of every event, in order, once there are fifty."""
    deadline = time.monotonic() + 60
    while True:
        last = (await bus.jetstream.stream_info("EVENTS")).state.last_seq
        messages = [await bus.jetstream.get_msg("EVENTS", seq) for seq in range(1, last + 1)]
        events = [
            json.loads(line)
            for message in messages
            if message.subject.startswith("event.sensor_data.")
            for line in message.data.split(b"\n")
        ]
        if len(events) >= 50:
            return events
        assert time.monotonic() < deadline
