"""Packs of stops on the OUTBOX: each line is judged, written and settled as a message of its own."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from kaiser_common.bus.connection import connect
from kaiser_common.bus.consumer import Consumer
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.pack import NotAPack
from kaiser_common.contract.subjects import INGEST_OUTBOX, INGEST_URGENT, DurableConsumer, stop_pack_subject
from kaiser_common.runtime.consume import DeadLetters, take
from kaiser_common.runtime.service import Service
from kaiser_common.runtime.settings import CommonSettings
from kaiser_ingest.consumers.outbox import Outbox
from kaiser_ingest.consumers.outbox_packs import OutboxPacks
from kaiser_ingest.domain.stop_order import StopOrder
from kaiser_ingest.mqtt.sending import MqttPublication
from kaiser_ingest.publish import SystemEvents
from kaiser_ingest.store.session_store import SessionStore

STOP, CLEAR, OFF = '{"command":"emergency_stop"}', '{"command":"clear_emergency"}', '{"command":"OFF"}'
NAMES = [f"MOCK_{number:04}" for number in range(5)]


def line(world: Any, esp_id: str, payload: str = STOP, rest: str = "actuator/emergency", **fields: Any) -> bytes:
    return json.dumps({"topic": world.topic(esp_id, rest), "payload": payload, **fields}).encode()


def delivered(lines: Sequence[bytes], sequence: int, deliveries: int = 1) -> Delivery:
    """A pack as JetStream delivers it."""
    reply = f"$JS.ACK.OUTBOX.ingest-urgent.{deliveries}.{sequence}.{sequence + deliveries}.1767225600000000000.0"
    return Delivery("mqtt.urgent.god.=", reply, b"\n".join(lines), None)


async def empty(client: Any) -> bool:
    return int((await client.jetstream().stream_info("OUTBOX")).state.messages) == 0


class PackNetwork:
    """A session whose broker answers, but not the first `in_vain` messages of each topic in `cut`."""

    def __init__(self, cut: Sequence[str] = (), in_vain: int = 0) -> None:
        self.sent: list[str] = []
        self.payloads: list[str] = []
        self._cut, self._in_vain = cut, in_vain

    async def connection(self, _within_s: float) -> "PackNetwork":
        return self

    async def answers(self, _within_s: float) -> bool:
        return True

    async def place(self, _within_s: float) -> None:
        return None

    def send(self, message: MqttPublication, _places: asyncio.Semaphore | None = None) -> "asyncio.Future[int]":
        self.sent.append(message.topic)
        self.payloads.append(json.loads(message.payload)["command"])
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if message.topic not in self._cut or self.sent.count(message.topic) > self._in_vain:
            answer.set_result(0)
        return answer


async def published(
    world: Any,
    until: Callable[..., Any],
    messages: Sequence[tuple[str, bytes]],
    network: PackNetwork,
    *,
    spec: DurableConsumer = INGEST_URGENT,
    generation_of: Callable[[str], str | None] = lambda _: None,
) -> list[str]:
    """Have an outbox deal with messages that wait there; the system events that it raised."""
    async with connect(world.bus, "test") as bus, world.client() as client:
        events, raised = SystemEvents(bus), []
        events.put = lambda event: raised.append(event.event)  # type: ignore[method-assign]
        for subject, body in messages:
            await client.jetstream().publish(subject, body, timeout=60.0)
        consumer = Consumer(bus, spec)
        outbox = Outbox(
            bus,
            consumer,
            network,  # type: ignore[arg-type]
            events,
            stops=StopOrder(),
            kept=SessionStore(bus),
            generation_of=generation_of,
            is_offline=lambda _: False,
        )

        async def publish() -> None:
            async with consumer.open() as opened:
                await take(opened, outbox.on_messages, DeadLetters(bus, Service("test"), CommonSettings()))

        running = asyncio.create_task(publish())
        await until(lambda: running.done() or empty(client), within_s=120.0)
        consumer.stop()
        await running
        return raised


async def rejected(world: Any) -> list[tuple[str | None, int]]:
    return sorted((str(body["esp_id"]), body["code"]) for _, body in await world.stored("REJECTED"))


@pytest.mark.parametrize(("spec", "urgent"), [(INGEST_URGENT, True), (INGEST_OUTBOX, False)])
async def test_each_line_of_a_pack_is_a_message_to_its_device(
    world: Any, until: Callable[..., Any], spec: DurableConsumer, urgent: bool
) -> None:
    network = PackNetwork()
    pack = b"\n".join(line(world, esp_id, number=7) for esp_id in NAMES)
    subject = stop_pack_subject(world.site, urgent=urgent)
    assert await published(world, until, [(subject, pack)], network, spec=spec) == []
    assert network.sent == [world.topic(esp_id, "actuator/emergency") for esp_id in NAMES]


async def test_a_line_that_may_not_leave_is_rejected_alone(world: Any, until: Callable[..., Any]) -> None:
    """A clear, a command that switches on, another site's device, and a line that is not JSON."""
    network = PackNetwork()
    lines = [
        line(world, NAMES[0], number=7),
        line(world, NAMES[1], CLEAR, number=9, clears=True),
        line(world, NAMES[2], '{"command":"ON"}', "actuator/5/command"),
        line(world, NAMES[3]).replace(f"/{world.site}/".encode(), b"/another/"),
        b"{no json",
        line(world, NAMES[4], OFF, "actuator/5/command"),
    ]
    subject = stop_pack_subject(world.site, urgent=True)
    raised = await published(world, until, [(subject, b"\n".join(lines))], network)
    assert network.sent == [world.topic(NAMES[0], "actuator/emergency"), world.topic(NAMES[4], "actuator/5/command")]
    assert raised == ["mqtt_message_refused"] * 3
    assert await rejected(world) == [(NAMES[1], 5405), (NAMES[2], 5405), (NAMES[3], 5211), ("None", 5103)]


