"""Publishing, consuming, mirroring and asking over a real NATS server."""

import asyncio
import dataclasses
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from answering import Method, serve
from kaiser_common.bus import declare
from kaiser_common.bus.client import KaiserClient
from kaiser_common.bus.connection import Bus, BusClosed, BusUnavailable, Outgoing, connect
from kaiser_common.bus.consumer import Consumer, Spacing
from kaiser_common.bus.metrics import BUS_OLDEST, BUS_PENDING, BUS_UNACKNOWLEDGED
from kaiser_common.bus.mirror import Mirror
from kaiser_common.bus.pull import Delivery, Pull
from kaiser_common.bus.reader import OrderedReader
from kaiser_common.bus.requests import Outages
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.system import ReplicaStatus
from kaiser_common.contract.subjects import STATUS_SUBJECT, Bucket, DurableConsumer, Stream
from kaiser_common.runtime.logs import ErrorMemory
from kaiser_common.runtime.service import Service
from kaiser_common.runtime.settings import CommonSettings
from kaiser_common.runtime.status import answer_status
from nats.aio.client import Client
from nats.errors import Error as NatsError
from pydantic import BaseModel
from waiting import until

ADA = Caller(user="ada", role="operator", request_id="r1")
STREAM = Stream("TEST", ("test.>",), "limits", "file", 10_000_000, "new")
CONSUMER = DurableConsumer("TEST", "reader", ("test.>",), ack_wait_s=2.0)
BUCKET = Bucket("testbucket")


@pytest.fixture
async def bus(nats_factory) -> AsyncIterator[Bus]:
    """A bus on a server of its own, with one stream, one consumer and one bucket."""
    server = nats_factory()
    async with connect(CommonSettings(nats_url=server.url), "test") as bus:
        bus.server = server
        await declare._apply_stream(bus, STREAM.name, declare.stream_config(STREAM))
        await declare._apply_stream(bus, f"KV_{BUCKET.name}", declare.bucket_config(BUCKET))
        await declare._apply_consumer(bus, CONSUMER)
        yield bus


async def stored(bus: Bus, stream: str = "TEST") -> int:
    reply = await bus.client.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=30)
    return json.loads(reply.data)["state"]["messages"]


async def consumer_info(bus: Bus, name: str = CONSUMER.name) -> dict[str, Any]:
    reply = await bus.client.request(f"$JS.API.CONSUMER.INFO.TEST.{name}", b"", timeout=30)
    return dict(json.loads(reply.data))


async def nothing_is_left(bus: Bus) -> bool:
    """Whether every message was delivered and acknowledged."""
    info = await consumer_info(bus)
    return info["num_pending"] == info["num_ack_pending"] == 0


async def is_asked(bus: Bus) -> bool:
    """Whether a pull waits at the server."""
    return (await consumer_info(bus))["num_waiting"] > 0


async def take(consumer: Consumer, count: int) -> list[Delivery]:
    """The next `count` messages, acknowledged."""
    taken: list[Delivery] = []
    async with asyncio.timeout(60):
        async for batch in consumer:
            taken.extend(batch)
            await consumer.ack(batch)
            if len(taken) >= count:
                break
    return taken


def numbered(bus: Bus, count: int, size: int = 0) -> list[Outgoing]:
    return [Outgoing("test.a", str(number).rjust(size).encode(), bus.message_id()) for number in range(count)]


async def test_a_batch_of_any_size_is_stored_in_order(bus):
    await bus.publish_batch(numbered(bus, 2500))
    async with Consumer(bus, CONSUMER).open() as consumer:
        assert [int(delivery.body) for delivery in await take(consumer, 2500)] == list(range(2500))


@pytest.mark.parametrize(("count", "size"), [(3, 0), (15, 0), (30, 0), (30, 24 * 1024)])
async def test_what_need_not_be_ordered_is_stored_all_the_same_and_never_twice(bus, count, size):
    messages = numbered(bus, count, size)
    await bus.publish_batch(messages[1:2], ordered=False)
    for _ in range(2):
        await bus.publish_batch(messages, ordered=False)
    async with Consumer(bus, CONSUMER).open() as consumer:
        assert sorted(int(delivery.body) for delivery in await take(consumer, count)) == list(range(count))
    assert await stored(bus) == count


