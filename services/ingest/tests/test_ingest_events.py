"""System events of ingest while NATS is away."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from kaiser_common.bus.connection import connect
from kaiser_common.bus.declare import apply
from kaiser_common.contract.system_events import SystemEventName
from kaiser_common.runtime.loops import beside
from kaiser_common.runtime.settings import CommonSettings
from kaiser_ingest import metrics, publish
from kaiser_ingest.publish import SystemEvents
from structlog.testing import capture_logs

NAMES: list[SystemEventName] = ["ingest_stalled", "ingest_lease_lost", "ingest_goes_on"]


def dropped() -> float:
    return float(metrics.EVENTS_DROPPED._value.get())


async def test_events_wait_for_nats_and_are_published_in_order(
    nats_factory: Callable[..., Any], until: Callable[..., Any]
) -> None:
    server = nats_factory()
    before = dropped()
    async with connect(CommonSettings(nats_url=server.url), "test") as bus:
        await apply(bus)
        events = SystemEvents(bus)
        async with beside(events=events.run()):
            await asyncio.to_thread(server.kill)
            for name in NAMES:
                events.report(name, "critical", "while NATS is away")
            with capture_logs() as logs:
                await until(lambda: any(line["event"] == "system_event_waits" for line in logs))
            await asyncio.to_thread(server.start)
            subscription = await bus.jetstream.subscribe("event.system_event.>", ordered_consumer=True)
            found = [json.loads((await subscription.next_msg(60.0)).data)["event"] for _ in NAMES]
    assert found == NAMES
    assert dropped() == before


async def test_an_event_waits_no_longer_than_the_stream_would_keep_it(
    nats_factory: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, until: Callable[..., Any]
) -> None:
    monkeypatch.setattr(publish, "_KEPT_S", 0.0)
    server = nats_factory()
    before = dropped()
    async with connect(CommonSettings(nats_url=server.url), "test") as bus:  # without streams NATS stores nothing
        events = SystemEvents(bus)
        async with beside(events=events.run()):
            events.report("ingest_stalled", "critical", "nobody keeps it")
            await until(lambda: dropped() == before + 1)


async def test_an_event_that_nats_never_takes_holds_up_no_other(nats_factory: Callable[..., Any]) -> None:
    server = nats_factory()
    before = dropped()
    async with connect(CommonSettings(nats_url=server.url), "test") as bus:
        await apply(bus)
        events = SystemEvents(bus)
        async with beside(events=events.run()):
            events.report("ingest_stalled", "critical", "x" * (bus.client.max_payload + 1))
            events.report("ingest_goes_on", "info", "after it")
            subscription = await bus.jetstream.subscribe("event.system_event.>", ordered_consumer=True)
            found = json.loads((await subscription.next_msg(60.0)).data)["event"]
    assert found == "ingest_goes_on"
    assert dropped() == before + 1
