"""Never retained, never late, never twice, never from another environment: commands through faults at every step.

The exit and the consume loop run as they are. The bus and the broker are stand-ins that fail, lose an answer, or see
the process killed at any step, as drawn; the server's redelivery and a new process follow. Each write to the socket is
judged by what was in force at that moment.
"""

import asyncio
import base64
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kaiser_common.bus.connection import BusUnavailable
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.schemas.factory import FactoryEnvironment, FactoryOutbox, FactoryReceipt
from kaiser_common.runtime.consume import DeadLetters, take
from kaiser_common.runtime.service import Service
from kaiser_common.runtime.settings import CommonSettings
from kaiser_factory_dialect.catalogue import DEFAULT_INTERFACES
from kaiser_factory_dialect.subjects import from_token, is_receipt
from kaiser_ingest.consumers import factory_exit
from kaiser_ingest.consumers.factory_exit import FactoryExit
from kaiser_ingest.mqtt.sending import ConnectionLost
from nats.errors import TimeoutError as NatsTimeout
from prometheus_client import REGISTRY

BEGAN_MS = 1_771_000_000_000
LISTENS = ("ccu/order/request", "module/v1/ff/S/order", "fts/v1/ff/A/instantAction")
TELLS = ("module/v1/ff/S/state", "ccu/order/active")
OUTCOMES = ("sent", "unconfirmed", "expired", "refused", "abandoned")
PROCESSES = 40
"""More than any drawn course needs."""


class Killed(BaseException):
    """The process is gone at this step."""


@dataclass
class Written:
    """A message on the socket and what was in force then."""

    payload: bytes
    topic: str
    retain: bool
    at_ms: int
    environment: FactoryEnvironment


@dataclass
class Plant:
    """The bus's server, the broker, the clock and the environment; they outlive each process of ingest."""

    faults: list[str]
    steps: list[int]
    environment: FactoryEnvironment
    waiting: dict[str, Any] = field(default_factory=dict)
    written: list[Written] = field(default_factory=list)
    now_ms: int = BEGAN_MS
    answer: int = 0
    """The reason code of the broker's acknowledgements."""
    told: list[tuple[str, str]] = field(default_factory=list)
    """The system events, with their severities."""
    receipts: dict[str, list[str]] = field(default_factory=dict)
    """The outcomes that were reported of each command, in order."""

    def fault(self) -> str:
        """The fault that is drawn for this step; time goes on."""
        self.now_ms += self.steps.pop() if self.steps else 1000
        return self.faults.pop() if self.faults else "none"

    def at_step(self, does: Any, lost: Exception) -> None:
        """One step against a server: it may be killed or lost before or after it has had its effect."""
        match self.fault():
            case "killed before":
                raise Killed
            case "lost before":
                raise lost
            case "killed after":
                does()
                raise Killed
            case "lost after":
                does()
                raise lost
            case "switched":
                switched = {"epoch": self.environment.epoch + 1, "armed": False}
                self.environment = self.environment.model_copy(update=switched)
                does()
            case _:
                does()


class Client:
    def __init__(self, plant: Plant) -> None:
        self._plant = plant

    async def request(self, reply: str, body: bytes, timeout: float) -> None:
        assert body == b"+ACK"
        self._plant.at_step(lambda: self._plant.waiting.pop(reply, None), NatsTimeout())


class Bus:
    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self.client = Client(plant)

    async def publish(self, subject: str, body: bytes, *_: Any, **__: Any) -> None:
        def note() -> None:
            if is_receipt(subject):
                outcome = FactoryReceipt.model_validate_json(body).outcome
                self._plant.receipts.setdefault(from_token(subject.rpartition(".")[2]), []).append(outcome)

        self._plant.at_step(note, BusUnavailable("away"))


class Connection:
    def __init__(self, plant: Plant) -> None:
        self._plant = plant

    async def answers(self, _: float) -> bool:
        return self._plant.fault() != "lost before"

    async def publish(self, publication: Any, _: float) -> int:
        plant = self._plant
        if plant.faults[-1:] not in (["lost before"], ["killed before"]):
            # Judged by the time and the environment of the write, not by what they are once the broker answers.
            place = (publication.topic, publication.retain, plant.now_ms, plant.environment)
            plant.written.append(Written(publication.payload, *place))
        plant.at_step(lambda: None, ConnectionLost("gone"))
        return plant.answer

    def send(self, publication: Any) -> asyncio.Future[int]:
        acknowledged = asyncio.get_running_loop().create_future()
        acknowledged.set_result(self._plant.answer)
        return acknowledged


