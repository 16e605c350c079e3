"""The frame of handlers: our subscribers on FastStream, on a real NATS server."""

import ast
import asyncio
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import jsonschema_rs
import pytest
from kaiser_common.bus import requests
from kaiser_common.bus.connection import Bus, BusUnavailable, Outgoing, connect
from kaiser_common.bus.consumer import Consumer
from kaiser_common.bus.pull import Delivery
from kaiser_common.bus.rpc import Caller, NotRunning, RpcError, call
from kaiser_common.contract.subjects import CONSUMERS, HEALTH
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.consume import Unreadable
from kaiser_common.runtime.service import Service
from kaiser_common.runtime.settings import CommonSettings
from pydantic import BaseModel

SERVICES = Path(__file__).parents[3] / "services"
ADA = Caller(user="ada", role="operator")


class Count(BaseModel):
    n: int = 0


@pytest.fixture
async def bus(bus_settings):
    async with connect(CommonSettings(nats_url=bus_settings.nats_address), "test") as bus:
        yield bus


@pytest.fixture
async def caller(bus_settings):
    async with connect(CommonSettings(nats_url=bus_settings.nats_address), "caller") as bus:
        yield bus


def broker_of(bus: Bus, service: Service | None = None) -> Broker:
    return Broker(bus, service or Service("test"), CommonSettings())


async def fate(asked) -> str:
    try:
        await asked
    except NotRunning:
        return "nobody"
    except RpcError as refused:
        return str(refused.problem.code)
    return "answered"


async def test_no_request_is_lost_when_a_service_stops_amid_hundreds(bus, caller, monkeypatch):
    """Each is answered, or its caller learns at once that nobody is there: none waits for its timeout."""
    monkeypatch.setattr(requests, "_DRAIN_WITHIN_S", 30.0)  # no test of the machine
    done = []

    async def add(request: Count, _: Caller) -> Count:
        await asyncio.sleep(0)
        done.append(request.n)
        return request

    ask = partial(call, caller, "test", "add", answer=Count, caller=ADA, timeout_s=60.0)
    fates: list[str] = []
    for _ in range(10):
        broker = broker_of(bus)
        broker.rpc().method("add")(add)
        async with asyncio.TaskGroup() as tasks:
            async with broker.serving():
                await bus.round_trip(60)  # NATS knows the subscription
                asked = [tasks.create_task(fate(ask(request=Count(n=number)))) for number in range(40)]
                async with asyncio.timeout(60):
                    while not done:  # noqa: ASYNC110 - the stop comes at the first answer
                        await asyncio.sleep(0)
            asked += [tasks.create_task(fate(ask(request=Count(n=number)))) for number in range(5)]
        fates += [each.result() for each in asked]
        done.clear()
    assert set(fates) <= {"answered", "nobody"}
    assert fates.count("answered") >= 10
    assert fates.count("nobody") >= 50, "those after the stop"


async def test_a_service_that_nats_does_not_answer_takes_no_more_requests_once_it_stops(bus, caller, monkeypatch):
    """As after a lost lease: what still comes is refused, and its caller may ask the next holder."""
    done = []

    async def add(request: Count, _: Caller) -> Count:
        done.append(request.n)
        return request

    async def away() -> None:
        raise BusUnavailable("NATS does not answer")

    broker = broker_of(bus)
    broker.rpc().method("add")(add)
    kept = await caller.client.subscribe("rpc.test.*", queue="other")
    async with broker.serving():
        await bus.round_trip(60)  # NATS knows the subscription
        assert await fate(call(caller, "test", "add", Count(), Count, caller=ADA)) == "answered"
        monkeypatch.setattr(bus.client, "confirm", away)
    assert await fate(call(caller, "test", "add", Count(), Count, caller=ADA, timeout_s=0.5)) == "5403"
    assert done == [0]
    await kept.unsubscribe()


