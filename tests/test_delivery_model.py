"""A model of the delivery of readings: devices, broker, ingest, JetStream, sensor and table, with every fault between.

ingest is its real pipeline on a bus of the test, sensor-live its real handler, sensor-store the real decoding and rows
on a dict in place of the table. What is acknowledged to a device is stored or rejected, and nothing is stored twice.
States of machines travel beside the readings: they are on FACTORY and on TOPICS once and in order.
"""

import asyncio
import base64
import json
import logging
import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from jumping import JumpingLoop
from kaiser_common.bus.connection import BusUnavailable, Outgoing
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_common.contract.subjects import KEPT_OF_FACTORY, KEPT_PACKS
from kaiser_ingest.consumers.pipeline import Pipeline
from kaiser_ingest.domain.factory_dialect import FactoryDialect
from kaiser_ingest.domain.factory_packs import deliveries_in
from kaiser_ingest.domain.incoming import Incoming
from kaiser_ingest.store.read_back import LAST_REJECTED
from kaiser_sensor.consumers.live import Live
from kaiser_sensor.domain.decode import decode
from kaiser_sensor.domain.process import Processor
from kaiser_sensor.domain.processed import PackProcessing
from kaiser_sensor.domain.reading import SensorReading
from kaiser_sensor.domain.rows import ProcessedReading, to_row

NOW_MS = 1_795_000_000_000
SITES = {"ESP_A": "god", "ESP_B": "mars"}
"""Each device with its site: a batch with both becomes two packs."""
AGE_S = 86_400.0
"""Of what the next process reads back: so late it knows a redelivery by its DUP flag alone."""
LONG = "KAISER_TEST_LONG" in os.environ


@dataclass
class Stream:
    """A JetStream stream: refuses an id of its duplicate window, numbers what it stores, forgets what is purged."""

    messages: dict[int, Outgoing] = field(default_factory=dict)
    ever: list[Outgoing] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)

    def store(self, message: Outgoing) -> None:
        if message.msg_id not in self.ids:
            self.ids.add(message.msg_id)
            self.ever.append(message)
            self.messages[len(self.ever)] = message

    def forget_ids(self) -> None:
        """The duplicate window (120 s) is over."""
        self.ids.clear()

    def purge(self, below: int) -> None:
        self.messages = {seq: message for seq, message in self.messages.items() if seq >= below}


