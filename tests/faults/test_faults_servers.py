"""Servers that refuse: a database that only reads, a stream that is full, a backlog of a million."""

import asyncio
import signal
from pathlib import Path

import actions
import nats
import pytest
from harness import Stack, wait_until
from nats.aio.client import Client
from nats.js.errors import APIError
from streams import info_of, limit, waits_s
from trial import RECOVERY_S, Trial, trial


@pytest.mark.in_short_form(stack={"mosquitto"})
async def test_a_database_that_only_reads_holds_the_store_up_and_loses_nothing(
    stack: Stack, verdicts: Path, seed: int, full: bool
):
    async with trial(stack, "read-only", verdicts, seed=seed) as run:
        await asyncio.to_thread(actions.read_only, stack, True)
        run.note("PostgreSQL is read-only")
        try:
            await run.flow(20.0 if full else 5.0)
        finally:
            await asyncio.to_thread(actions.read_only, stack, False)
        run.note("PostgreSQL writes again")
        await run.recovered()


ROOM_BYTES = 4_000_000
"""More than the last 16 packs of 1,000 readings, which sensor always keeps."""
_RECORD_BYTES = 256
"""nats-server compares a message without what its record adds to it: 30 bytes and its subject."""
_PROBE_BYTES = 20_000
_TOO_MANY_BYTES = 10077
_REFUSED_FOR_S = 5.0
_FULL_WITHIN_S = 240.0


@pytest.mark.in_short_form(stack={"mosquitto"})
async def test_a_full_stream_refuses_and_the_broker_keeps_the_rest(stack: Stack, verdicts: Path, seed: int, full: bool):
    [probe] = await asyncio.to_thread(stack.register, 1)
    async with trial(stack, "stream-full", verdicts, seed=seed) as run:
        before = (await info_of(stack, "SENSORS"))["config"]["max_bytes"]
        try:
            await asyncio.to_thread(stop, stack, "sensor")
            try:
                most = (await info_of(stack, "SENSORS"))["state"]["bytes"] + ROOM_BYTES
                await limit(stack, "SENSORS", most)
                run.note(f"sensor is stopped, SENSORS may hold {most} bytes")
                await run.flow(20.0 if full else 2.0)
                await fill(run, probe)
                size = (await info_of(stack, "SENSORS"))["state"]["bytes"]
                assert size <= most + _RECORD_BYTES, f"SENSORS holds {size} bytes of {most}"
            finally:
                actions.up(stack, "sensor")
            run.note("sensor is started")
            await run.recovered()
        finally:
            await limit(stack, "SENSORS", before)


def stop(stack: Stack, victim: str) -> None:
    """End it and wait until it has: sensor takes nothing out of SENSORS from then on."""
    actions.down(stack, victim, signal.SIGTERM)
    wait_until(lambda: victim not in stack.pids(), f"{victim} has ended")


async def fill(run: Trial, probe: str) -> None:
    """Send until SENSORS refuses: a message of the size of a pack, and for some time what ingest has."""
    client = await nats.connect(run.stack.addresses["nats_url"])
    try:
        async with asyncio.timeout(_FULL_WITHIN_S):
            while await is_taken(client, probe) or await asyncio.to_thread(waits_s, run.stack) < _REFUSED_FOR_S:
                run.send(1000)
                await run.flow(0.5)
    finally:
        await client.close()


async def is_taken(client: Client, esp_id: str) -> bool:
    """Whether SENSORS takes a message; sensor will reject it, because it is no reading."""
    try:
        await client.jetstream().publish(f"esp.sensor.data.god.{esp_id}.4", b"x" * _PROBE_BYTES, timeout=10)
    except APIError as error:
        if error.err_code != _TOO_MANY_BYTES:
            raise
        return False
    return True


@pytest.mark.in_short_form(stack={"mosquitto"})
async def test_a_backlog_is_worked_off_while_new_readings_come(stack: Stack, verdicts: Path, seed: int, full: bool):
    mosquitto = stack.environment["KAISER_MQTT_BROKER"] == "mosquitto"
    count = 10_000 if not full else 1_000_000 if mosquitto else 50_000
    per_s = 5_000 if mosquitto else 1_000  # NATS takes them faster than it hands them on: docs/performance.md
    async with trial(stack, "backlog", verdicts, seed=seed, watched=False) as run:
        actions.down(stack, "sensor", signal.SIGTERM)
        run.note(f"sensor is stopped, {count} messages are sent")
        try:
            await pour(run, count)
        finally:
            actions.up(stack, "sensor")
        run.note("sensor is started")
        await run.recovered(within_s=RECOVERY_S + count / per_s)


async def pour(run: Trial, count: int) -> None:
    """Send so many more, as fast as they are acknowledged, and wait until they are."""
    first = len(run.sent_at)
    while len(run.sent_at) < first + count:
        run.send(200)
        await asyncio.sleep(0)
        await run.until(lambda: len(run.sent_at) - len(run.acknowledged) < 5_000, 60.0, "the window has room")
    await run.until(lambda: len(run.acknowledged) >= first + count, 120.0, "the backlog is acknowledged")
