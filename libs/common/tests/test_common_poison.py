"""The consume loop: what a handler fails on is rejected, all else is processed; a limit stops a bad version."""

import asyncio
import json
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.bus import declare
from kaiser_common.bus.connection import BusUnavailable, Outgoing, connect
from kaiser_common.bus.consumer import Consumer
from kaiser_common.bus.dead_letters import RejectedShare, device_of, likely_device_of
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.subjects import NO_DEVICE, REJECTED, DurableConsumer, Stream
from kaiser_common.runtime.consume import DeadLetters, Taking, Unreadable, take
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.service import Service
from kaiser_common.runtime.settings import CommonSettings
from kaiser_common.runtime.upsert import copy_upsert
from kaiser_common.runtime.verdicts import Verdict, judge
from nats.errors import BadSubjectError, MaxPayloadError, NoRespondersError
from prometheus_client import REGISTRY
from psycopg import errors
from structlog.testing import capture_logs
from waiting import until

STREAM = Stream("TEST", ("esp.test.>",), "limits", "file", 10_000_000, "new")
CONSUMER = DurableConsumer("TEST", "reader", ("esp.test.>",), ack_wait_s=2.0)


class FakeConsumer:
    """Hands out the given batches, and again what was sent back, with its deliveries counted."""

    name = "fake"
    trouble = ""
    at_most = 10_000
    patient = False
    """Whether a loop that holds its messages may wait."""

    def __init__(self, batches: Sequence[Sequence[int]]) -> None:
        self._batches = [list(batch) for batch in batches]
        self._deliveries: dict[int, int] = {}
        self.acknowledged: list[int] = []
        self.again: list[int] = []

    async def check(self) -> None:
        return

    async def __aiter__(self):
        while (self._batches or self.again) and self.at_most:
            self.at_most -= 1
            numbers = self._batches.pop(0) if self._batches else sorted(self.again)
            if numbers is not self.again and not self._batches:
                numbers, self.again = sorted({*numbers, *self.again}), []
            batch = []
            for number in numbers:
                self._deliveries[number] = self._deliveries.get(number, 0) + 1
                reply = f"$JS.ACK.S.fake.{self._deliveries[number]}.{number + 1}.{number + 1}.1.0"
                batch.append(Delivery("esp.test.a.god.ESP_1", reply, str(number).encode(), None))
            yield batch

    async def ack(self, batch) -> None:
        self.acknowledged += [int(each.body) for each in batch]

    async def nak(self, batch, *, delay_s: float) -> None:
        assert delay_s > 0
        self.again += [int(each.body) for each in batch]

    async def stopped_within(self, seconds: float) -> bool:
        return not self.patient


