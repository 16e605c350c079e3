"""OUTBOX to MQTT on real servers: order, expiry, what can never be published, and a broker that is away."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from kaiser_common.bus.connection import connect
from kaiser_common.bus.consumer import Consumer
from kaiser_common.bus.declare import apply
from kaiser_common.contract.schemas.event import OutboxMessage
from kaiser_common.contract.subjects import INGEST_BUCKET, INGEST_OUTBOX, INGEST_URGENT, DurableConsumer
from kaiser_common.runtime.consume import DeadLetters, take
from kaiser_common.runtime.service import Service
from kaiser_common.runtime.settings import CommonSettings
from kaiser_ingest.consumers.outbox import Outbox
from kaiser_ingest.domain.lateness import NewestByTopic
from kaiser_ingest.domain.stop_order import MAX_REMEMBERED, StopOrder
from kaiser_ingest.mqtt.client import ordinary_window
from kaiser_ingest.mqtt.sending import MqttPublication
from kaiser_ingest.publish import SystemEvents
from kaiser_ingest.store.session_store import SessionStore

ESP = "MOCK_0001"


async def put(client: Any, world: Any, count: int, **fields: Any) -> None:
    """A command in the outbox, as the actuator service puts it there."""
    message = {"topic": world.topic(ESP, "actuator/5/command"), "payload": json.dumps({"n": count}), **fields}
    subject = fields.pop("subject", f"mqtt.out.{world.site}.{ESP}.command.5")
    await client.jetstream().publish(subject, json.dumps(message).encode(), timeout=60.0)


async def left(client: Any) -> int:
    """Messages that are still in the outbox."""
    return int((await client.jetstream().stream_info("OUTBOX")).state.messages)


def numbers(device: Any) -> list[int]:
    return [json.loads(payload)["n"] for _, payload in device.heard]


@pytest.fixture
async def ingest(world: Any, until: Callable[..., Any]) -> Any:
    ingest = world.ingest()
    await until(ingest.connected)
    return ingest


async def test_the_numbers_of_the_stops_of_the_largest_fleet_are_stored_each_time(bus_settings: CommonSettings) -> None:
    """NATS takes a value beside the old one, not in its place: both must fit into the bucket."""
    stops = StopOrder()
    async with connect(bus_settings, "test") as bus:
        kept = SessionStore(bus)
        for first in (9_000_000_000_000_000, 9_000_000_001_000_000):
            for number in range(MAX_REMEMBERED):
                stops.note(f"ESP_{number:027}", first + number, 0)
            await kept.remember_stops(stops.dump())
            assert await kept.stops() == stops.dump()


async def test_commands_reach_the_device_in_order_and_leave_the_outbox(
    world: Any, ingest: Any, until: Callable[..., Any]
) -> None:
    device = await world.device()
    await device.subscribe(f"kaiser/{world.site}/esp/{ESP}/actuator/+/command")
    async with world.client() as client:
        for number in range(300):
            await put(client, world, number)
        await until(lambda: len(device.heard) >= 300)
        await until(lambda: _empty(client))
    assert numbers(device) == list(range(300))
    assert ingest.metric("kaiser_ingest_outbox_published_total") == 300
    assert ingest.metric("kaiser_ingest_broker_round_trip_seconds_count") >= 2


async def test_a_message_of_qos_0_is_published_once_and_holds_up_nobody(
    world: Any, ingest: Any, until: Callable[..., Any]
) -> None:
    device = await world.device()
    await device.subscribe(f"kaiser/{world.site}/esp/{ESP}/actuator/+/command")
    async with world.client() as client:
        for number in range(10):
            await put(client, world, number, qos=number % 2)
        await until(lambda: len(device.heard) >= 10)
        await until(lambda: _empty(client))
    assert numbers(device) == list(range(10))
    assert ingest.metric("kaiser_ingest_outbox_published_total") == 10
    assert ingest.metric("kaiser_ingest_outbox_repeated_total") == 0


@pytest.mark.speed
async def test_an_idle_outbox_adds_no_latency(world: Any, ingest: Any, until: Callable[..., Any]) -> None:
    device = await world.device()
    await device.subscribe(f"kaiser/{world.site}/esp/{ESP}/actuator/+/command")
    async with world.client() as client:
        await put(client, world, 0)
        await until(lambda: len(device.heard) == 1)
        waits = []
        for number in range(1, 8):
            started = time.monotonic()
            await put(client, world, number, subject=f"mqtt.urgent.{world.site}.{ESP}", payload='{"command":"OFF"}')
            await until(lambda: len(device.heard) == number + 1, every_s=0.001)  # noqa: B023
            waits.append(time.monotonic() - started)
    assert sorted(waits)[3] < 0.1


async def test_a_receipt_is_published_once_the_broker_has_the_message(
    world: Any, ingest: Any, until: Callable[..., Any]
) -> None:
    device = await world.device()
    await device.subscribe(f"kaiser/{world.site}/esp/{ESP}/actuator/+/command")
    async with world.client() as client:
        told: list[tuple[str, int]] = []

        async def note(message: Any) -> None:
            told.append((message.subject, json.loads(message.data)["sent_at"]))

        await client.subscribe("esp.actuator.sent.>", cb=note)
        await client.flush()
        before_ms = int(time.time() * 1000)
        receipt = f"esp.actuator.sent.{world.site}.{ESP}.5.c1"
        await put(client, world, 0, subject=f"mqtt.out.{world.site}.{ESP}.command.5", receipt=receipt)
        await put(client, world, 1)
        await until(lambda: len(device.heard) == 2 and told)
    assert [subject for subject, _ in told] == [receipt]
    assert before_ms <= told[0][1] <= int(time.time() * 1000)


async def test_an_urgent_message_overtakes_a_flood(world: Any, ingest: Any, until: Callable[..., Any]) -> None:
    hall = await world.device()
    await hall.subscribe(f"kaiser/{world.site}/esp/{ESP}/actuator/emergency")
    overtaken = []
    async with world.client() as client:
        message = {"topic": world.topic("MOCK_0002", "actuator/5/command"), "payload": "{}"}
        body = json.dumps(message).encode()
        emergency = world.topic(ESP, "actuator/emergency")
        for number in range(3):
            os.kill(ingest.pid, signal.SIGSTOP)  # the whole flood is there when the stop comes, however slow this is
            for _ in range(1500):
                await client.publish(f"mqtt.out.{world.site}.MOCK_0002.command.5", body)
            await client.flush()
            stop = {"topic": emergency, "payload": json.dumps({"command": "emergency_stop", "n": number})}
            await put(client, world, number, subject=f"mqtt.urgent.{world.site}.{ESP}", **stop)
            os.kill(ingest.pid, signal.SIGCONT)
            # Frozen for longer than its lease, ingest may send a stop twice.
            await until(lambda: number in numbers(hall), within_s=60.0, every_s=0.001)  # noqa: B023
            overtaken.append(await left(client))
    assert max(overtaken) > 0, "there was a flood to overtake"


def test_a_clear_that_comes_again_after_a_newer_stop_is_dropped_and_a_stop_never() -> None:
    newest = NewestByTopic()
    clear = OutboxMessage(topic="a", payload="{}", only_newest=True)
    stop = OutboxMessage(topic="a", payload="{}")
    assert not newest.is_late(clear, 5)
    assert not newest.is_late(stop, 8)
    assert newest.is_late(clear, 5)
    assert not newest.is_late(stop, 5)
    assert not newest.is_late(clear, 9)
    assert not newest.is_late(OutboxMessage(topic="b", payload="{}", only_newest=True), 1)


@pytest.mark.parametrize(("window", "ordinary"), [(500, 450), (20, 18), (2, 1), (1, 1)])
def test_places_in_the_window_are_kept_for_emergency_stops(window: int, ordinary: int) -> None:
    assert ordinary_window(window) == ordinary


async def test_commands_wait_in_order_while_the_broker_is_away_and_expired_ones_are_told(
    world_at: Callable[[Any], Any], mosquitto_factory: Callable[..., Any], until: Callable[..., Any]
) -> None:
    broker = mosquitto_factory()
    world = world_at(broker)
    ingest = world.ingest()
    await until(ingest.connected)
    async with world.client() as client:
        told: list[dict[str, Any]] = []

        async def note(message: Any) -> None:
            told.append(json.loads(message.data))

        await client.subscribe("event.system_event.>", cb=note)
        await client.flush()
        broker.kill()
        await until(lambda: not ingest.connected())
        for number in range(50):
            expires = {"expires_at": int(time.time() * 1000) + 300} if number % 10 == 0 else {}
            await put(client, world, number, **expires)
        await until(lambda: len(told) >= 5, within_s=60.0)
        broker.start()
        device = await world.device()
        await device.subscribe(f"kaiser/{world.site}/esp/{ESP}/actuator/+/command")
        await until(lambda: len(device.heard) >= 45, within_s=60.0)
        await until(lambda: _empty(client))
    assert numbers(device) == [number for number in range(50) if number % 10]
    expired = [each for each in told if each["event"] == "mqtt_message_expired"]
    assert [each["esp_id"] for each in expired] == [ESP] * 5
    assert ingest.metric("kaiser_ingest_outbox_expired_total") == 5


async def test_what_can_never_be_published_is_rejected_and_holds_nothing_up(
    world: Any, ingest: Any, until: Callable[..., Any]
) -> None:
    device = await world.device()
    await device.subscribe(f"kaiser/{world.site}/esp/{ESP}/actuator/+/command")
    async with world.client() as client:
        jetstream = client.jetstream()
        await jetstream.publish(f"mqtt.out.{world.site}.{ESP}.setup", b"nonsense")
        await put(client, world, 0, topic="kaiser/+/esp")
        await put(client, world, 0, payload='{"x":"' + "x" * 500 + '"}')
        spoken = {"topic": world.topic(ESP, "sensor/batch"), "subject": f"mqtt.out.{world.site}.{ESP}.mock"}
        await put(client, world, 0, payload="x" * 1_100_000, **spoken)
        await put(client, world, 1)
        await until(lambda: len(device.heard) == 1)
        await until(lambda: _empty(client))
    rejected = {body["code"]: body["message"] for _, body in await world.stored("REJECTED")}
    assert sorted(rejected) == [5003, 5101, 5103, 5212]
    assert rejected[5101] == "0x95 packet too large"
    assert ingest.metric("kaiser_ingest_outbox_rejected_total") == 4
    assert ingest.total("kaiser_ingest_reconnects_total") == 0


class CutOff:
    """A session whose network is cut: what is sent has no PUBACK, until it has been sent so often."""

    def __init__(self, times: int) -> None:
        self.sent: list[str] = []
        self._times = times

    async def connection(self, _within_s: float) -> "CutOff":
        return self

    def takes(self, _message: MqttPublication) -> bool:
        return True

    async def place(self, _within_s: float) -> None:
        return None

    def send(self, message: MqttPublication, _places: asyncio.Semaphore | None = None) -> "asyncio.Future[int]":
        self.sent.append(message.topic)
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if len(self.sent) > self._times:
            answer.set_result(0)
        return answer


class OnTheSpot(CutOff):
    """A session whose broker answers at once. wait: what happens while a message waits for its place."""

    def __init__(self, wait: Callable[[], None] = lambda: None) -> None:
        super().__init__(0)
        self.messages: list[tuple[dict[str, Any], int | None]] = []
        self.places = asyncio.Semaphore(1)
        self._wait = wait

    async def answers(self, _within_s: float) -> bool:
        return True

    async def place(self, _within_s: float) -> asyncio.Semaphore:  # type: ignore[override]
        await self.places.acquire()
        self._wait()
        return self.places

    def send(self, message: MqttPublication, places: asyncio.Semaphore | None = None) -> "asyncio.Future[int]":
        self.messages.append((json.loads(message.payload), message.expiry_s))
        if places is not None:
            places.release()
        return super().send(message)


async def outbox_of(
    world: Any, until: Callable[..., Any], spec: DurableConsumer, network: Any, waiting: list[dict[str, Any]]
) -> list[str]:
    """Have an outbox deal with messages that wait there; the reasons of those that it left out."""
    async with connect(world.bus, "test") as bus, world.client() as client:
        events, reasons = SystemEvents(bus), []
        events.put = lambda event: reasons.append(event.event)  # type: ignore[method-assign]
        for fields in waiting:
            await put(client, world, 0, **fields)
        consumer = Consumer(bus, spec)
        outbox = Outbox(
            bus,
            consumer,
            network,
            events,
            stops=StopOrder(),
            kept=SessionStore(bus),
            generation_of=lambda _: None,
            is_offline=lambda _: False,
        )

        async def publish() -> None:
            async with consumer.open() as opened:
                await take(opened, outbox.on_messages, DeadLetters(bus, Service("test"), CommonSettings()))

        running = asyncio.create_task(publish())
        await until(lambda: running.done() or _empty(client))
        consumer.stop()
        await running
        return reasons


AT_MS = 1_767_225_600_000
ON, OFF = '{"command":"ON"}', '{"command":"OFF"}'


@pytest.fixture
def at_ms(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The time for the outbox, in a list of one that a test may change."""
    time_ms = [AT_MS]
    for module in ("outbox", "outbox_checks"):
        monkeypatch.setattr(f"kaiser_ingest.consumers.{module}.now_ms", lambda: time_ms[0])
    return time_ms