class Consumer:
    """A durable consumer: what was not acknowledged is delivered again."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._next = 1
        self._deliveries: Counter[int] = Counter()
        self._again: list[int] = []

    def take(self, most: int) -> list[Delivery]:
        taken, self._again = self._again[:most], self._again[most:]
        while len(taken) < most and self._next <= len(self._stream.ever):
            taken.append(self._next)
            self._next += 1
        return [self._delivery(seq) for seq in taken]

    def again(self, batch: Sequence[Delivery]) -> None:
        self._again += [delivery.stream_sequence for delivery in batch]

    @property
    def unsettled(self) -> list[Outgoing]:
        """The messages that were delivered and will be delivered again."""
        return [self._stream.messages[seq] for seq in self._again]

    @property
    def floor(self) -> int:
        """Everything up to here is acknowledged."""
        return min([self._next, *self._again]) - 1

    def _delivery(self, seq: int) -> Delivery:
        assert seq in self._stream.messages, "purged before it was acknowledged"
        self._deliveries[seq] += 1
        message = self._stream.messages[seq]
        reply = f"$JS.ACK.SENSORS.c.{self._deliveries[seq]}.{seq}.{seq}.{NOW_MS}.0"
        return Delivery(message.subject, reply, message.body, None)


class Bus:
    """The bus of the pipeline and the live handler; `fault` strikes the next time that readings are published."""

    def __init__(self, world: "DeliveryModel") -> None:
        self._world = world
        self.fault = ""
        self.frozen = False
        self.thawed = asyncio.Event()

    def message_id(self) -> str:
        self._world.ids += 1
        return f"id{self._world.ids}"

    def freeze(self) -> None:
        self.frozen = True
        self.thawed.clear()

    def thaw(self) -> None:
        self.frozen = False
        self.thawed.set()

    async def publish_batch(
        self, messages: Sequence[Outgoing], *, deadline_s: float = 10.0, ordered: bool = True
    ) -> None:
        fault, self.fault = self.fault, ""
        if self.frozen:
            await self.thawed.wait()
            raise BusUnavailable("its time is over")
        if fault == "nats goes away":
            self._world.away = True
        if self._world.away:
            await asyncio.sleep(deadline_s)
            raise BusUnavailable("no answer")
        kept = messages[: len(messages) // 2] if fault == "stored by half" else messages
        for message in kept:
            self._world.stream_of(message.subject).store(message)
        if fault == "PubAck lost and nats goes away":
            self._world.away = True
        if fault == "stopped before the answer":
            self.freeze()
            await self.thawed.wait()
        if fault:
            raise BusUnavailable(fault)


@dataclass
class Ingest:
    """A process of ingest: its bus, its pipeline and whether it still has the lease."""

    bus: Bus
    pipeline: Pipeline
    task: "asyncio.Task[None]"
    valid_until: float = math.inf


ENVIRONMENT = FactoryEnvironment(env="live", kind="live", epoch=1, since=0)
KINDS = ["clock", "clock", "no clock", "same time", "bad", "many bad", "state", "state"]
MANY = 9
"""So many bad ones of one device are a pack of rejections."""
FAULTS = [
    "PubAck lost",
    "PubAck lost and nats goes away",
    "nats goes away",
    "stored by half",
    "stopped before the answer",
]


class DeliveryModel(RuleBasedStateMachine):
    """Devices say readings; each has a number, which is its raw value."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = JumpingLoop()
        self.ids = 0
        self.sensors, self.events, self.others, self.rejected_stream = Stream(), Stream(), Stream(), Stream()
        self.factory, self.topics = Stream(), Stream()
        self.live, self.store = Consumer(self.sensors), Consumer(self.sensors)
        self.table: dict[tuple[Any, ...], int] = {}
        self.different: set[int] = set()
        self.said: list[tuple[int, str, bytes]] = []
        self.repeated: set[int] = set()
        self.may_repeat: set[int] = set()
        """Published or shown, not yet acknowledged, when the window was over: they may be stored and shown again."""
        self.queued: dict[int, Incoming] = {}
        self.packets: dict[int, int] = {}
        self.acknowledged: set[int] = set()
        self.delivered: set[int] = set()
        self.generation = 0
        self.zombies: list[Ingest] = []
        self.away = False
        self.holder = self.begin()

    def stream_of(self, subject: str) -> Stream:
        if subject.startswith("esp.sensor.data."):
            return self.sensors
        if subject.startswith("rejected."):
            return self.rejected_stream
        if subject.startswith("factory."):
            return self.factory
        if subject.startswith("topic."):
            return self.topics
        return self.events if subject.startswith("event.sensor_data.") else self.others

    def begin(self) -> Ingest:
        """The next process takes the lease, reads the last packs back and connects."""
        self.generation += 1
        generation = self.generation
        bus = Bus(self)

        def on_stored(done: Sequence[Incoming]) -> None:
            if generation == self.generation:
                for message in done:
                    self.queued.pop(message.packet_id, None)
                    self.acknowledged.add(message.packet_id)

        async def build() -> Ingest:
            dialect = FactoryDialect((), (), (), lambda *_: None)
            dialect.enter(ENVIRONMENT, generation, ("kaiser/+/esp/#",))
            pipeline = Pipeline(
                bus,  # type: ignore[arg-type]
                dict.fromkeys(SITES),
                retention_ms=10**12,
                batch_size=20,
                qos0_limit=100,
                on_heard=lambda _: None,
                factory=dialect,
            )
            ingest = Ingest(bus, pipeline, asyncio.create_task(pipeline.run(on_stored)))
            packs = [(self.sensors.messages[seq].body, AGE_S) for seq in sorted(self.sensors.messages)[-KEPT_PACKS:]]
            rejections = [(message.body, AGE_S) for message in self.rejected_stream.ever[-LAST_REJECTED:]]
            last = [self.factory.messages[seq] for seq in sorted(self.factory.messages)]
            of_factory = [
                (each, AGE_S)
                for one in last
                for each in deliveries_in(one.subject, one.body, {"Nats-Msg-Id": one.msg_id})
            ]
            pipeline.hold(packs, rejections, of_factory, lambda: ingest.valid_until)
            return ingest

        self.delivered.clear()
        return self.loop.run_until_complete(build())

    def run(self, within_s: float = 30.0) -> None:
        """Let everything happen that happens by itself within this time."""
        self.loop.run_until_complete(asyncio.sleep(within_s))

    @rule(
        readings=st.lists(st.tuples(st.sampled_from(sorted(SITES)), st.sampled_from(KINDS)), min_size=1, max_size=6),
        at_once=st.booleans(),
    )
    def say(self, readings: list[tuple[str, str]], at_once: bool = False) -> None:
        """at_once: delivered within the moment in which TOPICS is not written yet."""
        for device, how in readings:
            for _ in range(MANY if how == "many bad" else 1):
                number = len(self.said) + 1
                ts = {"no clock": 0, "same time": NOW_MS}.get(how, NOW_MS + number)
                fields = {"ts": ts, "gpio": 4, "sensor_type": "ph", "raw": number, "raw_mode": True}
                if how == "state":
                    fields = {"serialNumber": device, "orderId": str(number)}
                payload = json.dumps(fields if "bad" not in how else {"n": number}).encode()
                self.said.append((number, device, payload))
                self._publish(number, device, payload)
        if at_once:
            self.deliver(30, 0.006)

    def _publish(self, number: int, device: str, payload: bytes) -> None:
        self.ids += 1
        self.packets[self.ids] = number
        topic = f"kaiser/{SITES[device]}/esp/{device}/sensor/4/data"
        if is_state(payload):
            topic = f"module/v1/ff/{device}/state"
        self.queued[self.ids] = Incoming(topic.encode(), payload, self.ids, 1, False, False, 0, NOW_MS + self.ids)

    @rule(most=st.integers(1, 30), within_s=st.sampled_from([0.0, 0.006, 30.0]))
    def deliver(self, most: int, within_s: float) -> None:
        """The broker hands messages to the holder, in order; what it has delivered before is marked. So much time goes
        by: for nothing, for all but what is written to TOPICS behind it, or for everything."""
        fresh = [number for number in self.queued if number not in self.delivered][:most]
        messages = [self.queued[number]._replace(generation=self.generation) for number in fresh]
        for number in fresh:
            self.delivered.add(number)
            self.queued[number] = self.queued[number]._replace(duplicate=True)
        self.holder.pipeline.offer(messages)
        if within_s:
            self.run(within_s)

    @rule(fault=st.sampled_from(FAULTS))
    def strike(self, fault: str) -> None:
        self.holder.bus.fault = fault

    @rule(
        what=st.sampled_from(
            ["say again", "time", "kill", "kill", "hang", "wake", "nats is back", "purge", "the window is over"]
        ),
        at=st.integers(),
    )
    def disturb(self, what: str, at: int) -> None:
        match what:
            case "say again":
                self.say_again(at)
            case "time":
                self.run()
            case "kill":
                self.kill()
            case "hang":
                self.hang()
            case "wake":
                self.wake()
            case "nats is back":
                self.away = False
                self.run()
            case "purge":
                self.purge()
            case "the window is over":
                self.forget_ids()

    def say_again(self, which: int) -> None:
        """A device sends a reading anew, as one that has lost its connection does."""
        if self.said:
            number, device, payload = self.said[-1 - which % min(8, len(self.said))]
            if b'"ts": 0' not in payload and b'"n"' not in payload and not is_state(payload):
                self.repeated.add(number)
                self._publish(number, device, payload)

    def kill(self) -> None:
        self.holder.task.cancel()
        self.holder = self.begin()

    def hang(self) -> None:
        """The holder stands still, with whatever it has read, and another one takes the lease."""
        self.holder.bus.freeze()
        self.holder.valid_until = -math.inf
        self.zombies.append(self.holder)
        self.holder = self.begin()

    def wake(self) -> None:
        """The ones that stood still go on where they were."""
        awake, self.zombies = self.zombies, []
        for each in (*awake, self.holder):
            each.bus.thaw()
        self.run()
        for each in awake:
            each.task.cancel()

    @rule(most=st.integers(1, 5), end=st.sampled_from(["ack", "ack", "nak", "killed before", "killed after"]))
    def show(self, most: int, end: str) -> None:
        """sensor-live takes packs."""
        batch = self.live.take(most)
        if self.away:
            end = "nak"
        if batch and end not in ("killed before", "nak"):
            live = Live(Bus(self), PackProcessing(process), lambda _: False)  # type: ignore[arg-type]
            assert self.loop.run_until_complete(live.on_readings(batch)) == []
        if end != "ack":
            self.live.again(batch)

    @rule(most=st.integers(1, 5), end=st.sampled_from(["ack", "ack", "nak", "killed before", "killed after"]))
    def keep(self, most: int, end: str) -> None:
        """sensor-store takes packs; all of a batch is committed, or nothing."""
        batch = self.store.take(most)
        if batch and end not in ("killed before", "nak"):
            packs, unreadable = decode(batch)
            assert unreadable == []
            for pack in packs:
                for reading in pack.readings:
                    row = to_row(process(reading))
                    number = int(reading.raw or 0)
                    if self.table.setdefault((row[0], row[1], row[2], row[3], row[-1]), number) != number:
                        self.different.add(number)
        if end != "ack":
            self.store.again(batch)

    def purge(self) -> None:
        self.sensors.purge(min(self.live.floor, self.store.floor) + 1 - KEPT_PACKS)
        self.factory.purge(len(self.factory.ever) + 1 - KEPT_OF_FACTORY)

    def forget_ids(self) -> None:
        """So much time goes by that JetStream takes every id again."""
        self.may_repeat |= {self.packets[packet] for packet in self.queued}
        self.may_repeat |= set(numbers_of(self.live.unsettled))
        for stream in (self.sensors, self.events, self.others, self.rejected_stream, self.factory, self.topics):
            stream.forget_ids()

    @invariant()
    def what_is_acknowledged_is_stored_or_rejected(self) -> None:
        stored = self.numbers(self.sensors)
        refused = self.refused()
        numbers = {self.packets[packet] for packet in self.acknowledged}
        assert numbers <= stored.keys() | refused | (set(self.states()) & set(self.on_topics()))

    @invariant()
    def each_state_is_on_factory_and_on_topics_once_and_those_of_a_machine_in_order(self) -> None:
        for states in (self.states(), self.on_topics()):
            seen = Counter(states)
            assert {number for number, times in seen.items() if times > 1} <= self.may_repeat
            of_a_machine = {device: [] for device in SITES}
            for number in states:
                if number not in self.may_repeat:
                    of_a_machine[self.said[number - 1][1]].append(number)
            assert of_a_machine == {device: sorted(numbers) for device, numbers in of_a_machine.items()}

    @invariant()
    def what_is_on_topics_is_on_factory(self) -> None:
        assert set(self.on_topics()) <= set(self.states())

    @invariant()
    def no_reading_is_stored_or_shown_twice(self) -> None:
        for stream in (self.sensors, self.events):
            twice = [number for number, times in self.numbers(stream).items() if times > 1]
            assert set(twice) <= self.repeated | self.may_repeat, "but for those that the device has sent twice"

    @invariant()
    def no_rejection_is_kept_twice(self) -> None:
        assert {number for number, times in self.refusals().items() if times > 1} <= self.may_repeat

    @invariant()
    def no_reading_has_two_rows(self) -> None:
        times = Counter(self.table.values())
        assert [number for number, rows in times.items() if rows > 1] == []

    def teardown(self) -> None:
        """In the end, with everything up, each number is a row or rejected, and was shown."""
        self.away, self.holder.bus.fault = False, ""
        self.wake()
        for _ in range(len(self.queued) // 10 + 3):
            self.deliver(30, 30.0)
        assert not self.queued
        while self.store.floor < len(self.sensors.ever):
            self.keep(5, "ack")
        while self.live.floor < len(self.sensors.ever):
            self.show(5, "ack")
        rows, refused = set(self.table.values()), self.refused()
        states = {number for number, _, payload in self.said if is_state(payload)}
        assert set(self.states()) == set(self.on_topics()) == states
        numbers = {number for number, _, _ in self.said} - states
        assert numbers == rows | refused | self.different
        assert not rows & refused
        assert set(self.numbers(self.events)) == numbers - refused
        self.no_reading_is_stored_or_shown_twice()
        self.no_reading_has_two_rows()
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        self.loop.run_until_complete(asyncio.wait(left))
        self.loop.close()

    def numbers(self, stream: Stream) -> Counter[int]:
        return numbers_of(stream.ever)

    def states(self) -> list[int]:
        """The numbers of the states on FACTORY, in its order."""
        lines = [json.loads(line) for message in self.factory.ever for line in message.body.split(b"\n")]
        return [int(line["order_id"]) for line in lines]

    def on_topics(self) -> list[int]:
        """The numbers of the states on TOPICS, in its order."""
        return [int(json.loads(message.body)["orderId"]) for message in self.topics.ever]

    def refused(self) -> set[int]:
        """The numbers of the bad ones in REJECTED."""
        return set(self.refusals())

    def refusals(self) -> Counter[int]:
        lines = [json.loads(line) for message in self.rejected_stream.ever for line in message.body.split(b"\n")]
        return Counter(json.loads(base64.b64decode(line["payload_base64"]))["n"] for line in lines)


def numbers_of(messages: Iterable[Outgoing]) -> Counter[int]:
    """How often each reading is in these packs."""
    return Counter(json.loads(line)["raw"] for message in messages for line in message.body.split(b"\n"))


def is_state(payload: bytes) -> bool:
    return b'"orderId"' in payload


def process(reading: SensorReading) -> ProcessedReading:
    return Processor({}, lambda *_: None).process(reading, None)


@pytest.fixture
def quiet():
    """No log lines: half of the time of this test went into them."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


def test_a_pack_that_is_sent_again_after_the_duplicate_window_is_shown_again_and_is_one_row(quiet):
    model = DeliveryModel()
    model.say([("ESP_A", "clock"), ("ESP_A", "bad")])
    model.strike("PubAck lost and nats goes away")
    model.deliver(30, 30.0)
    assert model.acknowledged == set()
    model.forget_ids()
    model.disturb("nats is back", 0)
    assert model.numbers(model.sensors) == {1: 2}
    model.show(5, "ack")
    model.keep(5, "ack")
    assert model.numbers(model.events) == {1: 2}
    assert list(model.table.values()) == [1]
    model.teardown()


def test_states_that_a_killed_ingest_has_stored_are_not_on_factory_again_in_another_pack(quiet):
    model = DeliveryModel()
    model.say([("ESP_A", "state"), ("ESP_A", "state")])
    model.strike("PubAck lost and nats goes away")
    model.deliver(30, 30.0)
    assert (model.acknowledged, model.states()) == (set(), [1, 2])
    model.kill()
    model.disturb("nats is back", 0)
    model.say([("ESP_B", "state"), ("ESP_A", "state")])
    model.deliver(30, 30.0)
    assert model.states() == [1, 2, 3, 4]
    model.teardown()


def test_states_that_a_killed_ingest_had_put_on_factory_alone_are_on_both_streams_once(quiet):
    model = DeliveryModel()
    model.say([("ESP_A", "state")], at_once=True)
    model.say([("ESP_A", "state"), ("ESP_B", "state"), ("ESP_A", "clock")], at_once=True)
    assert (model.states(), model.on_topics()) == ([1, 2, 3], [1])
    assert {model.packets[packet] for packet in model.acknowledged} == {1}
    model.kill()
    model.deliver(30, 30.0)
    assert (model.states(), model.on_topics()) == ([1, 2, 3], [1, 2, 3])
    assert model.numbers(model.sensors) == {4: 1}
    model.teardown()


def test_an_ingest_that_stood_still_publishes_no_states_behind_the_next_holder(quiet):
    model = DeliveryModel()
    model.say([("ESP_A", "state"), ("ESP_A", "state")])
    model.deliver(30, 0.0)
    model.hang()
    model.deliver(30, 30.0)
    assert model.states() == [1, 2]
    model.wake()
    assert model.states() == [1, 2]
    model.teardown()


@pytest.mark.timeout(1200)
def test_what_is_acknowledged_is_stored_once_under_every_interleaving(quiet):
    run_state_machine_as_test(
        DeliveryModel,
        settings=settings(
            max_examples=5000 if LONG else 60,
            stateful_step_count=50,
            deadline=None,
            derandomize=not LONG,
            suppress_health_check=list(HealthCheck),
        ),
    )