class FakeLetters(DeadLetters):
    """Keeps what is rejected in a list."""

    def __init__(self, share: float = 1.0, least: int = 1000) -> None:
        super().__init__(None, Service("test"), CommonSettings(dead_letter_share=share, dead_letter_least=least))
        self.put_aside: list[tuple[int, int]] = []

    async def put(self, delivery, code, error) -> None:
        self.put_aside.append((int(delivery.body), int(code)))

    async def put_unreadable(self, unreadable) -> None:
        self.put_aside += [(int(delivery.body), 5407) for delivery, _ in unreadable]


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    bugs=st.sets(st.integers(0, 200)),
    refused=st.sets(st.integers(0, 200)),
    unreadable=st.sets(st.integers(0, 200)),
    data=st.data(),
)
def test_exactly_the_poison_is_rejected_and_all_else_is_processed_in_order(sizes, bugs, refused, unreadable, data):
    count = sum(sizes)
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    batches = [range(start, start + size) for start, size in zip(starts, sizes, strict=True)]
    outages = data.draw(st.sets(st.integers(1, 20)))
    processed: list[int] = []
    calls = 0

    async def on_messages(batch: Sequence[Delivery]) -> Unreadable:
        nonlocal calls
        calls += 1
        if calls in outages:
            raise BusUnavailable("away")
        numbers = [int(each.body) for each in batch]
        if bugs & set(numbers):
            raise KeyError("bug")
        if refused & set(numbers):
            raise errors.NumericValueOutOfRange("integer out of range")
        processed.extend(each for each in numbers if each not in unreadable)
        return [(each, "unreadable") for each in batch if int(each.body) in unreadable]

    consumer, letters = FakeConsumer(batches), FakeLetters()
    with capture_logs():
        asyncio.run(take(consumer, on_messages, letters))
    poison = {number: 5407 for number in bugs if number < count}
    poison |= {number: 5305 for number in refused - bugs if number < count}
    poison |= {number: 5407 for number in unreadable - refused if number < count}
    assert dict(letters.put_aside) == poison
    assert len(letters.put_aside) == len(poison)
    assert sorted(processed) == sorted(set(range(count)) - set(poison))
    assert sorted(consumer.acknowledged) == list(range(count))
    if not outages and not bugs and not unreadable:
        assert consumer.acknowledged == list(range(count))


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (errors.ReadOnlySqlTransaction(), Verdict.RETRY),
        (BusUnavailable("away"), Verdict.RETRY),
        (NoRespondersError(), Verdict.RETRY),
        (TimeoutError(), Verdict.RETRY),
        (ConnectionResetError(), Verdict.RETRY),
        (MaxPayloadError(), Verdict.BUG),
        (BadSubjectError(), Verdict.BUG),
        (errors.ProgramLimitExceeded("index row size 3000 exceeds 2704"), Verdict.REJECT),
        (errors.StringDataRightTruncation(), Verdict.REJECT),
        (errors.UndefinedTable(), Verdict.BUG),
        (OverflowError(), Verdict.BUG),
        (errors.QueryCanceled(), Verdict.RETRY),
        (RecursionError(), Verdict.BUG),
        (ExceptionGroup("", [BusUnavailable("away"), TimeoutError()]), Verdict.RETRY),
        (ExceptionGroup("", [BusUnavailable("away"), KeyError()]), Verdict.BUG),
    ],
)
def test_an_error_is_an_outage_a_refusal_or_a_bug(error, meaning):
    assert judge(error) is meaning


@pytest.mark.parametrize(
    ("processed", "rejected", "reached"),
    [(0, 50, False), (0, 51, True), (449, 51, True), (460, 51, False), (900, 100, False), (899, 101, True)],
)
def test_the_limit_is_over_fifty_and_over_a_tenth_of_the_last_thousand(processed, rejected, reached):
    share = RejectedShare(0.1, 50)
    share.note_processed(processed, ["ESP_1", "ESP_2"])
    share.note_rejected(apart(f"ESP_{number % 7}" for number in range(rejected)))
    assert share.reached is reached


def apart(devices: Iterable[str]) -> list[tuple[str, str]]:
    """A rejection of each device, each of a message of its own."""
    return [(f"{number}-1", device) for number, device in enumerate(devices)]


def test_old_rejections_leave_the_count():
    share = RejectedShare(0.1, 50)
    share.note_rejected(apart(f"ESP_{number % 7}" for number in range(101)))
    share.note_processed(950)
    assert not share.reached  # 50 of the last 1,000


@pytest.mark.parametrize(
    ("known", "failing", "reached"),
    [(1, 1, False), (2, 1, False), (2, 2, True), (5, 1, False), (20, 2, False), (20, 3, True), (1000, 100, False)],
)
def test_a_few_poisonous_devices_are_not_a_bad_version(known, failing, reached):
    share = RejectedShare(0.1, 50)
    share.note_processed(0, [f"ESP_{number}" for number in range(known)])
    share.note_rejected(apart(f"ESP_{number % failing}" for number in range(900)))
    assert share.reached is reached
    assert share.room(apart(["ESP_0"] * 5)) == (0 if reached else 5)


def test_where_one_device_alone_is_known_the_limit_is_a_thousand_in_a_row():
    share = RejectedShare(0.1, 50)
    assert share.room(apart(["ESP_1"] * 2000)) == 1000
    share.note_rejected(apart(["ESP_1"] * 999))
    share.note_processed(1, ["ESP_1"])
    assert share.room(apart(["ESP_1"] * 900)) == 900


def test_messages_of_no_device_count_each_by_itself():
    share = RejectedShare(0.1, 50)
    assert share.room(apart([NO_DEVICE] * 60)) == 51
    share.note_processed(100, [f"ESP_{number}" for number in range(20)])
    share.note_rejected(apart(["ESP_1"] * 60 + [NO_DEVICE]))
    assert not share.reached