async def test_a_consumer_tells_its_lag_while_nothing_is_taken(bus, monkeypatch):
    monkeypatch.setattr("kaiser_common.bus.consumer._LAG_EVERY_S", 0.05)
    pending = BUS_PENDING.labels(CONSUMER.name)._value
    unacknowledged = BUS_UNACKNOWLEDGED.labels(CONSUMER.name)._value
    oldest = BUS_OLDEST.labels(CONSUMER.name)._value
    async with Consumer(bus, CONSUMER, max_messages=10).open() as consumer:
        await bus.publish_batch(numbered(bus, 25))
        async for batch in consumer:
            await until(lambda: oldest.get() > 0)
            stored_at = batch[0].timestamp_ns / 1e9
            assert consumer.oldest_age_s(stored_at + 90.0) == pytest.approx(90.0)
            await until(lambda: unacknowledged.get() >= len(batch) > 0)  # noqa: B023
            await until(lambda: 0 < pending.get() <= 24)
            await consumer.ack(batch)
            break
        await take(consumer, 25 - len(batch))
        await until(lambda: pending.get() == 0 and unacknowledged.get() == 0)
        await until(lambda: oldest.get() == 0)
        assert consumer.oldest_age_s(time.time()) == 0


async def test_publishing_the_same_messages_again_stores_none_twice(bus):
    first, second = numbered(bus, 5), numbered(bus, 5)
    await bus.publish_batch(first)
    await bus.publish_batch([*first, *second])
    assert await stored(bus) == 10


async def test_a_full_stream_refuses_and_keeps_what_it_has(bus):
    small = Stream("SMALL", ("small.>",), "limits", "file", 2000, "new")
    await declare._apply_stream(bus, small.name, declare.stream_config(small))
    await bus.publish("small.a", b"x" * 500)
    with pytest.raises(BusUnavailable, match=r"small\.a"):
        for _ in range(5):
            await bus.publish("small.a", b"x" * 500, deadline_s=2.0)
    assert await stored(bus, "SMALL") >= 1


async def test_a_subject_without_a_stream_is_unavailable_within_the_deadline(bus):
    started = time.monotonic()
    with pytest.raises(BusUnavailable, match="nowhere"):
        await bus.publish("nowhere.a", b"x", deadline_s=0.5)
    assert time.monotonic() - started < 30


async def test_a_publish_outlives_a_restart_of_the_server(bus):
    bus.server.kill()
    publishing = asyncio.create_task(bus.publish_batch(numbered(bus, 100), deadline_s=60))
    await until(lambda: not bus.client.is_connected, "the client has lost the server")
    assert not publishing.done()
    bus.server.start()
    await asyncio.wait_for(publishing, 60)
    assert await stored(bus) == 100


@pytest.mark.parametrize("spacing", [None, Spacing(least_s=60.0, small=2)])
async def test_a_lone_message_waits_for_no_further_ones(bus, spacing):
    async with Consumer(bus, CONSUMER, spacing=spacing).open() as consumer:
        reading = asyncio.create_task(take(consumer, 1))
        await until(partial(is_asked, bus), "the consumer waits for messages")
        started = time.monotonic()
        await bus.publish("test.a", b"1")
        await reading
        assert time.monotonic() - started < 15, "a pull waits 30 s for a whole batch"


async def test_each_wait_for_messages_ends_though_none_comes(bus):
    pull = Pull(bus, STREAM.name, CONSUMER.name, 10)
    for _ in range(2):  # opened once more, it has a timer again
        async with asyncio.timeout(60), pull.open():
            assert [await pull.wait() for _ in range(2)] == [False, False]


@pytest.mark.parametrize(
    ("answer", "stored"),
    [
        (b'{"stream":"TEST", "seq":7}', True),
        (b'{"stream":"TEST","domain":"hub","seq":7,"duplicate":true}', True),
        (
            b'{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"stream":"TEST","seq":0}',
            False,
        ),
        (b'{"stream":"TEST","seq":0,"error":{"code":503,"err_code":10077,"description":"maximum"}}', False),
        (b'{"seq":7,"stream":"TEST"}', True),
        (b"", False),
    ],
)
async def test_a_message_is_stored_where_jetstream_answers_so(bus, answer, stored):
    async def on_request(message) -> None:
        await bus.client.publish(message.reply, answer)

    await bus.client.subscribe("elsewhere.a", cb=on_request)
    publishing = bus.publish("elsewhere.a", b"1", deadline_s=0.5)
    if stored:
        await publishing
    else:
        with pytest.raises(BusUnavailable):
            await publishing


