"""The pipeline between MQTT and the bus under a clock that jumps: when what arrives is published, in which order."""

import asyncio
import json
import math
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from jumping import JumpingLoop
from kaiser_common.bus.connection import BusUnavailable, Outgoing
from kaiser_common.contract.pack import count
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_ingest.consumers import pipeline, publishing
from kaiser_ingest.consumers.pipeline import Pipeline
from kaiser_ingest.domain.factory_dialect import FactoryDialect
from kaiser_ingest.domain.incoming import Incoming

NOW_MS = 1_795_000_000_000
MOST = 600


class Bus:
    """Stores what is published at once, and knows when (ms) and how many readings."""

    def __init__(self, loop: JumpingLoop) -> None:
        self._loop = loop
        self._ids = 0
        self.published: list[tuple[int, int]] = []

    def message_id(self) -> str:
        self._ids += 1
        return f"id{self._ids}"

    async def publish_batch(self, messages: Sequence[Outgoing], *, deadline_s: float, ordered: bool) -> None:
        self.published += [(round(self._loop.time() * 1000), count(message.body)) for message in messages]


class OrderNoted(Bus):
    """Notes of each part of a batch its subjects, and whether it is to be stored in order."""

    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__(loop)
        self.parts: list[tuple[list[str], bool]] = []

    async def publish_batch(self, messages: Sequence[Outgoing], *, deadline_s: float, ordered: bool) -> None:
        self.parts.append(([message.subject for message in messages], ordered))


async def ended(running: "asyncio.Task[None]") -> None:
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def state(number: int, serial: str) -> Incoming:
    topic, payload = f"module/v1/ff/{serial}/state", {"serialNumber": serial, "orderId": str(number)}
    return Incoming(topic.encode(), json.dumps(payload).encode(), number + 1, 1, False, False, 0, NOW_MS)


def reading(number: int) -> Incoming:
    payload = b'{"ts":%d,"gpio":4,"sensor_type":"ph","raw":%d,"raw_mode":true}' % (NOW_MS + number, number)
    return Incoming(b"kaiser/god/esp/ESP_A/sensor/4/data", payload, number + 1, 1, False, False, 0, NOW_MS)


