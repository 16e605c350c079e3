"""Rejections are stored behind the batches that they came in, under a clock that jumps: nothing waits for them but the
acknowledgement, and that in order."""

import asyncio
import math
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from jumping import JumpingLoop
from kaiser_common.bus.connection import BusUnavailable, Outgoing
from kaiser_ingest.consumers import pipeline, publishing
from kaiser_ingest.consumers.pipeline import Pipeline
from kaiser_ingest.consumers.trailing import MOST_BATCHES
from kaiser_ingest.domain.incoming import Incoming

NOW_MS = 1_795_000_000_000
MANY = 30


class SlowRejected:
    """A bus on which REJECTED stores nothing until it is `free`, and all else at once."""

    def __init__(self) -> None:
        self._ids = 0
        self.free = asyncio.Event()
        self.stored: list[Outgoing] = []

    def message_id(self) -> str:
        self._ids += 1
        return f"id{self._ids}"

    async def publish_batch(self, messages: Sequence[Outgoing], *, deadline_s: float, ordered: bool) -> None:
        if messages[0].subject.startswith("rejected."):
            try:
                async with asyncio.timeout(deadline_s):
                    await self.free.wait()
            except TimeoutError as error:
                raise BusUnavailable("no answer") from error
        self.stored += messages

    def lines(self, prefix: str) -> list[bytes]:
        """The lines that are stored on subjects with this prefix."""
        return [line for each in self.stored if each.subject.startswith(prefix) for line in each.body.split(b"\n")]


class Line:
    """A pipeline on this bus, with what it has acknowledged."""

    def __init__(self, bus: SlowRejected, registered: dict[str, None] | None = None) -> None:
        self.acknowledged: list[int] = []
        self.pipeline = Pipeline(
            bus,  # type: ignore[arg-type]
            {"ESP_A": None} if registered is None else registered,
            retention_ms=10**12,
            batch_size=1000,
            qos0_limit=100,
            on_heard=lambda _: None,
        )
        self.running = asyncio.create_task(self.pipeline.run(self._on_stored))

    def _on_stored(self, messages: Sequence[Incoming]) -> None:
        self.acknowledged += [message.packet_id for message in messages]

    async def offer(self, *messages: Incoming) -> None:
        """Have a batch of these, and wait for longer than until the next one may begin."""
        self.pipeline.offer(messages)
        await asyncio.sleep(0.03)

    async def end(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)

    def balances(self) -> bool:
        accounts = self.pipeline.accounts
        return sum(accounts.received.values()) == sum(accounts.finished.values()) + sum(accounts.in_flight().values())


def reading(number: int, qos: int = 1) -> Incoming:
    payload = b'{"ts":%d,"esp_id":"ESP_A","gpio":4,"sensor_type":"ph","raw":%d,"raw_mode":true}' % (
        NOW_MS + number,
        number,
    )
    return Incoming(b"kaiser/god/esp/ESP_A/sensor/4/data", payload, number if qos else 0, qos, False, False, 0, NOW_MS)


def bad(number: int, qos: int = 1) -> Incoming:
    return reading(number, qos)._replace(payload=b'{"n":%d}' % number)