async def test_an_answer_that_is_none_of_jetstream_does_not_count_as_stored(bus):
    async def on_request(message) -> None:
        await bus.client.publish(message.reply, b"+OK")

    await bus.client.subscribe("elsewhere.a", cb=on_request)
    with pytest.raises(ValueError, match="Expecting value"):
        await bus.publish("elsewhere.a", b"1", deadline_s=0.5)


async def nothing_is_unacknowledged(consumer: Consumer) -> None:
    async with asyncio.timeout(60):
        while True:
            position = await consumer.position()
            if position is not None and not position.unacknowledged:
                return
            await asyncio.sleep(0.05)


async def test_acknowledgements_that_wait_for_others_are_sent_in_time(bus):
    await bus.publish_batch(numbered(bus, 10))
    async with Consumer(bus, CONSUMER, acks_within_s=0.05).open() as consumer:
        await take(consumer, 10)
        await nothing_is_unacknowledged(consumer)


async def test_acknowledgements_that_wait_for_others_are_sent_at_the_end(bus):
    await bus.publish_batch(numbered(bus, 10))
    async with Consumer(bus, CONSUMER, acks_within_s=3600.0).open() as consumer:
        await take(consumer, 10)
    await nothing_is_unacknowledged(consumer)


async def test_what_is_not_acknowledged_comes_again_after_the_consumer_is_gone(bus):
    await bus.publish_batch(numbered(bus, 10))
    async with Consumer(bus, CONSUMER).open() as consumer:
        held: list[Delivery] = []
        async for batch in consumer:
            held += batch
            if len(held) == 10:
                break
        await consumer.ack(held[:4])
    async with Consumer(bus, CONSUMER).open() as consumer:
        again = await take(consumer, 6)
    assert [int(delivery.body) for delivery in again] == [4, 5, 6, 7, 8, 9]
    assert all(delivery.deliveries == 2 for delivery in again)


async def test_a_nak_brings_a_message_again_after_its_delay(bus):
    await bus.publish("test.a", b"1")
    async with Consumer(bus, CONSUMER).open() as consumer:
        async for batch in consumer:
            started = time.monotonic()
            await consumer.nak(batch, delay_s=0.5)
            break
        [again] = await take(consumer, 1)
    assert again.deliveries == 2
    assert time.monotonic() - started >= 0.4


async def test_what_is_held_longer_than_the_ack_wait_is_not_delivered_again(bus):
    """It is reported in progress after two fifths of the ack_wait at the latest, and then each fifth: at the sixth time
    it is held for longer than the ack_wait."""
    spec = dataclasses.replace(CONSUMER, name="patient", ack_wait_s=5.0)
    await declare._apply_consumer(bus, spec)
    reported: list[bytes] = []

    async def on_ack(message) -> None:
        reported.append(message.data)

    await bus.client.subscribe("$JS.ACK.TEST.patient.>", cb=on_ack)
    await bus.publish("test.a", b"1")
    async with Consumer(bus, spec).open() as consumer:
        async for batch in consumer:
            await until(lambda: reported.count(b"+WPI") >= 6, "it is reported in progress")
            assert batch[0].deliveries == 1
            await consumer.ack(batch)
            break
        assert (await consumer_info(bus, "patient"))["num_redelivered"] == 0


async def test_stop_ends_the_iteration_and_gives_back_what_was_not_handed_out(bus):
    async with Consumer(bus, CONSUMER).open() as consumer:
        taken: list[Delivery] = []

        async def read() -> None:
            async for batch in consumer:
                taken.extend(batch)
                await consumer.ack(batch)

        reading = asyncio.create_task(read())
        await bus.publish_batch(numbered(bus, 3))
        await until(lambda: len(taken) == 3, "all are handed out")
        consumer.stop()
        await asyncio.wait_for(reading, 60)
        assert len(taken) == 3