def plain_subscribers(source: str) -> list[int]:
    """Lines on which FastStream's own subscriber or publisher is made: it waits, or loses (docs/decisions/1403)."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.Attribute) and node.attr in {"subscriber", "publisher"})
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "faststream")
    ]


@pytest.mark.parametrize("service", sorted(path.name for path in SERVICES.iterdir() if path.is_dir()))
def test_a_service_registers_on_our_subscribers_alone(service):
    found = {str(path): plain_subscribers(path.read_text()) for path in (SERVICES / service / "src").rglob("*.py")}
    assert {path: lines for path, lines in found.items() if lines} == {}, "broker.durable, broker.rpc"


def test_a_plain_subscriber_is_seen():
    assert plain_subscribers("@broker.subscriber('a')\nasync def take(m): ...") == [1]
    assert plain_subscribers("from faststream.nats import NatsBroker") == [1]
    assert plain_subscribers("broker.durable(consumer)(on_messages)") == []


async def test_a_batch_goes_to_its_handler_and_is_acknowledged_after_it(bus):
    taken: list[list[bytes]] = []

    async def on_messages(batch: Sequence[Delivery]) -> Unreadable:
        taken.append([each.body for each in batch])
        return ()

    service = Service("test")
    broker = broker_of(bus, service)
    await bus.publish_batch([Outgoing("esp.system.heartbeat.god.ESP_1", b"%d" % n, f"id-{n}") for n in range(50)])
    broker.durable(Consumer(bus, HEALTH))(on_messages)
    async with broker.serving():
        async with asyncio.timeout(60):
            while (await bus.jetstream.consumer_info("DEVICES", "health")).ack_floor.stream_seq < 50:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert (await service.readiness())["consumer health"] == "ok"
    assert [body for batch in taken for body in batch] == [b"%d" % n for n in range(50)]
    assert len(taken) < 50, "a batch at a time"


async def test_what_a_loop_raises_ends_the_work_and_what_was_taken_comes_again(bus, monkeypatch):
    async def on_messages(batch: Sequence[Delivery]) -> Unreadable:
        return ()

    async def fail(self, batch: Sequence[Delivery]) -> None:
        raise ZeroDivisionError("a bug of the loop")

    await bus.publish("esp.system.heartbeat.god.ESP_1", b"1")
    broker = broker_of(bus)
    broker.durable(Consumer(bus, HEALTH))(on_messages)
    with monkeypatch.context() as patched:
        patched.setattr(Consumer, "ack", fail)
        with pytest.RaisesGroup(pytest.RaisesExc(ZeroDivisionError), flatten_subgroups=True):
            async with asyncio.timeout(60), broker.serving():
                await asyncio.Event().wait()
    state = await bus.jetstream.consumer_info("DEVICES", "health")
    assert state.num_ack_pending + state.num_pending == 1


async def test_work_that_is_cancelled_lets_go_of_its_batch_at_once(bus):
    """As when a lease is lost: a handler that hangs does not hold the lease's end up."""
    inside = asyncio.Event()

    async def hang(batch: Sequence[Delivery]) -> Unreadable:
        inside.set()
        await asyncio.Event().wait()
        return ()

    await bus.publish("esp.system.heartbeat.god.ESP_1", b"1")
    broker = broker_of(bus)
    broker.durable(Consumer(bus, HEALTH))(hang)

    async def work() -> None:
        async with broker.serving():
            await asyncio.Event().wait()

    working = asyncio.create_task(work())
    async with asyncio.timeout(60):
        await inside.wait()
        working.cancel()
        await asyncio.wait([working])
    assert working.cancelled()
    assert (await bus.jetstream.consumer_info("DEVICES", "health")).num_ack_pending == 1


async def test_the_description_names_what_is_answered_and_taken(bus):
    async def add(request: Count, _: Caller) -> Count:
        """Add a number. Killed: nothing is added."""
        return request

    async def on_messages(batch: Sequence[Delivery]) -> Unreadable:
        return ()

    service = Service("test")
    broker = broker_of(bus, service)
    broker.rpc().method("add", least="operator")(add)
    broker.durable(Consumer(bus, HEALTH))(on_messages)
    assert service.asyncapi()["channels"] == {}
    async with broker.serving():
        document = service.asyncapi()
    assert service.asyncapi()["channels"] == {}
    assert document["asyncapi"] == "3.0.0"
    channels = document["channels"]
    assert channels["rpc.test.add"]["address"] == "rpc.test.add"
    assert channels["rpc.test.add"]["description"] == "Add a number. Killed: nothing is added. Least role: operator."
    assert document["components"]["schemas"]["Count"]["properties"]["n"]["type"] == "integer"
    assert document["operations"]["rpc.test.addSubscribe"]["reply"]["channel"]["$ref"].endswith("rpc.test.add-answer")
    assert {"health-esp.system.heartbeat", "health-esp.zone.ack"} <= set(channels)
    assert not any("sensor" in name for name in channels)


def references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from references(each)


async def test_a_description_of_every_consumer_is_valid_and_each_reference_leads_somewhere(bus):
    async def add(request: Count, _: Caller) -> Count:
        return request

    async def on_messages(batch: Sequence[Delivery]) -> Unreadable:
        return ()

    service = Service("test")
    broker = broker_of(bus, service)
    broker.rpc().method("add")(add)
    for spec in CONSUMERS:
        broker.durable(Consumer(bus, spec))(on_messages)
    service.documents.append(broker.document)
    document = service.asyncapi()
    official = json.loads((SERVICES / "websocket-gateway/tests/vendor/asyncapi-3.0.0.json").read_text())
    errors = list(jsonschema_rs.Draft7Validator(official).iter_errors(document))
    assert [f"{list(error.instance_path)}: {error.message[:200]}" for error in errors] == []
    for reference in references(document):
        found = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step.replace("~1", "/").replace("~0", "~")]