class Consumer:
    """A stand-in for the durable consumer: what is not acknowledged comes again, to this process or to the next."""

    name = "ingest-factory"
    stopping = False

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._held: set[str] = set()

    async def check(self) -> None: ...

    async def stopped_within(self, seconds: float) -> bool:
        self._plant.now_ms += int(seconds * 1000)
        return False

    def holds(self, delivery: Any) -> bool:
        return delivery.reply in self._held

    async def __aiter__(self):
        for _ in range(PROCESSES):
            if not self._plant.waiting:
                return
            self._held = set(self._plant.waiting)
            yield list(self._plant.waiting.values())

    async def ack(self, deliveries: list[Any]) -> None:
        for each in filter(self.holds, deliveries):
            self._held.discard(each.reply)
            self._plant.at_step(lambda each=each: self._plant.waiting.pop(each.reply, None), NatsTimeout())

    async def nak(self, deliveries: list[Any], delay_s: float) -> None:
        self._held -= {each.reply for each in deliveries}
        self._plant.now_ms += int(delay_s * 1000)


def delivery_of(number: int, subject: str, message: FactoryOutbox) -> Delivery:
    return Delivery(subject, reply_of(number), message.model_dump_json().encode(), None)


def reply_of(number: int) -> str:
    return f"$JS.ACK.OUTBOX.ingest-factory.1.{number}.{number}.0.0"


async def run(plant: Plant) -> None:
    """Processes of ingest one after the other, until nothing waits."""

    async def connection(_: float) -> Connection | None:
        return None if plant.fault() == "lost before" else Connection(plant)

    letters = DeadLetters(Bus(plant), Service("test"), CommonSettings())  # type: ignore[arg-type]
    for _ in range(PROCESSES):
        consumer = Consumer(plant)
        exit_ = FactoryExit(
            Bus(plant),  # type: ignore[arg-type]
            consumer,  # type: ignore[arg-type]
            SimpleNamespace(connection=connection),  # type: ignore[arg-type]
            SimpleNamespace(report=lambda event, severity, *_, **__: plant.told.append((event, severity))),  # type: ignore[arg-type]
            SimpleNamespace(note_sent=lambda *_: None),  # type: ignore[arg-type]
            lambda: plant.environment,
            DEFAULT_INTERFACES,
        )
        try:
            await take(consumer, exit_.on_messages, letters)  # type: ignore[arg-type]
        except Killed:
            continue
        if not plant.waiting:
            return
    raise AssertionError(f"these never end: {plant.waiting}")