async def test_a_command_with_less_than_a_second_left_is_not_sent_and_told_as_expired_but_off_is(
    world: Any, until: Callable[..., Any], at_ms: list[int]
) -> None:
    network = OnTheSpot()
    left_out = await outbox_of(
        world,
        until,
        INGEST_OUTBOX,
        network,
        [
            {"payload": '{"command":"ON","n":1}', "expires_at": AT_MS + 999},
            {"payload": '{"command":"PWM","n":2,"value":0.5}', "expires_at": AT_MS + 999},
            {"payload": '{"command":"ON","n":3}', "expires_at": AT_MS + 1_000},
            {"payload": '{"command":"OFF","n":4}', "expires_at": AT_MS + 1},
            {"payload": '{"command":"ON","n":5}', "expires_at": AT_MS + 5_000},
            {"payload": '{"command":"OFF","n":6}', "expires_at": AT_MS},
        ],
    )
    assert [(body["n"], expiry_s) for body, expiry_s in network.messages] == [(3, 1), (4, 1), (5, 4)]
    assert left_out == ["mqtt_message_expired"] * 3


async def test_a_stop_is_sent_up_to_its_last_moment_and_after_its_hour_told_as_expired(
    world: Any, until: Callable[..., Any], at_ms: list[int]
) -> None:
    network = OnTheSpot()
    emergency = {"topic": world.topic(ESP, "actuator/emergency"), "subject": f"mqtt.urgent.{world.site}.{ESP}"}
    stops = [
        {"payload": json.dumps({"command": "emergency_stop", "n": left_ms}), "expires_at": AT_MS + left_ms, **emergency}
        for left_ms in (1, 0)
    ]
    assert await outbox_of(world, until, INGEST_URGENT, network, stops) == ["mqtt_message_expired"]
    assert [body["n"] for body, _ in network.messages] == [1]