@pytest.mark.parametrize("known", [0, 1, 20])
def test_the_lines_of_one_pack_that_name_no_device_are_never_a_bad_version(known):
    share = RejectedShare(0.1, 50)
    share.note_processed(0, [f"ESP_{number}" for number in range(known)])
    pack = [("1-1", NO_DEVICE)] * 4096
    assert share.room(pack) == 4096
    share.note_rejected(pack)
    assert not share.reached


def test_a_message_that_is_begun_is_rejected_to_its_end_and_the_limit_holds_for_the_next():
    share = RejectedShare(0.1, 50)
    pack = [("1-1", f"ESP_{number}") for number in range(1000)]
    assert share.room([*pack, ("2-2", "ESP_1")]) == 1000
    share.note_rejected(pack[:300])
    assert share.room(pack[300:]) == 700
    assert share.room([("2-2", "ESP_1")]) == 0


def packed(lines: Sequence[bytes], sequence: int = 1) -> Delivery:
    return Delivery("esp.sensor.data.god.0", f"$JS.ACK.S.fake.1.{sequence}.1.1.0", b"\n".join(lines), None)


def test_a_look_at_packs_comes_to_know_all_their_devices():
    lines = [b'{"esp_id":"ESP_%d","gpio":4}' % number for number in range(200)]
    seen = {device_of(line) for sequence in range(1, 101) for line in packed(lines, sequence).some(16)}
    assert seen == {f"ESP_{number}" for number in range(200)}


@pytest.mark.parametrize(
    "line",
    [
        b'{"kaiser_id":"god","esp_id":"ESP_7","ts":1}',
        b'{"esp_id":"ESP_7","gpio":4}',
        b'{"gpio":4,"esp_id":"ESP_7"}',
        b'{"meta":{"esp_id":"ESP_8"},"esp_id":"ESP_7"}',
        b'{"kaiser_id":"a\\"b","esp_id":"ESP_7"}',
        b'{ "esp_id" : "ESP_7" }',
        b'{"esp_id":"ESP_\\u0037"}',
        b'{"esp_id":"nobody"}',
        b'{"esp_id":"ESP_%b"}' % (b"7" * 40),
        b'{"esp_id":7}',
        b"[]",
        b"",
    ],
)
def test_a_look_at_a_line_finds_the_device_that_reading_it_finds(line):
    delivery = packed([line])
    assert likely_device_of(delivery) == device_of(delivery)


@given(st.lists(st.binary(max_size=9).filter(lambda line: b"\n" not in line), min_size=1), st.integers(1, 20))
def test_a_look_at_a_pack_is_at_whole_lines_and_no_more_than_asked(lines, most):
    seen = [line.body for line in packed(lines).some(most)]
    assert 1 <= len(seen) <= min(most, len(lines))
    assert set(seen) <= set(lines)


def doubtful(error: Exception, always: set[int], calls: list[int]):
    """A handler on whose batches the database fails late wherever one of these numbers is in it."""

    async def on_messages(batch: Sequence[Delivery]) -> Unreadable:
        calls.append(len(batch))
        if always & {int(each.body) for each in batch}:
            raise error
        return []

    return on_messages


@pytest.mark.parametrize("hold", [False, True])
@pytest.mark.parametrize("error", [errors.QueryCanceled("statement timeout"), errors.InternalError_("cache lookup")])
@pytest.mark.parametrize("poison", [{0}, {7}, {39}, {3, 4, 30}])
def test_a_message_that_alone_makes_the_database_fail_late_is_isolated_and_rejected(poison, error, hold):
    consumer, letters = FakeConsumer([range(40)]), FakeLetters()
    consumer.at_most, consumer.patient = 40, True
    with capture_logs():
        asyncio.run(take(consumer, doubtful(error, poison, []), letters, Taking(hold=hold, retry_s=0.001)))
    assert sorted(letters.put_aside) == [(number, 5305) for number in sorted(poison)]
    assert sorted(consumer.acknowledged) == list(range(40))


@pytest.mark.parametrize("hold", [False, True])
def test_a_message_that_came_alone_is_rejected_once_another_was_processed(hold):
    consumer, letters = FakeConsumer([[0]] * 12 + [[1]]), FakeLetters()
    consumer.at_most, consumer.patient = 40, True
    with capture_logs():
        asyncio.run(
            take(consumer, doubtful(errors.QueryCanceled(), {0}, []), letters, Taking(hold=hold, retry_s=0.001))
        )
    assert letters.put_aside == [(0, 5305)]
    assert set(consumer.acknowledged) == {0, 1}