async def test_a_pack_that_is_too_large_is_rejected_and_the_next_is_sent(world: Any, until: Callable[..., Any]) -> None:
    network = PackNetwork()
    subject = stop_pack_subject(world.site, urgent=True)
    large = b"\n".join([b"{}"] * 5000)
    await published(world, until, [(subject, large), (subject, line(world, NAMES[0]))], network)
    assert network.sent == [world.topic(NAMES[0], "actuator/emergency")]
    assert await rejected(world) == [("None", 5103)]


async def test_no_clear_and_no_command_goes_out_behind_the_stop_in_a_pack(
    world: Any, until: Callable[..., Any]
) -> None:
    network = PackNetwork()
    pack = b"\n".join(line(world, esp_id, number=7) for esp_id in NAMES)
    clears = [
        (f"mqtt.urgent.{world.site}.{esp_id}", line(world, esp_id, CLEAR, number=number, clears=True))
        for esp_id, number in ((NAMES[0], 6), (NAMES[4], 8))
    ]
    raised = await published(world, until, [(stop_pack_subject(world.site, urgent=True), pack), *clears], network)
    assert network.payloads == ["emergency_stop"] * len(NAMES) + ["clear_emergency"]
    assert network.sent[-1] == world.topic(NAMES[4], "actuator/emergency")
    assert raised == ["mqtt_message_stopped"]