async def test_what_is_on_its_way_at_the_stop_goes_back_at_once_too(bus, monkeypatch):
    """Else it would come again after the ack_wait only, ten minutes here.

    What the server has written before it reads the UNSUB arrives, because the client's flush is behind it, and goes
    back; what it still has in a queue of its own it cannot deliver, and delivers again by itself.
    """
    monkeypatch.setattr(bus.client, "confirm", partial(bus.round_trip, 60.0))  # no test of the machine
    patient = DurableConsumer("TEST", "patient", ("test.>",), ack_wait_s=600.0)
    await declare._apply_consumer(bus, patient)
    count, burst, taken = 3000, 5, set[int]()

    async def publish() -> None:
        for start in range(0, count, burst):
            for number in range(start, start + burst):
                await bus.client.publish("test.a", str(number).encode())
            await asyncio.sleep(0.003)

    async def acknowledge(consumer: Consumer) -> None:
        async for batch in consumer:
            taken.update(int(delivery.body) for delivery in batch)
            await consumer.ack(batch)

    publishing = asyncio.create_task(publish())
    async with asyncio.timeout(120):
        while len(taken) < count:
            async with Consumer(bus, patient).open() as consumer:
                reading = asyncio.create_task(acknowledge(consumer))
                await asyncio.sleep(0.1)
                consumer.stop()
                await reading
    await publishing


async def test_a_request_that_is_answered_as_it_is_cancelled_does_not_swallow_the_cancellation(monkeypatch):
    answer = asyncio.get_running_loop().create_future()

    async def request(*_args: object) -> object:
        return await asyncio.wait_for(answer, 60)  # as nats-py waits

    monkeypatch.setattr(Client, "request", request)
    asking = asyncio.create_task(KaiserClient().request("test.a"))
    await asyncio.sleep(0)
    answer.set_result("answer")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


@pytest.mark.parametrize("spacing", [None, Spacing(least_s=0.1, small=100)])
async def test_consuming_goes_on_after_a_restart_of_the_server(bus, spacing):
    async with Consumer(bus, CONSUMER, spacing=spacing).open() as consumer:
        reading = asyncio.create_task(take(consumer, 20))
        await bus.publish_batch(numbered(bus, 10))
        await until(partial(nothing_is_left, bus), "all are acknowledged")
        bus.server.kill()
        bus.server.start()
        await bus.publish_batch(numbered(bus, 10), deadline_s=60)
        assert len(await asyncio.wait_for(reading, 60)) >= 20


async def test_messages_that_trickle_in_are_handed_out_some_at_a_time(bus):
    async with Consumer(bus, CONSUMER, spacing=Spacing(least_s=0.5, small=100)).open() as consumer:

        async def read() -> list[list[int]]:
            batches: list[list[int]] = []
            async for batch in consumer:
                batches.append([int(delivery.body) for delivery in batch])
                await consumer.ack(batch)
                if sum(map(len, batches)) == 60:
                    break
            return batches

        reading = asyncio.create_task(read())
        for outgoing in numbered(bus, 60):
            await bus.publish_batch([outgoing])
            await asyncio.sleep(0.01)
        batches = await asyncio.wait_for(reading, 60)
    assert [number for batch in batches for number in batch] == list(range(60))
    assert len(batches[0]) == 1, "the first waits for none"
    assert len(batches) <= 30, "the others come together"


@pytest.mark.parametrize("count", [5, 3000])
async def test_a_reader_that_rests_gets_a_backlog_whole_and_in_order(bus, count):
    await bus.publish_batch(numbered(bus, count))
    seen: list[int] = []
    reader = OrderedReader(bus, "TEST", ["test.>"], start_sequence=1, max_messages=256, rest=lambda: 0.2)
    async with asyncio.timeout(60):
        async for batch in reader:
            assert len(batch) <= 256
            seen.extend(int(delivery.body) for delivery in batch)
            if len(seen) >= count:
                break
    assert seen == list(range(count))
    assert reader.restarts == 0


async def test_a_reader_that_held_a_batch_until_its_consumer_was_dropped_goes_on(bus):
    await bus.publish_batch(numbered(bus, 40))
    seen: list[int] = []
    reader = OrderedReader(bus, "TEST", ["test.>"], start_sequence=1, max_messages=10)
    async with asyncio.timeout(60):
        async for batch in reader:
            if not seen:
                for info in await bus.jetstream.consumers_info("TEST"):
                    await bus.jetstream.delete_consumer("TEST", info.name)
            seen.extend(int(delivery.body) for delivery in batch)
            if len(seen) >= 40:
                break
    assert seen == list(range(40))
    assert reader.restarts == 1