@pytest.mark.parametrize("hold", [False, True])
def test_a_database_that_fails_late_on_everything_rejects_nothing_and_costs_few_tries(hold):
    consumer, letters, calls = FakeConsumer([range(1000)]), FakeLetters(), []
    consumer.at_most, consumer.patient = 20, True
    with capture_logs():
        asyncio.run(
            take(
                consumer,
                doubtful(errors.QueryCanceled("statement timeout"), set(range(1000)), calls),
                letters,
                Taking(hold=hold, retry_s=0.001),
            )
        )
    assert letters.put_aside == []
    assert consumer.acknowledged == []
    assert len(calls) < 20 * 20


@pytest.fixture
def quiet():
    """Without log lines: structlog's default rendering of a traceback takes half a second."""
    with capture_logs():
        yield


@pytest.fixture
async def bus(nats_factory, quiet):
    """A bus on a server of its own, with a stream, a consumer and REJECTED."""
    async with connect(CommonSettings(nats_url=nats_factory().url), "test") as bus:
        for stream in (STREAM, REJECTED):
            await declare._apply_stream(bus, stream.name, declare.stream_config(stream))
        await declare._apply_consumer(bus, CONSUMER)
        yield bus


def numbered(bus, count: int) -> list[Outgoing]:
    """Of ten devices in turn."""
    return [
        Outgoing(f"esp.test.a.god.ESP_{number % 10}", str(number).encode(), bus.message_id()) for number in range(count)
    ]


async def rejected(bus) -> int:
    return (await bus.jetstream.stream_info("REJECTED")).state.messages


async def test_a_bug_is_rejected_after_its_third_delivery_and_its_neighbours_at_once_processed(bus):
    done: set[int] = set()
    tries = []

    async def on_messages(batch: Sequence[Delivery]) -> Unreadable:
        numbers = [int(each.body) for each in batch]
        if numbers == [7]:
            tries.append(batch[0].deliveries)
            assert len(done) == 99, "its neighbours wait for it"
        if 7 in numbers:
            raise ZeroDivisionError("marked")
        done.update(numbers)
        return []

    before = counted("bug")
    with capture_logs() as logs:
        await take_hundred(bus, on_messages)
    assert done == set(range(100)) - {7}
    assert tries[-1] >= 3, "not before its third delivery"
    message = await bus.jetstream.get_msg("REJECTED", seq=1)
    body = json.loads(message.data)
    assert message.subject == "rejected.5407.ESP_7"
    assert (body["code"], body["message"]) == (5407, "marked")
    assert counted("bug") == before + 1
    [line] = [line for line in logs if line["event"] == "message_rejected"]
    assert (line["log_level"], line["code"], line["subject"]) == ("error", 5407, "esp.test.a.god.ESP_7")
    assert isinstance(line["exc_info"], ZeroDivisionError), "the log has its traceback"


def counted(kind: str) -> float:
    """How many messages of this consumer the metric has as rejected."""
    labels = {"consumer": CONSUMER.name, "kind": kind}
    return REGISTRY.get_sample_value("kaiser_dead_letters_total", labels) or 0.0


async def take_hundred(bus, on_messages) -> None:
    """Take a hundred messages, until one is rejected and nothing waits any more."""
    async with Consumer(bus, CONSUMER).open() as consumer, asyncio.TaskGroup() as tasks:
        await bus.publish_batch(numbered(bus, 100))
        letters = DeadLetters(bus, Service("test"), CommonSettings())
        loop = tasks.create_task(take(consumer, on_messages, letters, Taking(retry_s=0.05)))
        del loop

        async def at_rest() -> bool:
            info = await bus.jetstream.consumer_info("TEST", "reader")
            return await rejected(bus) == 1 and info.num_pending == info.num_ack_pending == 0

        await until(at_rest)
        consumer.stop()


