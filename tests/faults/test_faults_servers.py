"""Servers that refuse: a database that only reads, a stream that is full, a backlog of a million."""

import asyncio
import json
import signal
from pathlib import Path

import actions
import nats
import pytest
from harness import Stack
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


FULL_BYTES = 2_000_000
"""More than a batch of ingest's (1,000 messages) needs, less than 10 s of traffic."""


@pytest.mark.in_short_form(stack={"mosquitto"})
async def test_a_full_stream_refuses_and_the_broker_keeps_the_rest(stack: Stack, verdicts: Path, seed: int, full: bool):
    async with trial(stack, "stream-full", verdicts, seed=seed) as run:
        before = await limit(stack, "SENSORS", FULL_BYTES)
        actions.down(stack, "sensor", signal.SIGTERM)
        run.note(f"sensor is stopped, SENSORS may hold {FULL_BYTES} bytes")
        try:
            await run.flow(20.0 if full else 2.0)
            while (size := await size_of(stack, "SENSORS")) < FULL_BYTES / 2:
                run.send(500)
                await run.flow(0.5)
            assert size <= FULL_BYTES, f"SENSORS holds {size} bytes"
        finally:
            actions.up(stack, "sensor")
        run.note("sensor is started")
        await run.recovered()
        await limit(stack, "SENSORS", before)


async def limit(stack: Stack, stream: str, max_bytes: int) -> int:
    """Change how much a stream holds; returns how much it was."""
    client = await nats.connect(stack.addresses["nats_url"])
    try:
        reply = await client.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=5)
        config = json.loads(reply.data)["config"]
        before = int(config["max_bytes"])
        changed = json.dumps(config | {"max_bytes": max_bytes}).encode()
        answer = json.loads((await client.request(f"$JS.API.STREAM.UPDATE.{stream}", changed, timeout=5)).data)
        assert "error" not in answer, answer
    finally:
        await client.close()
    return before


async def size_of(stack: Stack, stream: str) -> int:
    client = await nats.connect(stack.addresses["nats_url"])
    try:
        reply = await client.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=5)
        return int(json.loads(reply.data)["state"]["bytes"])
    finally:
        await client.close()


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