FAULTS = st.lists(
    st.sampled_from(["none", "none", "lost before", "lost after", "killed before", "killed after", "switched"]),
    max_size=30,
)
STEPS = st.lists(st.integers(-15_000, 6000), max_size=30)
"""ms by which the clock moves; it is also set back."""
COMMANDS = st.lists(
    st.tuples(
        st.sampled_from([*LISTENS, *LISTENS, *TELLS, "kaiser/god/esp/ESP_1/system/command"]),
        st.sampled_from(["live", "live", "mock"]),
        st.integers(0, 2),
        st.integers(-12_000, 12_000),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)
KINDS = st.sampled_from([("live", False), ("mock", False), ("replay", False), ("replay", True)])


@given(FAULTS, STEPS, COMMANDS, KINDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_command_is_written_once_in_time_and_in_its_environment_or_never(
    monkeypatch: pytest.MonkeyPatch,
    faults: list[str],
    steps: list[int],
    commands: list[tuple[str, str, int, int, bool]],
    kind: tuple[str, bool],
) -> None:
    environment = FactoryEnvironment(env="live", kind=kind[0], epoch=1, armed=kind[1])  # type: ignore[arg-type]
    plant = Plant(list(faults), list(steps), environment)
    made = {}
    for number, (topic, env, epoch, age, retain) in enumerate(commands):
        message = FactoryOutbox(
            topic=topic,
            payload_base64=base64.b64encode(str(number).encode()).decode(),
            env=env,
            epoch=epoch,
            queued_at=BEGAN_MS - age,
            retain=retain,
            command_id=f"c{number}",
        )
        made[str(number).encode()] = message
        plant.waiting[reply_of(number)] = delivery_of(number, "mqtt.factory.command.S", message)
    with monkeypatch.context() as patched:
        patched.setattr(factory_exit, "now_ms", lambda: plant.now_ms)
        asyncio.run(run(plant))
    written = [each.payload for each in plant.written]
    assert len(written) == len(set(written))
    for each in plant.written:
        message = made[each.payload]
        assert not each.retain
        assert not message.retain
        assert abs(each.at_ms - message.queued_at) <= 10_000
        assert (message.env, message.epoch) == (each.environment.env, each.environment.epoch)
        assert each.environment.kind != "replay" or each.environment.armed
        assert each.topic in LISTENS
    for command_id, outcomes in plant.receipts.items():
        # The journal ends such a command as never written.
        if outcomes[-2:] == ["unconfirmed", "expired"]:
            assert command_id.removeprefix("c").encode() not in written
    if not faults and not steps:
        # A course without faults: time goes on by a second a step, and a good command is written.
        first = commands[0]
        good = first[0] in LISTENS and first[1:3] == ("live", 1) and -10_000 <= first[3] < 4000 and not first[4]
        if good and (kind[0] != "replay" or kind[1]):
            assert b"0" in written


def test_a_command_whose_time_is_out_after_it_was_taken_over_is_reported_as_expired(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    until_unconfirmed = [11_000, 0, 0, 0, 0]
    """From the last: connection, its answer, +ACK, acknowledgement, and the receipt, which takes 11 s."""
    plant = Plant(["none"] * 30, [0] * 20 + until_unconfirmed, FactoryEnvironment(env="live", kind="live", epoch=1))
    message = FactoryOutbox(
        topic=LISTENS[0], payload_base64="e30=", env="live", epoch=1, queued_at=BEGAN_MS, command_id="c"
    )
    plant.waiting[reply_of(0)] = delivery_of(0, "mqtt.factory.command.S", message)
    monkeypatch.setattr(factory_exit, "now_ms", lambda: plant.now_ms)
    asyncio.run(run(plant))
    assert (plant.written, plant.receipts) == ([], {"c": ["unconfirmed", "expired"]})


@pytest.mark.parametrize(
    ("epoch", "topic", "age", "outcome"),
    [
        (1, LISTENS[0], 0, "sent"),
        (0, LISTENS[0], 0, "abandoned"),
        (1, TELLS[0], 0, "refused"),
        (0, LISTENS[0], 11_000, "expired"),
    ],
)
def test_a_message_for_an_environment_that_was_left_counts_as_abandoned(
    monkeypatch: pytest.MonkeyPatch, epoch: int, topic: str, age: int, outcome: str
) -> None:
    plant = Plant(["none"] * 30, [0] * 30, FactoryEnvironment(env="live", kind="live", epoch=1))
    message = FactoryOutbox(
        topic=topic, payload_base64="e30=", env="live", epoch=epoch, queued_at=BEGAN_MS - age, command_id="c"
    )
    plant.waiting[reply_of(0)] = delivery_of(0, "mqtt.factory.command.S", message)

    def counted() -> dict[str, float]:
        name = "kaiser_ingest_factory_sent_total"
        return {each: REGISTRY.get_sample_value(name, {"lane": "command", "outcome": each}) or 0.0 for each in OUTCOMES}

    before = counted()
    monkeypatch.setattr(factory_exit, "now_ms", lambda: plant.now_ms)
    asyncio.run(run(plant))
    grown = {each: number - before[each] for each, number in counted().items()}
    assert grown == {each: float(each == outcome) for each in OUTCOMES}


@pytest.mark.parametrize(
    ("lane", "topic", "answer", "told"),
    [
        ("command", TELLS[0], 0, [("factory_lane_breach", "critical")]),
        ("replay", "kaiser/god/esp/ESP_1/system/command", 0, [("factory_lane_breach", "critical")]),
        ("command", LISTENS[0], 0x87, [("factory_message_refused", "warning")]),
        ("replay", TELLS[0], 0x87, [("factory_message_refused", "warning")]),
        ("replay", TELLS[0], 0, []),
    ],
)
def test_a_refusal_of_the_broker_is_no_breach_of_the_lanes(
    monkeypatch: pytest.MonkeyPatch, lane: str, topic: str, answer: int, told: list[tuple[str, str]]
) -> None:
    plant = Plant(
        ["none"] * 30, [0] * 30, FactoryEnvironment(env="r", kind="replay", epoch=1, armed=True), answer=answer
    )
    message = FactoryOutbox(topic=topic, payload_base64="e30=", env="r", epoch=1, queued_at=BEGAN_MS)
    plant.waiting[reply_of(0)] = delivery_of(0, f"mqtt.factory.{lane}.S", message)
    monkeypatch.setattr(factory_exit, "now_ms", lambda: plant.now_ms)
    asyncio.run(run(plant))
    assert plant.told == told