async def test_a_handler_that_always_fails_stops_at_the_limit_and_the_rest_waits(bus):
    async def on_messages(batch: Sequence[Delivery]) -> Unreadable:
        raise errors.NumericValueOutOfRange("integer out of range")

    service = Service("test")
    async with Consumer(bus, CONSUMER).open() as consumer, asyncio.TaskGroup() as tasks:
        await bus.publish_batch(numbered(bus, 300))
        letters = DeadLetters(bus, service, CommonSettings())
        loop = tasks.create_task(take(consumer, on_messages, letters, Taking(retry_s=0.05)))

        async def halted() -> bool:
            return "dead_letter_limit" in (await service.readiness()).get("consumer reader", "")

        await until(halted)
        assert await rejected(bus) == 51
        assert not loop.done(), "the service lives"
        consumer.stop()
    info = await bus.jetstream.consumer_info("TEST", "reader")
    assert info.num_pending + info.num_ack_pending == 249


async def test_one_poisonous_device_has_all_its_messages_rejected_and_stops_nobody(bus):
    done: set[int] = set()

    async def on_messages(batch: Sequence[Delivery]) -> Unreadable:
        if any(each.subject.endswith("ESP_7") for each in batch):
            raise errors.NumericValueOutOfRange("integer out of range")
        done.update(int(each.body) for each in batch)
        return []

    service = Service("test")
    async with Consumer(bus, CONSUMER).open() as consumer, asyncio.TaskGroup() as tasks:
        await bus.publish_batch(numbered(bus, 20))
        tasks.create_task(
            take(consumer, on_messages, DeadLetters(bus, service, CommonSettings()), Taking(retry_s=0.05))
        )
        await bus.publish_batch([Outgoing("esp.test.a.god.ESP_7", b"0", bus.message_id()) for _ in range(80)])
        await bus.publish_batch([Outgoing("esp.test.a.god.ESP_3", b"99", bus.message_id())])

        async def at_rest() -> bool:
            info = await bus.jetstream.consumer_info("TEST", "reader")
            return info.num_pending == info.num_ack_pending == 0

        await until(at_rest)
        assert (await service.readiness())["consumer reader"] == "ok"
        consumer.stop()
    assert done == {number for number in range(20) if number % 10 != 7} | {99}
    assert await rejected(bus) == 82


@pytest.mark.parametrize("keeps", [True, False])
async def test_a_handler_that_can_read_nothing_stops_at_the_limit_and_the_rest_waits(bus, keeps):
    async def on_messages(batch: Sequence[Delivery]) -> Unreadable:
        return [(each, "of a later version") for each in batch]

    service = Service("test")
    async with Consumer(bus, CONSUMER).open() as consumer, asyncio.TaskGroup() as tasks:
        await bus.publish_batch(numbered(bus, 300))
        letters = DeadLetters(bus, service, CommonSettings())
        loop = tasks.create_task(take(consumer, on_messages, letters, Taking(retry_s=0.05, keeps_unreadable=keeps)))

        async def halted() -> bool:
            return "dead_letter_limit" in (await service.readiness()).get("consumer reader", "")

        await until(halted)
        assert await rejected(bus) == (51 if keeps else 0)
        assert not loop.done(), "the service lives"
        consumer.stop()
    info = await bus.jetstream.consumer_info("TEST", "reader")
    assert info.num_pending + info.num_ack_pending == 249


async def test_unreadable_messages_wait_while_rejected_takes_nothing_and_do_not_count(bus):
    tries = 0

    async def on_messages(batch: Sequence[Delivery]) -> Unreadable:
        return [(each, "no JSON") for each in batch if int(each.body) < 40]

    class Away(DeadLetters):
        async def put_unreadable(self, unreadable: Unreadable) -> None:
            nonlocal tries
            tries += 1
            if tries < 5:
                raise BusUnavailable("away")
            await super().put_unreadable(unreadable)

    service = Service("test")
    async with Consumer(bus, CONSUMER).open() as consumer, asyncio.TaskGroup() as tasks:
        await bus.publish_batch(numbered(bus, 60))
        tasks.create_task(take(consumer, on_messages, Away(bus, service, CommonSettings()), Taking(retry_s=0.05)))

        async def all_are_put() -> bool:
            return await rejected(bus) == 40

        await until(all_are_put)
        assert (await service.readiness())["consumer reader"] == "ok"

        async def all_are_acknowledged() -> bool:
            info = await bus.jetstream.consumer_info("TEST", "reader")
            return (info.num_pending, info.num_ack_pending) == (0, 0)

        await until(all_are_acknowledged)
        consumer.stop()