@pytest.mark.parametrize("before", [0, 7])
async def test_a_reader_of_what_is_new_misses_nothing_when_it_begins_again_before_the_first_message(bus, before):
    await bus.publish_batch(numbered(bus, before))
    reader = OrderedReader(bus, "TEST", ["test.>"])
    async with asyncio.timeout(60), aclosing(aiter(reader)) as batches:
        assert await anext(batches) == []
        for info in await bus.jetstream.consumers_info("TEST"):
            await bus.jetstream.delete_consumer("TEST", info.name)
        await bus.publish_batch(numbered(bus, 3))
        assert [delivery.stream_sequence for delivery in await anext(batches)] == [before + n for n in (1, 2, 3)]
    assert reader.restarts == 1


@pytest.mark.parametrize("rest_s", [0.0, 0.1])
async def test_an_ordered_reader_misses_nothing_over_a_restart_of_the_server(bus, rest_s):
    seen: list[int] = []
    reader = OrderedReader(bus, "TEST", ["test.>"], start_sequence=1, rest=lambda: rest_s)

    async def read() -> None:
        async for batch in reader:
            seen.extend(delivery.stream_sequence for delivery in batch)

    reading = asyncio.create_task(read())
    await bus.publish_batch(numbered(bus, 50))
    await until(lambda: len(seen) == 50)
    bus.server.kill()
    bus.server.start()
    await bus.publish_batch(numbered(bus, 50), deadline_s=20)
    await until(lambda: len(seen) >= 100, within_s=60.0)
    reading.cancel()
    assert seen == list(range(1, 101))


async def test_a_mirror_follows_puts_and_deletes(bus):
    kv = await bus.jetstream.key_value(BUCKET.name)
    await kv.put("a", b"1")
    mirror = Mirror(bus, BUCKET, int)
    keeping = asyncio.create_task(mirror.keep())
    await mirror.ready(10)
    assert dict(mirror) == {"a": 1}
    await kv.put("b", b"2")
    await kv.put("a", b"3")
    await until(lambda: dict(mirror) == {"a": 3, "b": 2})
    await kv.delete("a")
    await until(lambda: dict(mirror) == {"b": 2})
    keeping.cancel()


async def test_a_mirror_of_an_empty_bucket_is_ready_at_once(bus):
    mirror = Mirror(bus, BUCKET, int)
    keeping = asyncio.create_task(mirror.keep())
    await mirror.ready(5)
    assert len(mirror) == 0
    keeping.cancel()


async def test_a_mirror_is_right_again_after_a_restart_of_the_server(bus):
    kv = await bus.jetstream.key_value(BUCKET.name)
    await kv.put("a", b"1")
    mirror = Mirror(bus, BUCKET, int)
    keeping = asyncio.create_task(mirror.keep())
    await mirror.ready(10)
    bus.server.kill()
    bus.server.start()
    async with asyncio.timeout(60):
        while True:
            try:
                await kv.put("b", b"2")
                break
            except NatsError:
                await asyncio.sleep(0.1)
    await until(lambda: dict(mirror) == {"a": 1, "b": 2}, within_s=60.0)
    keeping.cancel()


class Double(BaseModel):
    value: int


@dataclass
class Asked:
    callers: list[Caller]

    async def double(self, request: Double, caller: Caller) -> Double:
        self.callers.append(caller)
        return Double(value=request.value * 2)

    async def refuse(self, request: Nothing, caller: Caller) -> Nothing:
        raise RpcError(409, 5007, "the device is offline", "esp_id")

    async def break_down(self, request: Nothing, caller: Caller) -> Nothing:
        raise ZeroDivisionError("a bug")

    async def world_down(self, request: Nothing, caller: Caller) -> Nothing:
        raise ConnectionError("no NATS")

    async def database_away(self, request: Nothing, caller: Caller) -> Nothing:
        raise BlockingIOError("no database")


@pytest.fixture
async def asked(bus) -> AsyncIterator[Asked]:
    asked = Asked([])
    methods = {
        "double": Method(Double, asked.double),
        "refuse": Method(Nothing, asked.refuse),
        "break_down": Method(Nothing, asked.break_down),
        "world_down": Method(Nothing, asked.world_down),
        "database_away": Method(Nothing, asked.database_away),
    }
    outages = Outages(database=(BlockingIOError,), others=(ConnectionError,))
    async with serve(bus, "arith", methods, unavailable=outages):
        await bus.round_trip()
        yield asked


