"""Declarations on a real NATS server bound the readers of each stream and bucket."""

from typing import Any

import pytest
from kaiser_common.bus.connection import connect
from kaiser_common.bus.declare import apply
from kaiser_common.bus.pull import API, ask
from kaiser_common.contract.subjects import EVENTS, LEASE_BUCKET
from kaiser_common.runtime.settings import CommonSettings


@pytest.fixture
async def bus(nats_factory):
    async with connect(CommonSettings(nats_url=nats_factory().url), "test") as bus:
        await apply(bus)
        yield bus


async def consumer(bus: Any, stream: str, name: str, **config: Any) -> dict[str, Any]:
    """The server's answer to a new consumer."""
    config = {"name": name, "ack_policy": "none", "mem_storage": True, "num_replicas": 1, **config}
    request = {"stream_name": stream, "config": config, "action": "create"}
    return await ask(bus, f"{API}.CREATE.{stream}.{name}", request)


async def test_a_bucket_has_no_readers_without_end(bus):
    stream = f"KV_{LEASE_BUCKET.name}"
    answers = [await consumer(bus, stream, f"x{number}") for number in range(260)]
    refused = [answer["error"]["description"] for answer in answers if "error" in answer]
    assert refused == ["maximum consumers limit reached"] * 4


async def test_a_durable_consumer_that_nobody_reads_is_dropped_from_events_after_five_minutes(bus):
    kept = await consumer(bus, EVENTS.name, "own", durable_name="own")
    assert kept["config"]["inactive_threshold"] == int(300e9)
    longer = await consumer(bus, EVENTS.name, "longer", inactive_threshold=int(3600e9))
    assert "error" in longer


async def test_a_stream_of_an_older_version_gets_its_limits_and_keeps_its_messages(bus):
    await bus.publish("event.system_event._", b"{}", "one")
    info = await ask(bus, f"$JS.API.STREAM.INFO.{EVENTS.name}", {})
    old = {**info["config"], "max_consumers": -1, "consumer_limits": {}}
    assert "error" not in await ask(bus, f"$JS.API.STREAM.UPDATE.{EVENTS.name}", old)
    await consumer(bus, EVENTS.name, "reading", inactive_threshold=int(60e9))
    await consumer(bus, EVENTS.name, "unlimited", durable_name="unlimited")
    assert await apply(bus) == [EVENTS.name]
    info = await ask(bus, f"$JS.API.STREAM.INFO.{EVENTS.name}", {})
    assert info["config"]["max_consumers"] == EVENTS.max_consumers
    assert info["state"]["messages"] == 1
    assert info["state"]["consumer_count"] == 2