@pytest.mark.parametrize("gone", ["stream", "consumer"])
async def test_a_vanished_stream_or_consumer_is_told_by_readiness(bus, gone):
    async def on_messages(batch: Sequence[Delivery]) -> Unreadable:
        return []

    service = Service("test")
    async with Consumer(bus, CONSUMER).open() as consumer, asyncio.TaskGroup() as tasks:
        tasks.create_task(take(consumer, on_messages, DeadLetters(bus, service, CommonSettings())))

        async def ready() -> bool:
            return (await service.readiness()).get("consumer reader") == "ok"

        await until(ready)
        if gone == "stream":
            await bus.jetstream.delete_stream("TEST")
        else:
            await bus.jetstream.delete_consumer("TEST", "reader")

        async def told() -> bool:
            return "not found" in (await service.readiness())["consumer reader"]

        await until(told)
        assert not (await service.status()).ready
        consumer.stop()


async def test_a_row_that_postgresql_cannot_store_in_time_is_rejected_and_no_other(bus, postgres_server):
    postgres_server.execute("CREATE SCHEMA slow")
    postgres_server.execute("CREATE TABLE slow.rows (n int PRIMARY KEY)")
    postgres_server.execute(
        "CREATE FUNCTION slow.wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.n = 7 THEN PERFORM pg_sleep(600); END IF;"
        " IF NEW.n = 12 THEN RAISE EXCEPTION 'cache lookup failed' USING ERRCODE = 'XX000'; END IF;"
        " RETURN NEW; END $$"
    )
    postgres_server.execute("CREATE TRIGGER wait BEFORE INSERT ON slow.rows FOR EACH ROW EXECUTE FUNCTION slow.wait()")
    settings = CommonSettings(database_url=postgres_server.database_url("postgres"), database_statement_timeout_s=0.5)
    async with open_pool(settings, "test") as pool:

        async def on_messages(batch: Sequence[Delivery]) -> Unreadable:
            async with pool.connection() as connection:
                await copy_upsert(connection, "slow.rows", ["n"], [(int(each.body),) for each in batch])
            return []

        async def all_are_settled() -> bool:
            info = await bus.jetstream.consumer_info("TEST", "reader")
            return info.num_pending == info.num_ack_pending == 0

        async with Consumer(bus, CONSUMER).open() as consumer, asyncio.TaskGroup() as tasks:
            await bus.publish_batch(numbered(bus, 20))
            letters = DeadLetters(bus, Service("test"), settings)
            tasks.create_task(take(consumer, on_messages, letters, Taking(retry_s=0.05)))
            await until(all_are_settled)
            consumer.stop()
        async with pool.connection() as connection:
            cursor = await connection.execute("SELECT n FROM slow.rows ORDER BY n")
            assert [n for (n,) in await cursor.fetchall()] == sorted(set(range(20)) - {7, 12})
    info = await bus.jetstream.stream_info("REJECTED", subjects_filter="rejected.>")
    assert info.state.subjects == {"rejected.5305.ESP_7": 1, "rejected.5305.ESP_2": 1}


@pytest.mark.parametrize(
    ("subject", "body", "device"),
    [
        ("esp.sensor.response.god.ESP_1.4", b"{", "ESP_1"),
        ("esp.system.heartbeat.god.ESP_1", b"{}", "ESP_1"),
        ("esp.downlink.god.MOCK_1", b"{}", "MOCK_1"),
        ("esp.sensor.data.god.0", b'{"esp_id":"ESP_1"}', "ESP_1"),
        ("esp.sensor.data.god.0", b"{", NO_DEVICE),
        ("mqtt.out.god.ESP_1.setup", b"{", "ESP_1"),
        ("mqtt.out.god.ESP_1.command.5", b"{}", "ESP_1"),
        ("mqtt.urgent.god.ESP_1", b"{}", "ESP_1"),
        ("mqtt.urgent.broadcast.all", b"{}", NO_DEVICE),
        ("mqtt.out.broadcast.all.stop", b"{}", NO_DEVICE),
        ("mqtt.factory.command.SVR3QA2098", b"{}", NO_DEVICE),
        ("audit.logic", b"{}", NO_DEVICE),
        ("logic.execution.r1", b"{}", NO_DEVICE),
    ],
)
def test_a_rejected_message_is_of_the_device_that_its_subject_or_line_names(subject, body, device):
    assert device_of(Delivery(subject, "$JS.ACK.S.c.1.1.1.1.0", body, None)) == device