async def test_a_line_without_a_puback_is_never_given_up_and_no_other_is_repeated_for_it_once_taken(
    world: Any, until: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kaiser_ingest.consumers.outbox.PUBACK_TIMEOUT_S", 0.05)
    monkeypatch.setattr("kaiser_ingest.consumers.outbox.MAX_ATTEMPTS", 2)
    last = world.topic(NAMES[-1], "actuator/emergency")
    network = PackNetwork([last], in_vain=5)
    pack = b"\n".join(line(world, esp_id, number=7) for esp_id in NAMES)
    await published(world, until, [(stop_pack_subject(world.site, urgent=True), pack)], network)
    assert network.sent.count(last) == 6
    assert [network.sent.count(world.topic(esp_id, "actuator/emergency")) for esp_id in NAMES[:-1]] == [1] * 4
    assert await rejected(world) == []


async def test_a_line_with_a_bug_is_isolated_and_no_other_is_sent_twice_for_it(
    world: Any, until: Callable[..., Any]
) -> None:
    def generation_of(esp_id: str) -> str | None:
        if esp_id == NAMES[2]:
            raise ZeroDivisionError("a bug")
        return None

    network = PackNetwork()
    pack = b"\n".join(line(world, esp_id, number=7) for esp_id in NAMES)
    subject = stop_pack_subject(world.site, urgent=True)
    await published(world, until, [(subject, pack)], network, generation_of=generation_of)
    assert network.sent == [world.topic(esp_id, "actuator/emergency") for esp_id in NAMES if esp_id != NAMES[2]]
    [(_, body)] = await world.stored("REJECTED")
    assert body["code"] == 5407


async def test_a_pack_that_waits_for_the_broker_is_sent_by_the_next_ingest(
    world_at: Callable[[Any], Any], mosquitto_factory: Callable[..., Any], until: Callable[..., Any]
) -> None:
    """Two are pressed while the broker is away; ingest has taken them, and is killed."""
    broker = mosquitto_factory()
    world = world_at(broker)
    ingest = world.ingest()
    await until(ingest.connected)
    fleet = [f"MOCK_{number:04}" for number in range(1200)]
    async with world.client() as client:
        broker.kill()
        await until(lambda: not ingest.connected())
        for number in (7, 8):
            for part in (fleet[:1000], fleet[1000:]):
                pack = b"\n".join(line(world, esp_id, number=number) for esp_id in part)
                await client.jetstream().publish(stop_pack_subject(world.site, urgent=True), pack, timeout=60.0)

        async def is_taken() -> bool:
            return bool((await client.jetstream().consumer_info("OUTBOX", INGEST_URGENT.name)).num_ack_pending)

        await until(is_taken)
        ingest.kill()
        broker.start()
        device = await world.device()
        await device.subscribe(f"kaiser/{world.site}/esp/+/actuator/emergency")
        ingest.start()
        await until(lambda: empty(client), within_s=120.0)
        wanted = {world.topic(esp_id, "actuator/emergency") for esp_id in fleet}
        await until(lambda: {topic for topic, _ in device.heard} == wanted)
        assert len(device.heard) == 2 * len(fleet)


def test_a_pack_may_be_acknowledged_with_the_last_of_its_lines() -> None:
    packs = OutboxPacks()
    pack = delivered([b"a", b"b", b"c"], 1)
    lines = packs.lines(pack)
    assert [(each.first_line, each.body) for each in lines] == [(0, b"a"), (1, b"b"), (2, b"c")]
    assert packs.settled(lines[:2]) == []
    [last] = packs.settled(lines[2:])
    assert last.reply == pack.reply


def test_a_pack_that_comes_again_brings_what_is_open_and_a_part_of_it_no_more() -> None:
    packs = OutboxPacks()
    lines = packs.lines(delivered([b"a", b"b", b"c", b"d"], 1))
    packs.settled([lines[0], lines[3]])
    again = delivered([b"a", b"b", b"c", b"d"], 1, deliveries=2)
    assert [each.body for each in packs.lines(again)] == [b"b", b"c"]
    first, second = again.halves()
    assert [each.body for each in packs.lines(second)] == [b"c"]
    assert packs.settled(packs.lines(second)) == []
    assert [each.reply for each in packs.settled(packs.lines(first))] == [again.reply]


def test_packs_and_single_messages_are_told_apart() -> None:
    packs = OutboxPacks()
    one, other = packs.lines(delivered([b"a", b"b"], 1)), packs.lines(delivered([b"a"], 2))
    single = Delivery("mqtt.urgent.god.ESP_A", one[0].reply.replace(".1.1.", ".1.3."), b"a\nb", None)
    assert packs.lines(single) == [single]
    settled = packs.settled([one[0], single, *other, one[1]])
    assert settled == [single, *other, one[1]]
    with pytest.raises(NotAPack):
        packs.lines(delivered([], 4))


def test_a_pack_of_the_previous_process_is_whole() -> None:
    assert len(OutboxPacks().lines(delivered([b"a", b"b"], 1, deliveries=2))) == 2