def heartbeat(number: int) -> Incoming:
    payload = b'{"ts":%d,"uptime":%d,"heap_free":1,"wifi_rssi":-50}' % (NOW_MS // 1000, number)
    return Incoming(b"kaiser/god/esp/ESP_A/system/heartbeat", payload, number, 1, False, False, 0, NOW_MS)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[JumpingLoop]:
    loop = JumpingLoop()
    clock = SimpleNamespace(monotonic=loop.time, time=lambda: NOW_MS / 1000)
    for module in (pipeline, publishing):
        monkeypatch.setattr(module, "time", clock)
    yield loop
    loop.close()


def run(loop: JumpingLoop, what: Coroutine[Any, Any, None]) -> None:
    loop.run_until_complete(what)


def test_readings_do_not_wait_for_the_rejections_before_them_and_are_acknowledged_behind_them(
    loop: JumpingLoop,
) -> None:
    async def flood() -> None:
        bus = SlowRejected()
        line = Line(bus)
        numbers = range(1, 2 * MOST_BATCHES + 3)
        for number in numbers[::2]:
            await line.offer(bad(number), reading(number + 1))
        assert len(bus.lines("esp.sensor.data.")) == MOST_BATCHES, "so many batches, and no more, are ahead"
        assert (line.acknowledged, bus.lines("rejected.")) == ([], [])
        assert line.pipeline.in_flight == 2 * MOST_BATCHES + 2
        assert line.pipeline.oldest_age_s() == 0.0
        assert line.balances()
        bus.free.set()
        assert await line.pipeline.drained(10.0)
        assert line.acknowledged == list(numbers)
        assert len(bus.lines("rejected.")) == len(bus.lines("esp.sensor.data.")) == MOST_BATCHES + 1
        assert (line.pipeline.in_flight, line.pipeline.in_flight_bytes, line.balances()) == (0, 0, True)
        await line.end()

    run(loop, flood())


def test_many_rejections_hold_the_next_batch_up(loop: JumpingLoop) -> None:
    """So what is held is bounded, and so is what the next holder of the lease may have to read back."""

    async def flood() -> None:
        bus = SlowRejected()
        line = Line(bus)
        for first in (1, 601, 1201):
            await line.offer(*(bad(number) for number in range(first, first + 600)))
        await line.offer(reading(9000))
        assert bus.stored == []
        bus.free.set()
        assert await line.pipeline.drained(10.0)
        assert line.acknowledged == [*range(1, 1801), 9000]
        assert len(bus.lines("rejected.")) == 1800
        await line.end()

    run(loop, flood())


def test_rejections_that_trail_when_the_lease_ends_are_left_and_come_again(loop: JumpingLoop) -> None:
    """A rejection of QoS 0 never comes again: it is stored with its batch, however long that takes."""

    async def lose_the_lease() -> None:
        bus = SlowRejected()
        line = Line(bus)
        line.pipeline.hold([], [], [], lambda: 5.0)
        await line.offer(reading(1), bad(2), reading(3, qos=0))
        await line.offer(reading(4))
        await asyncio.sleep(30.0)
        assert (line.acknowledged, line.balances()) == ([], True)
        assert len(bus.lines("esp.sensor.data.")) == 3
        assert line.pipeline.accounts.ignored == Counter({"lease_lost": 3})
        assert await line.pipeline.drained(0.1)
        bus.free.set()
        line.pipeline.hold([], [], [], lambda: math.inf)
        again = [each._replace(duplicate=True, generation=1) for each in (reading(1), bad(2), reading(4))]
        await line.offer(*again, bad(5, qos=0))
        assert await line.pipeline.drained(10.0)
        assert (line.acknowledged, line.balances()) == ([1, 2, 4, 0], True)
        assert len(bus.lines("esp.sensor.data.")) == 3, "they were stored before"
        assert len(bus.lines("rejected.")) == 2
        await line.end()

    run(loop, lose_the_lease())


def test_a_bad_message_that_is_delivered_again_while_its_rejection_trails_is_rejected_once(loop: JumpingLoop) -> None:
    async def deliver_twice() -> None:
        bus = SlowRejected()
        line = Line(bus)
        await line.offer(bad(1), reading(2))
        await line.offer(*(each._replace(duplicate=True, generation=1) for each in (bad(1), reading(2))))
        bus.free.set()
        assert await line.pipeline.drained(10.0)
        assert line.acknowledged == [1, 2, 1, 2]
        assert len(bus.lines("rejected.")) == len(bus.lines("esp.sensor.data.")) == 1
        await line.end()

    run(loop, deliver_twice())


class Looked(dict[str, None]):
    """The registry; counts the looks at it, of which each message that is no usual reading takes one."""

    looks = 0

    def __contains__(self, esp_id: object) -> bool:
        self.looks += 1
        return super().__contains__(esp_id)


class LooksNoted(SlowRejected):
    """Notes how many messages were looked at when the first reading was published."""

    def __init__(self, registered: Looked) -> None:
        super().__init__()
        self._registered = registered
        self.looks: list[int] = []

    async def publish_batch(self, messages: Sequence[Outgoing], *, deadline_s: float, ordered: bool) -> None:
        self.looks.append(self._registered.looks)
        await super().publish_batch(messages, deadline_s=deadline_s, ordered=ordered)


def test_readings_are_published_before_the_many_other_messages_of_their_batch_are_looked_at(loop: JumpingLoop) -> None:
    async def take() -> None:
        registered = Looked(ESP_A=None)
        bus = LooksNoted(registered)
        line = Line(bus, registered)
        await line.offer(*map(heartbeat, range(1, MANY + 1)), reading(MANY + 1))
        assert bus.looks == [0, MANY]
        assert [len(bus.lines(each)) for each in ("esp.sensor.data.", "esp.system.heartbeat.")] == [1, MANY]
        assert line.acknowledged == list(range(1, MANY + 2))
        assert line.pipeline.accounts.finished.total() == MANY + 1
        await line.end()

    run(loop, take())