async def test_a_command_that_expires_while_it_waits_for_its_place_is_not_sent(
    world: Any, until: Callable[..., Any], at_ms: list[int]
) -> None:
    def wait() -> None:
        at_ms[0] += 3_000

    network = OnTheSpot(wait)
    commands = [{"payload": ON, "expires_at": AT_MS + 3_500}, {"payload": OFF, "expires_at": AT_MS + 60_000}]
    assert await outbox_of(world, until, INGEST_OUTBOX, network, commands) == ["mqtt_message_expired"]
    assert [body["command"] for body, _ in network.messages] == ["OFF"]
    assert not network.places.locked(), "its place is free again"


async def test_a_stop_is_never_given_up_and_holds_up_no_other(
    world: Any, until: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kaiser_ingest.consumers.outbox.PUBACK_TIMEOUT_S", 0.05)
    monkeypatch.setattr("kaiser_ingest.consumers.outbox.MAX_ATTEMPTS", 2)
    network = CutOff(5)
    stop = '{"command":"emergency_stop"}'
    async with connect(world.bus, "test") as bus:
        consumer = Consumer(bus, INGEST_URGENT)
        outbox = Outbox(
            bus,
            consumer,
            network,  # type: ignore[arg-type]
            SystemEvents(bus),
            stops=StopOrder(),
            kept=SessionStore(bus),
            generation_of={}.get,
            is_offline=lambda _: False,
        )
        letters = DeadLetters(bus, Service("test"), CommonSettings())

        async def publish() -> None:
            async with consumer.open() as opened:
                await take(opened, outbox.on_messages, letters)

        running = asyncio.create_task(publish())
        topics = [world.topic(esp_id, "actuator/emergency") for esp_id in ("MOCK_0001", "MOCK_0002")]
        async with world.client() as client:
            for esp_id, topic in zip(("MOCK_0001", "MOCK_0002"), topics, strict=True):
                await put(client, world, 0, topic=topic, payload=stop, subject=f"mqtt.urgent.{world.site}.{esp_id}")
            await until(lambda: running.done() or _empty(client))
        consumer.stop()
        await running
    assert set(network.sent[5:]) == set(topics), "both were taken once the network was back"
    assert await world.stored("REJECTED") == []


async def test_an_outbox_that_does_not_know_the_stored_stops_sends_stops_and_no_clear_and_stores_nothing(
    world: Any, until: Callable[..., Any]
) -> None:
    network, stops = CutOff(0), StopOrder()
    stops.is_complete = False
    async with connect(world.bus, "test") as bus, world.client() as client:
        before = b'{"forgotten":0,"stops":{"ESP_A":7}}'
        await SessionStore(bus).remember_stops(before)
        consumer = Consumer(bus, INGEST_URGENT)
        outbox = Outbox(
            bus,
            consumer,
            network,  # type: ignore[arg-type]
            SystemEvents(bus),
            stops=stops,
            kept=SessionStore(bus),
            generation_of={}.get,
            is_offline=lambda _: False,
        )

        async def publish() -> None:
            async with consumer.open() as opened:
                await take(opened, outbox.on_messages, DeadLetters(bus, Service("test"), CommonSettings()))

        running = asyncio.create_task(publish())
        clear, stop = [world.topic(esp_id, "actuator/emergency") for esp_id in ("MOCK_0001", "MOCK_0002")]
        for esp_id, topic, command in (("MOCK_0001", clear, "clear_emergency"), ("MOCK_0002", stop, "emergency_stop")):
            fields = {"payload": json.dumps({"command": command}), "number": 5, "clears": topic == clear}
            await put(client, world, 0, topic=topic, subject=f"mqtt.urgent.{world.site}.{esp_id}", **fields)
        await until(lambda: running.done() or _empty(client))
        consumer.stop()
        await running
        assert network.sent == [stop]
        assert await SessionStore(bus).stops() == before


@pytest.mark.parametrize(
    ("spec", "subject", "topic", "payload"),
    [
        (INGEST_OUTBOX, "mqtt.out.{site}.{esp_id}.command.5", "actuator/5/command", '{"command":"OFF"}'),
        (INGEST_URGENT, "mqtt.urgent.{site}.{esp_id}", "actuator/emergency", '{"command":"emergency_stop"}'),
    ],
    ids=["ingest", "ingest-urgent"],
)
async def test_a_message_with_a_bug_is_isolated_and_no_other_is_published_twice_for_it(
    world: Any, until: Callable[..., Any], spec: DurableConsumer, subject: str, topic: str, payload: str
) -> None:
    """The consume loop calls the handler again, by halves; what is settled is left out. What cannot be read is
    rejected beside it, also among stops."""
    network = CutOff(0)
    told = []

    def generation_of(esp_id: str) -> str | None:
        told.append(esp_id)
        if esp_id == "MOCK_0002":
            raise ZeroDivisionError("a bug")
        return None

    names = [f"MOCK_{number:04}" for number in range(5)]
    async with connect(world.bus, "test") as bus, world.client() as client:
        consumer = Consumer(bus, spec, in_order=spec is INGEST_OUTBOX)
        outbox = Outbox(
            bus,
            consumer,
            network,  # type: ignore[arg-type]
            SystemEvents(bus),
            stops=StopOrder(),
            kept=SessionStore(bus),
            generation_of=generation_of,
            is_offline=lambda _: False,
        )
        for esp_id in names:
            place = subject.format(site=world.site, esp_id=esp_id)
            await put(client, world, 0, topic=world.topic(esp_id, topic), payload=payload, subject=place)
            await client.jetstream().publish(place, b"{not json", timeout=60.0)

        async def publish() -> None:
            async with consumer.open() as opened:
                await take(opened, outbox.on_messages, DeadLetters(bus, Service("test"), CommonSettings()))

        running = asyncio.create_task(publish())
        await until(lambda: running.done() or _empty(client))
        consumer.stop()
        await running
    sound = [world.topic(esp_id, topic) for esp_id in names if esp_id != "MOCK_0002"]
    assert network.sent == sound, "each once, in order"
    assert told.count("MOCK_0002") >= 3
    rejected = [(body["esp_id"], body["code"]) for _, body in await world.stored("REJECTED")]
    assert sorted(rejected) == sorted([("MOCK_0002", 5407), *((esp_id, 5103) for esp_id in names)])


async def test_commands_arrive_at_least_once_and_in_order_when_ingest_is_killed(
    world: Any, ingest: Any, until: Callable[..., Any]
) -> None:
    device = await world.device()
    await device.subscribe(f"kaiser/{world.site}/esp/{ESP}/actuator/+/command")
    async with world.client() as client:

        async def send() -> None:
            for number in range(1000):
                await put(client, world, number)

        sending = asyncio.create_task(send())
        await until(lambda: len(device.heard) > 100, every_s=0.002)
        ingest.kill()
        ingest.start()
        await sending
        await until(lambda: device.heard and numbers(device)[-1] == 999, within_s=60.0)
        await until(lambda: _empty(client))
    found = numbers(device)
    assert set(found) == set(range(1000))
    seen: list[int] = []
    for number in found:
        assert number <= len(seen), f"{number} came before {len(seen)}"
        if number == len(seen):
            seen.append(number)


async def test_a_device_that_comes_back_hears_no_command_that_expired_meanwhile(
    world: Any, ingest: Any, until: Callable[..., Any]
) -> None:
    away = await world.device("away", clean=False)
    await away.subscribe(f"kaiser/{world.site}/esp/{ESP}/actuator/+/command")
    await away.close()
    async with world.client() as client:
        expires_at = int(time.time() * 1000) + 6_000
        await put(client, world, 0, expires_at=expires_at)
        await put(client, world, 1)
        await until(lambda: _empty(client))
    assert ingest.metric("kaiser_ingest_outbox_published_total") == 2, "the broker has both"
    await until(lambda: time.time() * 1000 > expires_at)
    back = await world.device("away", clean=False)
    await until(lambda: back.heard)
    assert numbers(back) == [1]


@pytest.mark.parametrize("stopped_s", [2.0])
async def test_a_frozen_broker_is_sent_nothing_that_expires_and_every_stop(
    world_at: Callable[[Any], Any], mosquitto_factory: Callable[..., Any], until: Callable[..., Any], stopped_s: float
) -> None:
    broker = mosquitto_factory()
    world = world_at(broker)
    ingest = world.ingest()
    await until(ingest.connected)
    device = await world.device()
    await device.subscribe(f"kaiser/{world.site}/esp/{ESP}/actuator/#")
    async with world.client() as client:
        await put(client, world, 0, expires_at=int(time.time() * 1000) + 60_000)
        await until(lambda: len(device.heard) == 1)
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            expires_at = int(time.time() * 1000) + int(stopped_s * 500)
            for number in (1, 2, 3):
                await put(client, world, number, expires_at=expires_at)
            emergency = {"topic": world.topic(ESP, "actuator/emergency"), "subject": f"mqtt.urgent.{world.site}.{ESP}"}
            await put(client, world, 4, payload='{"command":"emergency_stop","n":4}', **emergency)
            await until(lambda: ingest.metric("kaiser_ingest_outbox_expired_total") == 3)
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        await put(client, world, 5, expires_at=int(time.time() * 1000) + 60_000)
        await until(lambda: 5 in numbers(device))
    assert set(numbers(device)) == {0, 4, 5}, "what expired while the broker was frozen was never written to it"


async def test_a_device_that_is_offline_is_sent_no_command_and_off_and_stops_all_the_same(
    world: Any, ingest: Any, until: Callable[..., Any]
) -> None:
    device = await world.device()
    await device.subscribe(f"kaiser/{world.site}/esp/{ESP}/actuator/#")
    emergency = {"topic": world.topic(ESP, "actuator/emergency"), "subject": f"mqtt.urgent.{world.site}.{ESP}"}
    async with world.client() as client:
        await world.approve([ESP])  # as a device that was never heard
        await until(lambda: ingest.total("kaiser_ingest_messages_total") == 0)

        async def refused() -> bool:
            await put(client, world, 0)
            await until(lambda: _empty(client))
            return bool(ingest.metric("kaiser_ingest_outbox_offline_total"))

        await until(refused)  # once ingest has read the registry
        before = len(device.heard)
        await put(client, world, 1)
        await put(client, world, 2, payload='{"command":"OFF","n":2}')
        await put(client, world, 3, payload='{"command":"emergency_stop","n":3}', **emergency)
        await until(lambda: len(device.heard) == before + 2)
        # Any message of it, and commands go out, before the registry says that it is online.
        await device.publish(0, world.topic(ESP, "system/diagnostics"), b'{"ts":1,"esp_id":"%s"}' % ESP.encode())

        async def taken() -> bool:
            await put(client, world, 4)
            return 4 in numbers(device)

        await until(taken)
    assert 1 not in numbers(device)
    assert {2, 3, 4} <= set(numbers(device))


async def test_no_clear_and_no_command_goes_out_behind_a_newer_stop_also_by_the_next_ingest(
    world: Any, ingest: Any, until: Callable[..., Any]
) -> None:
    device = await world.device()
    await device.subscribe(f"kaiser/{world.site}/esp/{ESP}/actuator/#")
    await device.subscribe("kaiser/broadcast/emergency")
    emergency = world.topic(ESP, "actuator/emergency")
    urgent = f"mqtt.urgent.{world.site}.{ESP}"
    stop, clear = '{"command":"emergency_stop"}', '{"command":"clear_emergency"}'

    async def emergencies(client: Any, number: int, payload: str) -> None:
        fields = {"topic": emergency, "payload": payload, "number": number, "clears": payload == clear}
        await put(client, world, 0, subject=urgent, **fields)
        await until(lambda: _empty(client))

    async with world.client() as client:
        await emergencies(client, 8, stop)
        await emergencies(client, 5, clear)
        ingest.kill()
        ingest.start()
        await until(ingest.connected)
        await emergencies(client, 7, clear)
        await emergencies(client, 9, clear)
        await put(client, world, 1)
        await until(lambda: len(device.heard) >= 3)  # or the stop, which overtakes it, would hold it back
        all_of_them = {"topic": "kaiser/broadcast/emergency", "payload": stop, "number": 12}
        await put(client, world, 0, subject="mqtt.urgent.broadcast.all", **all_of_them)
        await until(lambda: len(device.heard) >= 4)
        await emergencies(client, 11, clear)
        await emergencies(client, 13, clear)
        await until(lambda: len(device.heard) >= 5)
    heard = [json.loads(payload).get("command") for _, payload in device.heard]
    assert sorted(map(str, heard[2:4])) == ["None", "emergency_stop"]
    assert [heard[0], heard[1], heard[4]] == ["emergency_stop", "clear_emergency", "clear_emergency"]
    assert len(heard) == 5
    assert ingest.metric("kaiser_ingest_outbox_stopped_total") == 2


async def test_an_ingest_that_cannot_read_the_stored_stops_sends_stops_and_no_clear_until_it_can(
    world: Any, until: Callable[..., Any]
) -> None:
    device = await world.device()
    await device.subscribe(f"kaiser/{world.site}/esp/{ESP}/actuator/#")
    fields = {"topic": world.topic(ESP, "actuator/emergency"), "subject": f"mqtt.urgent.{world.site}.{ESP}"}
    stop, clear = '{"command":"emergency_stop"}', '{"command":"clear_emergency"}'
    async with world.client() as client:
        bucket = await client.jetstream().key_value(INGEST_BUCKET.name)
        await bucket.put("stops", b"{}")
        ingest = world.ingest()
        await until(ingest.connected)
        await put(client, world, 0, payload=clear, number=9, clears=True, **fields)
        await put(client, world, 0, payload=stop, number=10, **fields)
        await until(lambda: len(device.heard) >= 1)
        await until(lambda: _empty(client))
        assert (await bucket.get("stops")).value == b"{}"
        await bucket.delete("stops")
        await until(lambda: '"stops_read"' in ingest.log())
        assert json.loads((await bucket.get("stops")).value or b"") == {"forgotten": 0, "stops": {ESP: 10}}
        await put(client, world, 0, payload=clear, number=9, clears=True, **fields)
        await put(client, world, 0, payload=clear, number=11, clears=True, **fields)
        await until(lambda: len(device.heard) >= 2)
        await until(lambda: _empty(client))
    heard = [json.loads(payload)["command"] for _, payload in device.heard]
    assert heard == ["emergency_stop", "clear_emergency"]
    assert ingest.metric("kaiser_ingest_outbox_stopped_total") == 2
    assert '"stops_unread"' in ingest.log()


async def test_a_command_that_a_killed_ingest_had_taken_is_not_sent_behind_a_stop(
    world: Any, ingest: Any, until: Callable[..., Any]
) -> None:
    device = await world.device()
    await device.subscribe(f"kaiser/{world.site}/esp/{ESP}/actuator/#")
    stop = {"topic": world.topic(ESP, "actuator/emergency"), "payload": '{"command":"emergency_stop"}', "number": 8}
    async with world.client() as client:
        ingest.kill()
        await put(client, world, 1)
        taken = await client.jetstream().pull_subscribe_bind(INGEST_OUTBOX.name, INGEST_OUTBOX.stream)
        [command] = await taken.fetch(1, timeout=60)

        async def is_stopped() -> bool:
            await command.in_progress()
            return bool(device.heard)

        ingest.start()
        await put(client, world, 0, subject=f"mqtt.urgent.{world.site}.{ESP}", **stop)
        await until(is_stopped)
        await command.nak()
        await until(lambda: _empty(client))
    assert [json.loads(payload).get("command") for _, payload in device.heard] == ["emergency_stop"]
    assert ingest.metric("kaiser_ingest_outbox_stopped_total") == 1


async def test_a_mock_device_hears_through_the_broker_what_was_put_into_the_outbox(
    world: Any, ingest: Any, until: Callable[..., Any]
) -> None:
    async with world.client() as client:
        heard: list[tuple[str, dict[str, Any]]] = []

        async def note(message: Any) -> None:
            heard.append((message.subject, json.loads(message.data)))

        await client.subscribe("esp.downlink.>", cb=note)
        await client.flush()
        await put(client, world, 7)
        await until(lambda: heard)
    assert heard[0][0] == f"esp.downlink.{world.site}.{ESP}"
    assert heard[0][1]["topic"] == world.topic(ESP, "actuator/5/command")
    assert json.loads(heard[0][1]["payload"]) == {"n": 7}


async def _empty(client: Any) -> bool:
    return await left(client) == 0


@pytest.mark.parametrize("consumer", [INGEST_OUTBOX, INGEST_URGENT], ids=lambda spec: spec.name)
async def test_a_vanished_consumer_of_the_outbox_is_told_by_readiness_until_it_is_declared_again(
    world: Any, ingest: Any, until: Callable[..., Any], consumer: DurableConsumer
) -> None:
    await until(ingest.ready)
    checks = json.loads(ingest.get("/readyz")[1])["checks"]
    assert {checks["consumer ingest"], checks["consumer ingest-urgent"]} == {"ok"}
    async with connect(world.bus, "test") as bus:
        await bus.jetstream.delete_consumer(consumer.stream, consumer.name)
        await until(lambda: not ingest.ready())
        assert "run migrate" in json.loads(ingest.get("/readyz")[1])["checks"][f"consumer {consumer.name}"]
        await apply(bus)  # as the migrate step does
    await until(ingest.ready)
    device = await world.device()
    await device.subscribe(f"kaiser/{world.site}/esp/{ESP}/actuator/+/command")
    async with world.client() as client:
        urgent = {"subject": f"mqtt.urgent.{world.site}.{ESP}", "payload": '{"command":"OFF"}'}
        await put(client, world, 0, **(urgent if consumer is INGEST_URGENT else {}))
        await until(lambda: len(device.heard) == 1)
