"""An urgent pack of stops is written while it is judged, and a pack of the ordinary lane waits for it; no servers."""

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.subjects import INGEST_OUTBOX, INGEST_URGENT, DurableConsumer
from kaiser_ingest.consumers.outbox import Outbox
from kaiser_ingest.consumers.urgent_first import UrgentFirst
from kaiser_ingest.domain.stop_order import StopOrder
from kaiser_ingest.mqtt.sending import ConnectionLost, MqttPublication

NAMES = [f"MOCK_{number:04}" for number in range(5)]
TOPICS = [f"kaiser/god/esp/{esp_id}/actuator/emergency" for esp_id in NAMES]


class Taken:
    """A consumer that has handed out one pack."""

    stopping = False

    def __init__(self, spec: DurableConsumer) -> None:
        self.spec = spec
        self.acknowledged: list[str] = []

    def holds(self, delivery: Delivery) -> bool:
        return delivery.reply not in self.acknowledged

    async def ack(self, batch: Iterable[Delivery]) -> None:
        self.acknowledged += [each.reply for each in batch]

    async def nak(self, batch: Iterable[Delivery], *, delay_s: float) -> None:
        assert list(batch) == [], f"given back for {delay_s} s"

    async def more(self) -> list[Delivery]:
        return []

    async def stopped_within(self, _seconds: float) -> bool:
        await asyncio.sleep(0)
        return False


class Broker:
    """A session whose broker answers at once; the connection is lost once, after so many messages (`cut_after`)."""

    def __init__(self, cut_after: int | None = None) -> None:
        self.sent: list[str] = []
        self.lost: list[str] = []
        self.began = asyncio.Event()
        self._cut_after = cut_after

    async def connection(self, _within_s: float) -> "Broker":
        return self

    async def answers(self, _within_s: float) -> bool:
        return True

    async def place(self, _within_s: float) -> None:
        return None

    def send(self, message: MqttPublication, _places: asyncio.Semaphore | None = None) -> "asyncio.Future[int]":
        if len(self.sent) == self._cut_after and not self.lost:
            self.lost.append(message.topic)
            raise ConnectionLost("cut")
        self.sent.append(message.topic)
        self.began.set()
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        answer.set_result(0)
        return answer


class Kept:
    async def remember_stops(self, _stops: bytes) -> None:
        return None


class Bus:
    async def publish_batch(self, _messages: Any, *, deadline_s: float) -> None:
        return None


def outbox(
    consumer: Taken,
    broker: Broker,
    generation_of: Callable[[str], str | None] = lambda _: None,
    urgent_first: UrgentFirst | None = None,
) -> Outbox:
    return Outbox(
        Bus(),  # type: ignore[arg-type]
        consumer,  # type: ignore[arg-type]
        broker,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        stops=StopOrder(),
        kept=Kept(),  # type: ignore[arg-type]
        generation_of=generation_of,
        is_offline=lambda _: False,
        urgent_first=urgent_first,
    )


def pack(subject: str = "mqtt.urgent.god.=") -> Delivery:
    """A stop of each device, as JetStream delivers it."""
    lines = [
        json.dumps({"topic": topic, "payload": '{"command":"emergency_stop"}', "number": 7}).encode()
        for topic in TOPICS
    ]
    return Delivery(subject, "$JS.ACK.OUTBOX.ingest.1.1.2.1767225600000000000.0", b"\n".join(lines), None)


@pytest.fixture(autouse=True)
def two_lines_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kaiser_ingest.consumers.outbox_checks._SLICE", 2)


async def test_the_first_lines_of_an_urgent_pack_are_written_before_the_last_are_judged() -> None:
    consumer, broker, written = Taken(INGEST_URGENT), Broker(), []

    def generation_of(_esp_id: str) -> None:
        written.append(len(broker.sent))

    await outbox(consumer, broker, generation_of).on_messages([pack()])
    assert written == [0, 0, 2, 2, 4]
    assert broker.sent == TOPICS
    assert len(consumer.acknowledged) == 1


@pytest.mark.parametrize("written", range(len(NAMES)))
async def test_a_connection_that_is_lost_within_a_pack_repeats_no_line_that_the_broker_took(written: int) -> None:
    consumer, broker = Taken(INGEST_URGENT), Broker(cut_after=written)
    await outbox(consumer, broker).on_messages([pack()])
    assert broker.lost == [TOPICS[written]]
    assert broker.sent == TOPICS
    assert len(consumer.acknowledged) == 1


@pytest.mark.parametrize("wrong", range(len(NAMES)))
async def test_a_bug_within_a_pack_repeats_no_line_that_was_written_before_it(wrong: int) -> None:
    """The consume loop calls again, with single lines in the end."""
    consumer, broker = Taken(INGEST_URGENT), Broker()

    def generation_of(esp_id: str) -> str | None:
        if esp_id == NAMES[wrong]:
            raise ZeroDivisionError("a bug")
        return None

    exits = outbox(consumer, broker, generation_of)
    with pytest.raises(ZeroDivisionError):
        await exits.on_messages([pack()])
    assert broker.sent == TOPICS[: wrong // 2 * 2]
    for number, body in enumerate(pack().lines()):
        if number != wrong:
            await exits.on_messages([pack().line(number, body)])
    assert broker.sent == [topic for topic in TOPICS if topic != TOPICS[wrong]]
    assert consumer.acknowledged == []


@pytest.mark.parametrize("answered", [True, False])
async def test_a_pack_of_the_ordinary_lane_waits_for_urgent_messages_on_their_way_and_not_for_long(
    monkeypatch: pytest.MonkeyPatch, answered: bool
) -> None:
    monkeypatch.setattr("kaiser_ingest.consumers.outbox._BEHIND_URGENT_S", 600.0 if answered else 0.001)
    consumer, broker, first = Taken(INGEST_OUTBOX), Broker(), UrgentFirst()
    ordinary = outbox(consumer, broker, urgent_first=first)
    with first.on_the_way():
        behind = asyncio.create_task(ordinary.on_messages([pack("mqtt.out.god.=.stop")]))
        if answered:
            for _ in range(20):  # turns of the loop, in which it would be written
                await asyncio.sleep(0)
            assert broker.sent == []
        else:
            await asyncio.wait_for(behind, 60)
    await asyncio.wait_for(behind, 60)
    assert broker.sent == TOPICS


async def test_urgent_messages_are_on_their_way_until_the_broker_has_the_last_of_them() -> None:
    first, broker = UrgentFirst(), Broker()
    assert await first.over(0.0)
    running = asyncio.create_task(outbox(Taken(INGEST_URGENT), broker, urgent_first=first).on_messages([pack()]))
    await asyncio.wait_for(broker.began.wait(), 60)
    assert running.done() or not await first.over(0.0)
    await running
    assert await first.over(0.0)