async def published(bus: Bus, arrivals: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """When what is published, where so many readings arrive at these times (ms)."""
    line = Pipeline(
        bus,  # type: ignore[arg-type]
        {"ESP_A": None},
        retention_ms=10**12,
        batch_size=MOST,
        qos0_limit=100,
        on_heard=lambda _: None,
    )
    running = asyncio.create_task(line.run(lambda _: None))
    number, at_ms = 0, 0
    for arrives_ms, together in arrivals:
        await asyncio.sleep((arrives_ms - at_ms) / 1000)
        line.offer([reading(number + each) for each in range(together)])
        number, at_ms = number + together, arrives_ms
    await asyncio.sleep(1.0)
    await ended(running)
    return bus.published


@pytest.mark.parametrize(
    ("arrivals", "expected"),
    [
        pytest.param([(1000, 1)], [(1000, 1)], id="a lone reading waits for nothing"),
        pytest.param([(1000, 1), (1001, 1), (1003, 1)], [(1000, 1), (1005, 2)], id="the next ones are together"),
        pytest.param([(1000, 1), (1007, 1)], [(1000, 1), (1007, 1)], id="what comes after the time waits for nothing"),
        pytest.param([(0, 1), (1, 1), (6, 1), (11, 1)], [(0, 1), (5, 1), (10, 1), (15, 1)], id="between any two"),
        pytest.param([(1000, 100), (1001, 1)], [(1000, 100), (1010, 1)], id="after 100 it is twice as long"),
        pytest.param([(1000, 600), (1001, 1)], [(1000, 600), (1020, 1)], id="and never longer than 20 ms"),
        pytest.param([(1000, 1201)], [(1000, 600), (1000, 600), (1000, 1)], id="what a batch has no room for follows"),
    ],
)
def test_between_two_batches_are_5_to_20_ms_unless_more_waited_and_a_lone_reading_waits_for_nothing(
    arrivals: list[tuple[int, int]], expected: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = JumpingLoop()
    monkeypatch.setattr(pipeline, "time", SimpleNamespace(monotonic=loop.time, time=lambda: NOW_MS / 1000))
    try:
        assert loop.run_until_complete(published(Bus(loop), arrivals)) == expected
    finally:
        loop.close()


async def published_of_unread(bus: Bus, unread: list[int]) -> list[tuple[int, int]]:
    """When what is published, where a reading arrives and the connection has these many unread at each look."""
    line = Pipeline(
        bus,  # type: ignore[arg-type]
        {"ESP_A": None},
        retention_ms=10**12,
        batch_size=MOST,
        qos0_limit=100,
        on_heard=lambda _: None,
    )
    numbers = iter(range(10_000))

    def read() -> None:
        line.offer([reading(next(numbers)) for _ in range(unread.pop(0) if unread else 0)])

    running = asyncio.create_task(line.run(lambda _: None, read))
    await asyncio.sleep(1.0)
    line.offer([reading(next(numbers))])
    await asyncio.sleep(1.0)
    await ended(running)
    return bus.published


def test_what_the_connection_has_left_unread_is_in_the_next_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = JumpingLoop()
    monkeypatch.setattr(pipeline, "time", SimpleNamespace(monotonic=loop.time, time=lambda: NOW_MS / 1000))
    try:
        found = loop.run_until_complete(published_of_unread(Bus(loop), [0, 3, 2]))
        assert found == [(1000, 1), (1005, 3), (1010, 2)]
    finally:
        loop.close()


def of_ccu(number: int, topic: str, payload: object) -> Incoming:
    return Incoming(topic.encode(), json.dumps(payload).encode(), number + 1, 1, False, False, 0, NOW_MS)


def reset(number: int) -> Incoming:
    return of_ccu(number, "ccu/set/reset", {"timestamp": "2026-01-01T00:00:00Z"})


def request(number: int) -> Incoming:
    return of_ccu(number, "ccu/order/request", {"type": "RED", "timestamp": "2026-01-01T00:00:00Z"})


def connection(number: int, serial: str) -> Incoming:
    said = {"serialNumber": serial, "connectionState": "ONLINE"}
    return of_ccu(number, f"module/v1/ff/{serial}/connection", said)


def uncatalogued(number: int, topic: str) -> Incoming:
    return Incoming(topic.encode(), b"%d" % number, number + 1, 1, False, False, 0, NOW_MS)


def of_a_factory(bus: Bus, registered: Sequence[str] = ()) -> Pipeline:
    dialect = FactoryDialect(("uagv",), (), (), lambda *_: None)
    dialect.enter(FactoryEnvironment(env="live", kind="live", epoch=1, since=0), 0, ("kaiser/god/esp/#",))
    return Pipeline(
        bus,  # type: ignore[arg-type]
        dict.fromkeys(registered),
        retention_ms=10**12,
        batch_size=MOST,
        qos0_limit=100,
        on_heard=lambda _: None,
        factory=dialect,
    )


@pytest.mark.parametrize(
    ("messages", "ordered"),
    [
        pytest.param([state(0, "S1"), state(1, "S2"), state(2, "S3")], False, id="of a machine each: the sooner way"),
        pytest.param([state(0, "S1"), reset(1), connection(2, "S2")], False, id="and one of the CCU beside them"),
        pytest.param([state(0, "S1"), state(1, "S2"), state(2, "S1")], True, id="two of one topic"),
        pytest.param([connection(0, "S1"), state(1, "S2"), state(2, "S1")], True, id="two of one machine"),
        pytest.param([reset(0), state(1, "S1"), request(2)], True, id="two of the CCU"),
        pytest.param([uncatalogued(0, "lab/x"), state(1, "S1"), uncatalogued(2, "lab/y")], False, id="of no machine"),
        pytest.param([uncatalogued(0, "lab/x"), state(1, "S1"), uncatalogued(2, "lab/x")], True, id="twice of none"),
    ],
)
def test_messages_of_a_machine_and_of_the_ccu_are_stored_in_order(messages: list[Incoming], ordered: bool) -> None:
    """Sent one by one, a message without an answer is stored behind the ones that follow it. On FACTORY they are one
    message."""
    loop = JumpingLoop()
    bus = OrderNoted(loop)
    line = of_a_factory(bus)

    async def take() -> None:
        running = asyncio.create_task(line.run(lambda _: None))
        line.offer(messages)
        assert await line.drained(10.0)
        await ended(running)

    try:
        loop.run_until_complete(take())
    finally:
        loop.close()
    [(topics, is_ordered)] = [part for part in bus.parts if part[0][0].startswith("topic.")]
    assert is_ordered == ordered
    [read] = [part for part in bus.parts if part[0][0].startswith("factory.")]
    assert len(read[0]) == 1 or read[1]
    assert topics == [f"topic.live.{each.topic.decode().replace('/', '.')}" for each in messages]


class Held(Bus):
    """A bus on which TOPICS may be slow; notes when (ms) each part was published, and how many messages it had."""

    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__(loop)
        self.parts: list[tuple[int, str, int]] = []
        self.topics_s = 0.0
        self.bodies: list[bytes] = []

    async def publish_batch(self, messages: Sequence[Outgoing], *, deadline_s: float, ordered: bool) -> None:
        root = messages[0].subject.split(".")[0]
        if root == "topic":
            await asyncio.sleep(min(self.topics_s, deadline_s))
            if self.topics_s > deadline_s:
                raise BusUnavailable("away")
            self.bodies += [message.body for message in messages]
        self.parts.append((round(self._loop.time() * 1000), root, sum(count(message.body) for message in messages)))

    def of(self, root: str) -> list[tuple[int, int]]:
        return [(at, number) for at, each, number in self.parts if each == root]


Acknowledged = list[tuple[int, int]]
"""When (ms) each packet was acknowledged."""


def taken(
    monkeypatch: pytest.MonkeyPatch,
    arrivals: Sequence[tuple[int, Sequence[Incoming]]],
    topics_s: float = 0.0,
    lease_s: float = math.inf,
) -> tuple[Held, Acknowledged]:
    """The bus, and what was acknowledged, where these messages arrive at these times (ms)."""
    loop = JumpingLoop()
    clock = SimpleNamespace(monotonic=loop.time, time=lambda: NOW_MS / 1000)
    monkeypatch.setattr(pipeline, "time", clock)
    monkeypatch.setattr(publishing, "time", clock)
    bus, acknowledged = Held(loop), Acknowledged()
    bus.topics_s = topics_s
    line = of_a_factory(bus, ["ESP_A"])
    line.hold([], [], [], lambda: lease_s)

    async def take() -> None:
        def on_stored(done: Sequence[Incoming]) -> None:
            acknowledged.extend((round(loop.time() * 1000), each.packet_id) for each in done)

        running = asyncio.create_task(line.run(on_stored))
        for at_ms, messages in arrivals:
            await asyncio.sleep(at_ms / 1000 - loop.time())
            line.offer(messages)
        assert await line.drained(100.0)
        assert (line.in_flight, line.in_flight_bytes, line.oldest_age_s()) == (0, 0, 0.0)
        await ended(running)

    try:
        loop.run_until_complete(take())
    finally:
        loop.close()
    return bus, acknowledged


def bad(number: int) -> Incoming:
    return Incoming(b"module/v1/ff/S9/state", b"no JSON", number + 1, 1, False, False, 0, NOW_MS)


def test_topics_is_written_behind_factory_ten_times_a_second_and_then_all_is_acknowledged_in_order(monkeypatch):
    arrivals = [(1000 + 22 * step, [state(2 * step, f"S{step}"), reading(2 * step + 1)]) for step in range(6)]
    bus, acknowledged = taken(monkeypatch, arrivals)
    assert bus.of("factory") == bus.of("esp") == [(at, 1) for at, _ in arrivals]
    assert bus.of("topic") == [(1000, 1), (1100, 4), (1135, 1)]
    at = {1: 1000, 2: 1000, 11: 1135, 12: 1135} | dict.fromkeys(range(3, 11), 1100)
    assert acknowledged == [(at[packet], packet) for packet in range(1, 13)]


def test_a_broker_that_sends_no_more_until_it_is_answered_is_answered_soon(monkeypatch):
    """By default Mosquitto sends 20 messages, and no more until one of them is acknowledged."""
    twenty = [[state(20 * turn + number, f"S{number}") for number in range(20)] for turn in range(2)]
    bus, acknowledged = taken(monkeypatch, [(1000, twenty[0]), (1005, twenty[1])])
    assert bus.of("topic") == [(1000, 20), (1030, 20)]
    assert acknowledged[-1] == (1030, 40)


def test_readings_behind_which_nothing_is_for_topics_are_acknowledged_with_their_batch(monkeypatch):
    bus, acknowledged = taken(monkeypatch, [(1000, [reading(0)]), (1010, [reading(1)])])
    assert (bus.of("topic"), acknowledged) == ([], [(1000, 1), (1010, 2)])


def test_what_leaves_no_room_for_the_next_batch_is_written_first(monkeypatch):
    """The next holder of the lease reads back the packs of some batches, and the rejections of one."""
    packs = [(1000 + 6 * step, [state(2 * step, f"S{step}"), reading(2 * step + 1)]) for step in range(14)]
    bus, _ = taken(monkeypatch, packs, topics_s=0.5)
    assert bus.of("esp") == [*((at, 1) for at in range(1000, 1036, 6)), (1500, 8)]
    bus, _ = taken(monkeypatch, [(1000, [bad(0)]), (1010, [state(1, "S1")])], topics_s=0.5)
    assert (bus.of("rejected"), bus.of("factory")) == ([(1000, 1)], [(1500, 1)])
    many = [(1000, [state(0, "S0")]), (1010, [state(number, f"S{number}") for number in range(1, MOST)])]
    bus, _ = taken(monkeypatch, many)
    assert [at for at, _ in bus.of("topic")] == [1000, 1010], "500 are written without the spacing"


def test_behind_the_lease_topics_gets_only_what_the_broker_does_not_deliver_again(monkeypatch):
    """TOPICS was away, and the next holder may have written the others, and newer ones."""
    once, again = state(0, "S0")._replace(qos=0, packet_id=0), state(1, "S1")
    bus, acknowledged = taken(monkeypatch, [(1000, [once, again])], topics_s=6.0, lease_s=5.0)
    assert acknowledged == []
    assert bus.bodies == [once.payload]


class Away(Bus):
    """NATS, which is away at first; `stored` has the ids on FACTORY and of packs the subject."""

    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__(loop)
        self.is_away = True
        self.stored: list[str] = []

    async def publish_batch(self, messages: Sequence[Outgoing], *, deadline_s: float, ordered: bool) -> None:
        if self.is_away:
            await asyncio.sleep(deadline_s)
            raise BusUnavailable("away")
        self.stored += [message.subject for message in messages if not message.subject.startswith("topic.")]


RETAINED = [state(number, f"S{number}")._replace(retained=True) for number in range(3)]
OF_RETAINED = [f"factory.live.module.state.S{number}" for number in range(3)]


@pytest.mark.parametrize("together", [RETAINED, [*RETAINED, reading(9)]], ids=["alone", "beside a reading"])
def test_what_the_broker_retains_is_stored_though_nats_was_away_for_longer_than_the_lease(
    together: list[Incoming], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readings are left to the next holder then, and what came with them; the broker delivers it all again."""
    loop = JumpingLoop()
    for module in (pipeline, publishing):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=loop.time, time=lambda: NOW_MS / 1000))
    bus = Away(loop)
    line = of_a_factory(bus, ["ESP_A"])
    acknowledged: list[Incoming] = []

    async def take() -> None:
        line.hold([], [], [], lambda: 5.0)
        running = asyncio.create_task(line.run(acknowledged.extend))
        line.offer(together)
        await asyncio.sleep(60.0)
        assert (acknowledged, bus.stored) == ([], [])
        bus.is_away = False
        line.hold([], [], [], lambda: math.inf)
        await asyncio.sleep(60.0)
        line.offer([each._replace(packet_id=each.packet_id + 100) for each in together])
        assert await line.drained(10.0)
        await ended(running)

    try:
        loop.run_until_complete(take())
    finally:
        loop.close()
    assert set(OF_RETAINED) <= set(bus.stored)
    assert {each.topic for each in acknowledged} == {each.topic for each in together}
    assert len(bus.stored) == len(together)