async def test_a_request_is_answered_typed_and_knows_its_caller(bus, asked):
    began_ms = time.time() * 1000
    assert await call(bus, "arith", "double", Double(value=21), Double, caller=ADA, timeout_s=30) == Double(value=42)
    [heard] = asked.callers
    assert heard == ADA.model_copy(update={"asked_ms": heard.asked_ms, "deadline_ms": heard.deadline_ms})
    assert heard.asked_ms is not None
    assert began_ms <= heard.asked_ms + 1 <= time.time() * 1000 + 1
    assert heard.deadline_ms == heard.asked_ms + 30_000


@pytest.mark.parametrize(
    ("method", "request_", "status", "code", "field"),
    [
        ("refuse", Nothing(), 409, 5007, "esp_id"),
        ("double", Nothing(), 422, 5205, "value"),
        ("break_down", Nothing(), 500, 5407, None),
        ("world_down", Nothing(), 503, 5402, None),
        ("database_away", Nothing(), 503, 5304, None),
        ("unknown", Nothing(), 404, 5407, None),
    ],
)
async def test_a_failed_request_comes_back_as_a_problem(bus, asked, method, request_, status, code, field):
    with pytest.raises(RpcError) as caught:
        await call(bus, "arith", method, request_, Double, caller=ADA)
    problem = caught.value.problem
    assert (problem.status, problem.code, problem.field) == (status, code, field)
    assert await call(bus, "arith", "double", Double(value=1), Double, caller=ADA) == Double(value=2)


async def test_a_service_that_is_down_gives_504_at_once(bus):
    started = time.monotonic()
    with pytest.raises(RpcError) as caught:
        await call(bus, "nobody", "home", Nothing(), Nothing, caller=ADA, timeout_s=120.0)
    assert (caught.value.problem.status, caught.value.problem.code) == (504, 5403)
    assert time.monotonic() - started < 60, "it waited for the timeout"


async def test_a_process_tells_its_status_with_what_it_misses_and_its_last_error(bus):
    errors = ErrorMemory()
    errors(None, "error", {"event": "database_gone", "error": "no route", "url": "x"})
    errors(None, "warning", {"event": "not_an_error"})
    service = Service("trial", errors)

    async def hangs() -> None:
        await asyncio.sleep(60)

    service.check("nats", bus.round_trip)
    service.check("database", hangs)
    async with answer_status(bus, service):
        reply = await bus.client.request(STATUS_SUBJECT, timeout=30)
    status = ReplicaStatus.model_validate_json(reply.data)
    assert (status.service, status.version, status.ready) == ("trial", "0.1.0", False)
    assert status.checks == {"nats": "ok", "database": "no answer within 0.8 s"}
    assert (status.last_error.event, status.last_error.message) == ("database_gone", "no route")


async def test_a_server_that_was_frozen_is_spoken_to_again_at_once(bus):
    os.kill(bus.server.pid, signal.SIGSTOP)
    try:
        await until(lambda: _state_of(bus.server.pid) == "T")
        with pytest.raises(BusUnavailable, match="does not answer"):
            await bus.round_trip(0.2)
    finally:
        os.kill(bus.server.pid, signal.SIGCONT)
    await bus.publish("test.1", b"{}", "1", deadline_s=60.0)
    assert bus.client.stats["reconnects"] == 0


def _state_of(pid: int) -> str:
    """The kernel's letter for the process's state."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def test_a_client_that_has_stopped_reading_ends_the_process(nats_factory, monkeypatch):
    server = nats_factory()
    monkeypatch.setattr("kaiser_common.bus.connection._ROUND_TRIP_EVERY_S", 0.1)
    monkeypatch.setattr(Bus.round_trip, "__defaults__", (0.2,))
    with pytest.raises(BaseExceptionGroup) as caught:
        async with connect(CommonSettings(nats_url=server.url), "test") as bus, asyncio.timeout(60):
            bus.client._reading_task.cancel()
            await until(bus.client._reading_task.done)
            with pytest.raises(BusUnavailable, match="does not answer"):
                await bus.round_trip(0.2)
            await asyncio.Event().wait()
    assert caught.group_contains(BusClosed)
