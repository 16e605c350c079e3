"""Commands and emergency stops on a real NATS and PostgreSQL, with a fake clock and a device made of messages."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import psycopg
import pytest
from answering import Method, serve
from consuming import stored
from firmware_a import FirmwareA
from firmware_b import FirmwareB
from firmware_device import Actuator, Flash, Heard
from kaiser_actuator.api.commands import CommandApi
from kaiser_actuator.api.emergencies import EmergencyApi
from kaiser_actuator.api.registry import ActuatorRegistryApi
from kaiser_actuator.consumers.devices import ActuatorMessages
from kaiser_actuator.domain.emergency_core import Put
from kaiser_actuator.jobs.clears import Clears
from kaiser_actuator.jobs.emergency_ledger import EmergencyLedger
from kaiser_actuator.jobs.sweep import DueSweep
from kaiser_actuator.store import actuators, emergencies
from kaiser_actuator.store.numbers import Numbers, open_board
from kaiser_actuator.store.stops import Stops
from kaiser_common.bus.bucket import BucketWriter
from kaiser_common.bus.connection import Bus, BusUnavailable, connect
from kaiser_common.bus.declare import apply
from kaiser_common.bus.pull import Delivery
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.schemas.api.actuators import (
    ActuatorKey,
    ActuatorSettings,
    ActuatorsQuery,
    ClearEmergency,
    CommandId,
    CommandRequest,
    CommandStatus,
    Emergencies,
    EmergenciesQuery,
    Emergency,
    EmergencyStop,
    HistoryQuery,
    PutActuator,
    SendCommand,
)
from kaiser_common.contract.schemas.api.devices import DeviceId
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.subjects import EMERGENCIES_BUCKET
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.loops import beside
from kaiser_common.runtime.settings import CommonSettings
from kaiser_common.runtime.wiring import UNREACHABLE
from nats.errors import Error as NatsError
from psycopg_pool import PoolTimeout
from pydantic import ValidationError
from read_only import set_read_only
from structlog.testing import capture_logs
from waiting import until as eventually

START = datetime(2026, 1, 1, tzinfo=UTC)
TIMEOUT = timedelta(seconds=10)
ADA = Caller(user="ada", role="operator", request_id="r1")
TOPIC = "kaiser/god/esp/ESP_A/actuator/"
_HANGS_S = 10.0
"""Less than the 15 s after which PostgreSQL ends a statement."""


def device(
    esp_id: str, *, online: bool = True, boot: int = 0, state: str = "approved", approved_at: int | None = None
) -> DeviceRecord:
    return DeviceRecord(esp_id=esp_id, kaiser_id="god", state=state, online=online, boot=boot, approved_at=approved_at)


class Life:
    """The service's parts on real servers, a hand on its clock and on the registry of devices."""

    def __init__(self, pool, bus, bucket, mirror, began_at: datetime = START) -> None:
        self.now = began_at
        self.bus = bus
        self.pool = pool
        self.devices = {esp_id: device(esp_id) for esp_id in ("ESP_A", "ESP_B")}
        self.mirror = mirror
        self.stops = Stops(bus, bucket, mirror, self.devices, self.now_ms, Numbers())
        self.ledger = EmergencyLedger(pool, bus, self.stops, TIMEOUT, self.clock)
        self.clears = Clears(pool, self.stops, self.ledger, self.devices, self.now_ms, self._heard)
        self.inbox = ActuatorMessages(pool, bus, self.stops, self.ledger, self.clears, TIMEOUT, self.clock)
        self.registry = ActuatorRegistryApi(pool, self.devices, self.stops, self.clock)
        self.emergency = EmergencyApi(bus, self.stops, self.ledger, self.clears, self.now_ms, wait_s=0.0)
        self.sweep = DueSweep(pool, bus, self.devices, self.stops, self.ledger, TIMEOUT, self.clock, self._heard)
        takes = self.sweep.takes_commands
        self.commands = CommandApi(pool, bus, self.devices, self.stops, TIMEOUT, 60, self.clock, takes)
        self.heard_up_to: datetime | None = None
        self._sequence = 0

    async def _heard(self, now: datetime) -> datetime:
        return self.heard_up_to or now

    def clock(self) -> datetime:
        return self.now

    def now_ms(self) -> int:
        return int(self.now.timestamp() * 1000)

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def pump(self, gpio: int = 5, esp_id: str = "ESP_A", **settings) -> None:
        chosen = ActuatorSettings(actuator_type="pump", **settings)
        await self.registry.put(PutActuator(esp_id=esp_id, gpio=gpio, settings=chosen), ADA)

    async def send(self, name: str = "ON", gpio: int = 5, esp_id: str = "ESP_A", key: str | None = None, **fields):
        request = SendCommand(
            esp_id=esp_id, gpio=gpio, request=CommandRequest(command=name, **fields), idempotency_key=key
        )
        return await self.commands.send(request, ADA)

    async def how(self, command: CommandStatus) -> CommandStatus:
        return await self.commands.read(CommandId(command_id=command.command_id), ADA)

    def message(self, kind: str, gpio: int = 5, esp_id: str = "ESP_A", **fields) -> Delivery:
        self._sequence += 1
        reply = f"$JS.ACK.DEVICES.actuator.1.{self._sequence}.1.1.0"
        body = {"kaiser_id": "god", "esp_id": esp_id, "gpio": gpio, "ts": self.now_ms(), "received_at": self.now_ms()}
        return Delivery(
            f"esp.actuator.{kind}.god.{esp_id}.{gpio}", reply, json.dumps({**body, **fields}).encode(), None
        )

    def sent(self, command: CommandStatus) -> Delivery:
        body = json.dumps({"sent_at": self.now_ms()}).encode()
        subject = f"esp.actuator.sent.god.{command.esp_id}.{command.gpio}.{command.command_id}"
        return Delivery(subject, "$JS.ACK.DEVICES.actuator.1.1.1.1.0", body, None)

    def status(self, on: bool, gpio: int = 5, **fields) -> Delivery:
        return self.message("status", gpio, actuator_type="pump", state=on, value=float(on), **fields)

    def response(self, command: CommandStatus, success: bool = True, **fields) -> Delivery:
        given = {"command": command.command, "success": success, "correlation_id": command.command_id, **fields}
        return self.message("response", command.gpio, command.esp_id, **given)

    async def say(self, *messages: Delivery) -> list[Delivery]:
        """Handle messages of devices; those that cannot be read."""
        return [delivery for delivery, _ in await self.inbox.on_messages(messages)]

    async def published(self, stream: str) -> list[tuple[str, dict]]:
        """The messages of a stream, oldest first."""
        return await stored(self.bus, stream)

    async def outbox(self) -> list[tuple[str, dict]]:
        """Lane and topic, payload."""
        return [
            (f"{subject.split('.')[1]} {body['topic']}", json.loads(body["payload"]))
            for subject, body in await self.published("OUTBOX")
        ]

    async def events(self, kind: str) -> list[dict]:
        return [body for subject, body in await self.published("EVENTS") if subject.split(".")[1] == kind]

    async def recorded(self, esp_id: str) -> list[tuple[str, str]]:
        """The history of a device's stops, oldest first: what happened, and who did it."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT message, actor FROM actuator.history WHERE kind = 'emergency' AND esp_id = %s ORDER BY time",
                (esp_id,),
            )
            return await cursor.fetchall()

    def answer(self, answer: str, esp_id: str = "ESP_A", **fields) -> Delivery:
        """A device's answer to an emergency."""
        self._sequence += 1
        body = {"kaiser_id": "god", "esp_id": esp_id, "ts": self.now_ms(), "received_at": self.now_ms()}
        return Delivery(
            f"esp.actuator.emergency.god.{esp_id}",
            f"$JS.ACK.DEVICES.actuator.1.{self._sequence}.1.1.0",
            json.dumps({**body, "answer": answer, **fields}).encode(),
            None,
        )

    async def clear(self, esp_id: str | None = None, gpio: int | None = None, **fields):
        """Ask for a clear, and have the devices confirm it once it was sent to them."""
        request = ClearEmergency(esp_id=esp_id, gpio=gpio, all=esp_id is None, **fields)
        answer = await self.emergency.clear(request, ADA)
        for _ in range(6):
            self.wait(2.5)
            await self.look()
            for one in [stop.esp_id for stop in self.stops.values() if stop.clearing and stop.esp_id]:
                await self.say(self.answer("response", one, status="emergency_cleared"))
            if not any(stop.clearing for stop in self.stops.values()):
                break
        return answer

    async def clear_at_once(self, esp_id: str, gpio: int) -> None:
        """Ask for a clear that no device has to confirm."""
        await self.emergency.clear(ClearEmergency(esp_id=esp_id, gpio=gpio), ADA)

    async def look(self) -> None:
        """One look after the clears under way, with all read that the bucket holds."""
        written = (await self.bus.jetstream.stream_info(f"KV_{EMERGENCIES_BUCKET.name}")).state.last_seq
        for _ in range(6_000):
            if self.mirror.position >= written:
                break
            await asyncio.sleep(0.01)
        await self.clears.once()

    async def is_clearing(self) -> bool:
        return any(stop.clearing for stop in self.stops.values())

    async def emergencies(self, esp_id: str = "ESP_A") -> list[str]:
        """The commands on a device's emergency topic and on the broadcast, urgent lane."""
        topics = (f"urgent kaiser/god/esp/{esp_id}/actuator/emergency", "urgent kaiser/broadcast/emergency")
        return [payload["command"] for lane, payload in await self.outbox() if lane in topics]

    async def mirrored(self, *keys: str) -> None:
        for _ in range(500):
            if set(self.mirror) == set(keys):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"the bucket has {set(self.mirror)}")


@pytest.fixture
async def life(bus_settings, database):
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE actuator.actuators, actuator.commands, actuator.emergencies, actuator.history")
    async with (
        connect(CommonSettings(nats_url=bus_settings.nats_address), "test") as bus,
        open_pool(CommonSettings(database_url=database), "test") as pool,
    ):
        mirror = open_board(bus, Numbers())
        keeping = asyncio.create_task(mirror.keep())
        await mirror.ready()
        yield Life(pool, bus, await BucketWriter.open(bus, EMERGENCIES_BUCKET), mirror)
        keeping.cancel()


async def refusal(awaitable) -> tuple[int, int]:
    with pytest.raises(RpcError) as refused:
        await awaitable
    return refused.value.problem.status, refused.value.problem.code


async def test_a_command_goes_out_in_the_words_of_the_contract_and_ends_acknowledged(life):
    await life.pump()
    command = await life.send("ON", duration_s=60, reason="watering")
    assert command.state == "queued"
    assert await life.outbox() == [
        (
            f"out {TOPIC}5/command",
            {
                "command": "ON",
                "value": 1.0,
                "duration": 60,
                "timestamp": int(START.timestamp()),
                "correlation_id": command.command_id,
                "issued_by": "ada",
            },
        )
    ]
    life.wait(1)
    await life.say(life.sent(command))
    assert (await life.how(command)).state == "sent"
    life.wait(1)
    await life.say(life.response(command, message="done"), life.status(True))
    done = await life.how(command)
    assert (done.state, done.message, done.issued_by) == ("acknowledged", "done", "ada")
    assert (done.sent_at - done.queued_at, done.ended_at - done.queued_at) == (1000, 2000)
    assert [
        (event["state"], event["success"], event["command_id"]) for event in await life.events("actuator_response")
    ] == [("acknowledged", True, command.command_id)]
    [pump] = (await life.registry.list_actuators(ActuatorsQuery(), ADA)).items
    assert (pump.state, pump.value, pump.emergency) == (True, 1.0, "normal")


async def test_failure_silence_late_and_duplicate_answers(life):
    await life.pump()
    failing = await life.send("ON")
    await life.say(life.sent(failing), life.response(failing, success=False, message="no water"))
    failed = await life.how(failing)
    assert (failed.state, failed.state_reason) == ("failed", "no water")
    silent = await life.send("ON")
    await life.say(life.sent(silent))
    life.wait(9.9)
    await life.sweep.once()
    assert (await life.how(silent)).state == "sent"
    life.wait(0.1)
    await life.sweep.once()
    expired = await life.how(silent)
    assert (expired.state, expired.state_reason) == ("expired", "no answer within 10 s")
    late = life.response(silent)
    await life.say(late)
    await life.say(late, life.response(failing))
    assert await life.how(silent) == expired
    assert await life.how(failing) == failed
    history = (await life.registry.history(HistoryQuery(esp_id="ESP_A", gpio=5), ADA)).items
    assert [item.kind for item in history].count("response") == 3, "a late answer is kept, a repeated one once"


async def test_a_command_whose_answer_came_in_time_and_is_unread_does_not_expire(life):
    await life.pump()
    answered, silent = await life.send(), await life.send("OFF")
    await life.say(life.sent(answered), life.sent(silent))
    answer = life.response(answered)
    life.heard_up_to = life.now
    life.wait(60)
    await life.sweep.once()
    assert (await life.how(answered)).state == (await life.how(silent)).state == "sent", "nobody has read what came"
    await life.say(answer)
    life.heard_up_to = None
    await life.sweep.once()
    assert (await life.how(answered)).state == "acknowledged"
    assert (await life.how(silent)).state == "expired"


async def test_answers_without_an_id_end_the_commands_of_that_name_in_order(life):
    await life.pump()
    first, second = await life.send("ON"), await life.send("ON")
    anonymous = life.message("response", command="ON", success=True)
    await life.say(life.sent(first), life.sent(second), anonymous)
    assert [(await life.how(each)).state for each in (first, second)] == ["acknowledged", "sent"]


async def test_an_answer_before_the_receipt_ends_the_command_all_the_same(life):
    await life.pump()
    command = await life.send("ON", duration_s=60)
    await life.say(life.response(command))
    await life.say(life.sent(command))
    assert (await life.how(command)).state == "acknowledged"


async def test_a_receipt_that_is_faster_than_the_command_s_own_commit_is_not_lost(life, monkeypatch):
    await life.pump()
    published, may_commit = asyncio.Event(), asyncio.Event()
    publish_batch = Bus.publish_batch

    async def slow(bus, messages, **options):
        await publish_batch(bus, messages, **options)
        published.set()
        await may_commit.wait()

    monkeypatch.setattr(Bus, "publish_batch", slow)
    sending = asyncio.create_task(life.send("ON", duration_s=60))
    await asyncio.wait_for(published.wait(), 60)
    monkeypatch.setattr(Bus, "publish_batch", publish_batch)
    [(subject, _)] = await life.published("OUTBOX")
    receipt = (await life.bus.jetstream.get_last_msg("OUTBOX", subject)).data
    command_id = json.loads(json.loads(receipt)["payload"])["correlation_id"]
    body = json.dumps({"sent_at": life.now_ms()}).encode()
    told = Delivery(f"esp.actuator.sent.god.ESP_A.5.{command_id}", "$JS.ACK.DEVICES.actuator.1.1.1.1.0", body, None)
    saying = asyncio.create_task(life.say(told))
    assert (await asyncio.wait([saying], timeout=0.3))[1], "it waits for the commit"
    may_commit.set()
    await asyncio.wait_for(saying, 60)
    assert (await life.how(await sending)).state == "sent"


async def test_an_idempotency_key_answers_with_the_first_command(life):
    await life.pump()
    first = await life.send("ON", key="rule1:0")
    assert await life.send("ON", key="rule1:0") == first
    assert len(await life.outbox()) == 1
    assert await refusal(life.send("OFF", key="rule1:0")) == (409, 5208)


async def test_a_device_that_is_offline_refuses_or_gets_its_commands_in_order_once_it_is_back(life):
    await life.pump()
    life.devices["ESP_A"] = device("ESP_A", online=False)
    assert await refusal(life.send("ON")) == (409, 5007)
    waiting = [await life.send(name, queue=True, expires_s=60) for name in ("OFF", "ON")]
    brief = await life.send("ON", queue=True, expires_s=20)
    await life.sweep.once()
    early = [payload["correlation_id"] for _, payload in await life.outbox()]
    assert early == [waiting[0].command_id], "OFF does not wait: the device may listen all the same"
    life.wait(30)
    await life.sweep.once()
    assert (await life.how(brief)).state == "expired"
    life.devices["ESP_A"] = device("ESP_A")
    await life.sweep.once()
    sent = [payload["correlation_id"] for _, payload in await life.outbox()]
    assert sent == [*early, *(each.command_id for each in waiting)]
    await life.sweep.once()
    assert len(await life.outbox()) == 3, "once"


async def test_off_is_sent_to_a_device_that_is_offline_and_its_answer_says_that_it_is_not_confirmed(life):
    await life.pump()
    life.devices["ESP_A"] = device("ESP_A", online=False)
    waiting = await life.send("OFF", queue=True, expires_s=60)
    now = await life.send("OFF")
    assert now.state_reason == (
        "the device is offline: OFF is sent all the same, and is confirmed once the device answers"
    )
    sent = [payload["correlation_id"] for _, payload in await life.outbox()]
    assert sent == [waiting.command_id, now.command_id]
    for command in (waiting, now):
        assert (await life.how(command)).state == "queued", "it is sent once more when the device is back"
    life.wait(10)
    await life.sweep.once()
    ended = await life.how(now)
    assert (ended.state, ended.state_reason) == ("expired", "the device did not come online in time")


async def test_off_to_a_device_that_was_just_booting_is_sent_again_once_it_had_time_to_subscribe(life):
    await life.pump()
    life.devices["ESP_A"] = device("ESP_A", online=False)
    off = await life.send("OFF")
    life.devices["ESP_A"] = device("ESP_A")
    life.sweep.on_device("ESP_A", life.devices["ESP_A"])
    await life.sweep.once()
    life.wait(2)
    await life.sweep.once()
    assert [payload["correlation_id"] for _, payload in await life.outbox()] == [off.command_id, off.command_id]


async def test_a_command_that_waited_for_a_device_is_sent_once_the_device_had_time_to_subscribe(life):
    """Firmware A subscribes after its first heartbeat; what comes in between is lost."""
    await life.pump()
    life.devices["ESP_A"] = device("ESP_A", online=False)
    await life.send("ON", queue=True, expires_s=60)
    life.devices["ESP_A"] = device("ESP_A")
    life.sweep.on_device("ESP_A", life.devices["ESP_A"])
    await life.sweep.once()
    life.wait(1.9)
    await life.sweep.once()
    assert await life.outbox() == []
    life.wait(0.1)
    await life.sweep.once()
    assert [payload["command"] for _, payload in await life.outbox()] == ["ON"]


async def test_what_waited_for_a_device_does_not_switch_on_another_one_that_is_let_in_under_its_id(life):
    await life.pump()
    life.devices["ESP_A"] = device("ESP_A", online=False)
    before = await life.send("ON", queue=True, expires_s=3600)
    life.wait(60)
    life.devices["ESP_A"] = device("ESP_A", online=False, approved_at=life.now_ms())
    life.wait(60)
    since = await life.send("ON", queue=True, expires_s=3600)
    life.devices["ESP_A"] = device("ESP_A", approved_at=life.now_ms() - 60_000)
    await life.sweep.once()
    assert [payload["correlation_id"] for _, payload in await life.outbox()] == [since.command_id]
    assert ((await life.how(before)).state, (await life.how(since)).state) == ("cancelled", "queued")
    assert (await life.how(before)).state_reason == "the device was approved again after this command"


async def test_a_new_command_does_not_take_along_what_waited_for_another_device_of_that_id(life):
    await life.pump()
    life.devices["ESP_A"] = device("ESP_A", online=False)
    before = await life.send("ON", queue=True, expires_s=3600)
    life.wait(60)
    life.devices["ESP_A"] = device("ESP_A", approved_at=life.now_ms())
    off = await life.send("OFF")
    assert [payload["correlation_id"] for _, payload in await life.outbox()] == [off.command_id]
    assert (await life.how(before)).state == "cancelled"


async def test_a_command_to_a_device_that_came_online_just_now_waits_until_it_has_subscribed(life):
    await life.pump()
    life.sweep.on_device("ESP_A", life.devices["ESP_A"])
    command = await life.send("ON")
    await life.sweep.once()
    assert await life.outbox() == []
    life.wait(2)
    await life.sweep.once()
    assert [payload["correlation_id"] for _, payload in await life.outbox()] == [command.command_id]


@pytest.mark.parametrize(("answers", "sent"), [(True, 1), (False, 2)])
async def test_off_to_a_device_that_came_online_just_now_is_sent_at_once_and_again_unless_it_answers(
    life, answers, sent
):
    await life.pump()
    life.sweep.on_device("ESP_A", life.devices["ESP_A"])
    await life.sweep.once()
    off = await life.send("OFF")
    assert [payload["command"] for _, payload in await life.outbox()] == ["OFF"]
    if answers:
        await life.say(life.response(off), life.status(False))
    life.wait(2)
    await life.sweep.once()
    assert [payload["correlation_id"] for _, payload in await life.outbox()] == [off.command_id] * sent


@pytest.mark.parametrize("is_queued", [False, True])
@pytest.mark.parametrize("answers", [True, False])
async def test_what_waits_to_switch_on_never_goes_out_after_an_off_that_came_later(life, is_queued, answers):
    """Whether the device answers the OFF, which is sent to it at once, or it is sent again after the two seconds."""
    await life.pump()
    if is_queued:
        life.devices["ESP_A"] = device("ESP_A", online=False)
        on = await life.send("ON", queue=True, expires_s=60)
        life.devices["ESP_A"] = device("ESP_A")
    life.sweep.on_device("ESP_A", life.devices["ESP_A"])
    await life.sweep.once()
    if not is_queued:
        on = await life.send("ON")
    life.wait(0.3)
    off = await life.send("OFF")
    if answers:
        await life.say(life.response(off), life.status(False))
    life.wait(2)
    await life.sweep.once()
    assert {payload["command"] for _, payload in await life.outbox()} == {"OFF"}
    cancelled = await life.how(on)
    assert (cancelled.state, cancelled.state_reason) == ("cancelled", "OFF came after it")
    [event, *_] = await life.events("actuator_response")
    assert (event["state"], event["message"]) == ("cancelled", "OFF came after it")


async def test_an_off_that_waits_for_its_device_ends_what_waits_before_it_though_it_expires_first(life):
    await life.pump()
    life.devices["ESP_A"] = device("ESP_A", online=False)
    await life.send("ON", queue=True, expires_s=600)
    await life.send("OFF", queue=True, expires_s=60)
    life.wait(100)
    await life.sweep.once()
    life.devices["ESP_A"] = device("ESP_A")
    await life.sweep.once()
    assert [payload["command"] for _, payload in await life.outbox()] == ["OFF"], "the one that was sent at once"


@pytest.mark.parametrize(("answers", "sent"), [(True, 1), (False, 2)])
async def test_off_at_the_end_of_a_duration_is_sent_again_to_a_device_that_had_not_subscribed(life, answers, sent):
    """The duration ended while the device was away, and a command waits for it."""
    await life.pump()
    command = await life.send("ON", duration_s=60)
    await life.say(life.sent(command), life.response(command), life.status(True))
    life.devices["ESP_A"] = device("ESP_A", online=False)
    waits = await life.send("ON", queue=True, expires_s=600)
    life.wait(100)
    await life.sweep.once()
    life.devices["ESP_A"] = device("ESP_A")
    life.sweep.on_device("ESP_A", life.devices["ESP_A"])
    life.wait(1)
    await life.sweep.once()
    given = (await life.outbox())[1:]
    assert [payload["command"] for _, payload in given] == ["OFF"]
    if answers:
        body = {"command": "OFF", "success": True, "correlation_id": given[0][1]["correlation_id"]}
        await life.say(life.message("response", **body), life.status(False))
    life.wait(2)
    await life.sweep.once()
    ids = [payload["correlation_id"] for _, payload in (await life.outbox())[1:]]
    assert ids == [given[0][1]["correlation_id"]] * sent
    assert (await life.how(waits)).state == "cancelled"


async def test_a_device_that_was_let_in_a_moment_ago_takes_a_pump_and_a_command(life):
    approved = life.devices.pop("ESP_A")
    life.devices["ESP_A"] = approved.model_copy(update={"state": "pending"})
    asyncio.get_running_loop().call_later(0.05, life.devices.pop, "ESP_A")
    asyncio.get_running_loop().call_later(0.1, life.devices.__setitem__, "ESP_A", approved)
    await life.pump()
    del life.devices["ESP_A"]
    asyncio.get_running_loop().call_later(0.05, life.devices.__setitem__, "ESP_A", approved)
    assert (await life.send("ON")).state == "queued"


async def test_commands_that_must_not_be_sent_are_refused(life):
    assert await refusal(life.send("ON", esp_id="ESP_NOBODY")) == (404, 5001)
    assert await refusal(life.send("ON")) == (404, 5202)
    await life.pump(max_value=0.5, max_runtime_s=100)
    await life.pump(gpio=6, interlocks=[5])
    assert await refusal(life.send("PWM", value=0.6)) == (422, 5207)
    assert await refusal(life.send("ON", duration_s=101)) == (422, 5207)
    first = await life.send("ON")
    assert first.duration_s == 100, "never longer than the longest runtime"
    assert await refusal(life.send("ON", gpio=6)) == (409, 5412)
    for _ in range(59):
        await life.send("ON")
    assert await refusal(life.send("ON")) == (429, 5404)
    assert (await life.send("OFF")).state == "queued", "switching off is never limited"
    assert len(await life.outbox()) == 61


async def test_off_is_sent_and_an_alert_raised_when_a_duration_is_over_and_no_off_was_reported(life):
    await life.pump()
    command = await life.send("ON", duration_s=60)
    await life.say(life.sent(command), life.response(command), life.status(True))
    life.wait(64)
    await life.sweep.once()
    assert len(await life.outbox()) == 1
    life.wait(1)
    await life.sweep.once()
    assert [payload["command"] for _, payload in await life.outbox()] == ["ON", "OFF"]
    [alert] = await life.events("actuator_alert")
    assert (alert["alert_type"], alert["severity"], alert["gpio"]) == ("runtime_protection", "critical", 5)
    life.wait(1)
    await life.say(life.status(False))
    life.wait(600)
    await life.sweep.once()
    assert len(await life.outbox()) == 2


async def test_a_reported_off_needs_no_second_one(life):
    await life.pump()
    command = await life.send("ON", duration_s=60)
    await life.say(life.sent(command), life.response(command), life.status(True))
    life.wait(60)
    await life.say(life.status(False))
    life.wait(60)
    await life.sweep.once()
    assert len(await life.outbox()) == 1


async def test_a_stop_goes_out_first_cancels_what_is_open_and_locks_until_it_is_cleared(life):
    await life.pump()
    await life.pump(gpio=6)
    command = await life.send("ON")
    other = await life.send("ON", gpio=6)
    answer = await life.emergency.stop(EmergencyStop(esp_id="ESP_A", gpio=5, reason="leak"), ADA)
    assert answer.cancelled == 1
    assert [(each.esp_id, each.gpio, each.raised_by) for each in answer.items] == [("ESP_A", 5, "ada")]
    lanes = [(lane, payload["command"]) for lane, payload in await life.outbox()]
    assert lanes == [
        (f"out {TOPIC}6/command", "ON"),
        (f"urgent {TOPIC}5/command", "OFF"),
        (f"out {TOPIC}5/command", "OFF"),
    ], "the stopped one's command is gone, OFF comes on the fast lane and behind what ingest may hold"
    assert (await life.how(command)).state == "cancelled"
    assert (await life.how(other)).state == "queued"
    assert await refusal(life.send("ON")) == (423, 5411)
    assert await refusal(life.send("PWM", value=0.1)) == (423, 5411)
    assert (await life.send("OFF")).state == "queued"
    assert (await life.send("ON", gpio=6)).state == "queued"
    pump = await life.registry.read(ActuatorKey(esp_id="ESP_A", gpio=5), ADA)
    assert (pump.state, pump.emergency, pump.emergency_reason) == (None, "active", "leak"), "unknown until it reports"
    life.wait(5)
    cleared = await life.clear("ESP_A", 5, reason="dry again")
    assert cleared.items == []
    assert (await life.send("ON")).state == "queued"
    history = (await life.registry.history(HistoryQuery(esp_id="ESP_A", gpio=5), ADA)).items
    assert [(each.message, each.actor) for each in history if each.kind == "emergency"] == [
        ("cleared: dry again", "ada"),
        ("raised: leak", "ada"),
    ]
    assert [event["event"] for event in await life.events("system_event")] == ["emergency_stop", "emergency_cleared"]


async def test_a_device_that_took_a_configuration_is_sent_its_stop_again(life):
    await life.pump()

    def answer(**fields) -> Delivery:
        body = {"kaiser_id": "god", "esp_id": "ESP_A", "ts": life.now_ms(), "received_at": life.now_ms()}
        body |= {"status": "success", "type": "actuator", "count": 1, **fields}
        reply = "$JS.ACK.DEVICES.actuator.1.77.1.1.0"
        return Delivery("esp.config.response.god.ESP_A", reply, json.dumps(body).encode(), None)

    assert await life.say(answer()) == []
    assert await life.emergencies() == [], "nothing is in force"
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    life.wait(1)
    assert await life.say(answer(replayed=True)) == []
    assert await life.emergencies() == ["emergency_stop"]
    assert await life.say(answer()) == []
    assert await life.emergencies() == ["emergency_stop"] * 2
    life.wait(2)
    await life.look()
    assert await life.emergencies() == ["emergency_stop"] * 3, "once more, in case that one is lost"


async def test_a_stop_of_everything_goes_to_all_by_broadcast_and_a_narrower_one_stays_behind_it(life):
    await life.pump()
    await life.pump(esp_id="ESP_B")
    await life.emergency.stop(EmergencyStop(esp_id="ESP_B", reason="smoke"), ADA)
    life.wait(1)
    answer = await life.emergency.stop(EmergencyStop(reason="fire"), ADA)
    assert len(answer.items) == 2
    broadcast = {"command": "emergency_stop", "reason": "fire", "issued_by": "ada"}
    assert ("urgent kaiser/broadcast/emergency", broadcast) in await life.outbox()
    own = ("urgent kaiser/god/esp/ESP_B/actuator/emergency", "emergency_stop")
    assert own in [(lane, payload["command"]) for lane, payload in await life.outbox()]
    assert await refusal(life.send("ON")) == (423, 5411)
    assert await refusal(life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)) == (409, 5414)
    await life.clear()
    assert (await life.emergencies())[-1] == "clear_emergency"
    assert (await life.emergencies("ESP_B"))[-1] == "emergency_stop"
    assert (await life.send("ON")).state == "queued"
    assert await refusal(life.send("ON", esp_id="ESP_B")) == (423, 5411)
    assert await refusal(life.emergency.clear(ClearEmergency(all=True), ADA)) == (404, 5415)


async def test_a_stop_of_everything_is_the_broadcast_each_own_emergency_and_off_to_what_is_on(life):
    life.devices["ESP_B"] = device("ESP_B").model_copy(update={"kaiser_id": "north", "emergency_token": "s3cret"})
    for gpio in (5, 6, 7):
        await life.pump(gpio)
    await life.say(life.status(True), life.status(False, 6), life.status(True, 7), life.status(False, 7))
    await life.emergency.stop(EmergencyStop(esp_id="ESP_B", reason="smoke"), ADA)
    life.wait(1)
    before = len(await life.outbox())
    [everything, _] = (await life.emergency.stop(EmergencyStop(reason="fire"), ADA)).items

    found = (await life.outbox())[before:]
    urgent = [(lane.removeprefix("urgent "), payload) for lane, payload in found if lane.startswith("urgent ")]
    behind = [(lane.removeprefix("out "), payload) for lane, payload in found if lane.startswith("out ")]
    assert urgent[0] == (
        "kaiser/broadcast/emergency",
        {"command": "emergency_stop", "reason": "fire", "issued_by": "ada"},
    ), "one message reaches all before the devices' own"
    own = {
        "kaiser/god/esp/ESP_A/actuator/emergency": "ESP_A",
        "kaiser/north/esp/ESP_B/actuator/emergency": "s3cret",
    }
    for each in (urgent[1:3], behind[1:]):
        assert {(topic, payload["command"], payload["auth_token"], payload["reason"]) for topic, payload in each} == {
            (topic, "emergency_stop", token, "fire") for topic, token in own.items()
        }
    assert [(topic, payload["command"], payload["value"]) for topic, payload in urgent[3:]] == [
        (f"{TOPIC}5/command", "OFF", 0.0)
    ], "to what reports on, alone"
    assert urgent[3][1]["correlation_id"] == f"stop-{everything.emergency_id}"[:40]
    assert behind[0] == urgent[0], "and all but OFF again behind what ingest may hold"
    assert len(found) == 7


async def test_a_stop_of_everything_is_packed_and_off_is_sent_once_to_each_actuator_that_is_on(life):
    for gpio in (5, 6):
        await life.pump(gpio)
    await life.say(life.status(True), life.status(True, 6))
    await life.emergency.stop(EmergencyStop(reason="fire"), ADA)
    found = [(subject, body["topic"].rpartition("/esp/")[2]) for subject, body in await life.published("OUTBOX")]
    own = [f"{esp_id}/actuator/emergency" for esp_id in ("ESP_A", "ESP_B")]
    broadcast = "kaiser/broadcast/emergency"
    assert found == [
        ("mqtt.urgent.broadcast.all", broadcast),
        *(("mqtt.urgent.god.=", topic) for topic in own),
        *(("mqtt.urgent.god.=", f"ESP_A/actuator/{gpio}/command") for gpio in (5, 6)),
        ("mqtt.out.broadcast.all.stop", broadcast),
        *(("mqtt.out.god.=.stop", topic) for topic in own),
    ]
    assert (await life.bus.jetstream.stream_info("OUTBOX")).state.messages == 5


async def test_a_device_that_comes_online_is_told_of_the_stops_over_it(life):
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    before = len(await life.outbox())
    life.sweep.on_device("ESP_A", device("ESP_A", online=False))
    await life.sweep.once()
    assert len(await life.outbox()) == before
    life.wait(60)
    life.sweep.on_device("ESP_A", device("ESP_A"))
    life.sweep.on_device("ESP_B", device("ESP_B"))
    await life.sweep.once()
    [(lane, payload)] = (await life.outbox())[before:]
    assert lane == f"urgent {TOPIC}emergency"
    assert (payload["command"], payload["auth_token"], payload["reason"]) == ("emergency_stop", "ESP_A", "leak")


@asynccontextmanager
async def hangs(life) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A database that answers nothing about actuators and stops; called, it returns once somebody waits for it."""
    async with life.pool.connection() as connection:
        await connection.execute("LOCK TABLE actuator.actuators, actuator.emergencies IN ACCESS EXCLUSIVE MODE")
        yield partial(_another_waits_for_a_lock, connection)


async def test_a_device_that_comes_online_while_the_database_hangs_is_sent_its_stop_twice(life):
    await life.stops.raise_(pressed(life, "e1"))
    before = len(await life.emergencies())

    async def is_sent(copies: int) -> bool:
        return len(await life.emergencies()) == before + copies

    async with hangs(life) as somebody_waits, beside(sweep=life.sweep.run(0.01)):
        await somebody_waits()
        life.sweep.on_device("ESP_A", device("ESP_A", boot=1))
        await eventually(partial(is_sent, 1), "the stop is sent while the database hangs", _HANGS_S)
        life.wait(2)
        await eventually(partial(is_sent, 2), "the second copy is sent while the database hangs", _HANGS_S)


async def test_a_press_that_failed_is_sent_while_the_database_hangs(life, monkeypatch):
    with monkeypatch.context() as broken:
        nats_refuses(life, broken, lambda batch: any(subject.startswith("mqtt.") for subject, _ in batch))
        with pytest.raises(BusUnavailable):
            await life.stops.raise_(pressed(life, "e1"))
        async with hangs(life) as somebody_waits, beside(sweep=life.sweep.run(0.01)):
            await somebody_waits()
            broken.undo()

            async def is_sent() -> bool:
                return "emergency_stop" in await life.emergencies()

            await eventually(is_sent, "the press is sent while the database hangs", _HANGS_S)


async def test_the_copy_of_a_stop_is_sent_while_a_clear_waits_for_a_database_that_hangs(life):
    await life.pump(esp_id="ESP_B")
    await life.emergency.stop(EmergencyStop(reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(all=True), ADA)
    before = len(await life.emergencies())

    async def is_sent() -> bool:
        return "emergency_stop" in (await life.emergencies())[before + 1 :]

    async with hangs(life) as somebody_waits, beside(clears=life.clears.run()):
        await somebody_waits()
        await life.stops.send_again("ESP_A", "configured", twice=True)
        life.wait(2)
        await eventually(is_sent, "the copy is sent while the database hangs", _HANGS_S)


async def test_a_device_that_restarts_between_two_heartbeats_is_sent_its_stop_again(life):
    life.sweep.on_device("ESP_A", device("ESP_A", boot=3))
    life.sweep.on_device("ESP_B", device("ESP_B", boot=1))
    await life.sweep.once()
    life.wait(3)
    await life.sweep.once()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    before = len(await life.outbox())
    life.wait(60)
    life.sweep.on_device("ESP_A", device("ESP_A", boot=3))  # a heartbeat: the record is written, the boot is the same
    await life.sweep.once()
    assert len(await life.outbox()) == before
    life.sweep.on_device("ESP_A", device("ESP_A", boot=4))
    life.sweep.on_device("ESP_B", device("ESP_B", boot=2))
    await life.sweep.once()
    [(lane, payload)] = (await life.outbox())[before:]
    assert (lane, payload["command"]) == (f"urgent {TOPIC}emergency", "emergency_stop")

    # The firmware subscribes after its first heartbeat: what came in between it has not heard.
    life.wait(2)
    await life.sweep.once()
    [_, (lane, payload)] = (await life.outbox())[before:]
    assert (lane, payload["command"]) == (f"urgent {TOPIC}emergency", "emergency_stop")
    life.wait(60)
    await life.sweep.once()
    assert len(await life.outbox()) == before + 2


async def test_the_states_of_a_device_that_restarted_are_unknown_until_it_reports(life):
    await life.pump(5, interlocks=[6])
    await life.pump(6)
    life.sweep.on_device("ESP_A", device("ESP_A", boot=3))
    await life.sweep.once()
    await life.say(life.status(False, gpio=6))
    life.wait(1)
    life.sweep.on_device("ESP_A", device("ESP_A", boot=4))
    await life.sweep.once()
    assert await refusal(life.send("ON")) == (409, 5412)  # gpio 6 may have come up on
    life.wait(1)
    await life.say(life.status(False, gpio=6))
    life.sweep.on_device("ESP_A", device("ESP_A", boot=4))
    await life.sweep.once()
    assert (await life.send("ON")).state == "queued"


async def test_the_last_state_of_a_device_that_went_away_is_told_as_the_last_one(life):
    key = ActuatorKey(esp_id="ESP_A", gpio=5)
    await life.pump()
    life.sweep.on_device("ESP_A", device("ESP_A", boot=3))
    await life.sweep.once()
    pump = await life.registry.read(key, ADA)
    assert (pump.state, pump.last_state, pump.on_since) == (None, None, None)
    await life.say(life.status(True))
    on_since = life.now_ms()
    life.wait(10)
    await life.say(life.status(True))
    pump = await life.registry.read(key, ADA)
    assert (pump.state, pump.last_state, pump.on_since, pump.known) == (True, True, on_since, True)
    life.wait(1)
    life.sweep.on_device("ESP_A", device("ESP_A", boot=4))
    await life.sweep.once()
    pump = await life.registry.read(key, ADA)
    assert (pump.state, pump.last_state, pump.on_since, pump.known) == (None, True, None, False)
    await life.say(life.status(False))
    pump = await life.registry.read(key, ADA)
    assert (pump.state, pump.last_state) == (False, False)


async def test_a_command_that_waited_for_longer_than_its_caller_is_not_sent(life):
    """Another transaction holds the device; the caller had 5 s."""
    await life.pump()
    deadline_ms = life.now_ms() + 5_000
    caller = ADA.model_copy(update={"deadline_ms": deadline_ms})
    on = SendCommand(esp_id="ESP_A", gpio=5, request=CommandRequest(command="ON"), idempotency_key="k")
    off = SendCommand(esp_id="ESP_A", gpio=5, request=CommandRequest(command="OFF"))
    async with life.pool.connection() as other, asyncio.timeout(60):
        await actuators.lock_device(other, "ESP_A")
        sending = asyncio.create_task(life.commands.send(on, caller))
        await _another_waits_for_a_lock(other)
        life.wait(5)
    assert await refusal(sending) == (504, 5403)
    assert await life.outbox() == []
    assert (await life.commands.send(off, caller)).state == "queued"
    assert [payload["command"] for _, payload in await life.outbox()] == ["OFF"]
    again = await life.commands.send(on, ADA.model_copy(update={"deadline_ms": life.now_ms() + 5_000}))
    assert again.state == "queued"  # the key of a refused command is free
    message = (await life.published("OUTBOX"))[-1][1]
    assert message["expires_at"] == again.expires_at == life.now_ms() + 5_000


async def _another_waits_for_a_lock(connection) -> None:
    waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    for _ in range(3000):
        await connection.execute("SELECT pg_stat_clear_snapshot()")  # else a transaction sees its first answer again
        if await (await connection.execute(waits)).fetchone() is not None:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("no other connection waits for a lock")


@pytest.mark.parametrize(
    "change",
    [
        lambda connection: actuators.forget_states(connection, {"ESP_B": START, "ESP_A": START}),
        lambda connection: actuators.wake_guards(connection, ["ESP_B", "ESP_A"], START),
    ],
    ids=["went away", "came back"],
)
async def test_devices_that_went_away_or_came_back_are_locked_in_the_order_in_which_a_stop_locks_them(life, change):
    """Else both wait for each other, and PostgreSQL ends one."""
    async with life.pool.connection() as connection:
        for esp_id in ("ESP_B", "ESP_A"):  # in the table the later one comes first
            await life.pump(esp_id=esp_id)
            await connection.execute(
                "UPDATE actuator.actuators SET state = true, reported_at = %s, guard_due_at = %s, guard_tries = 1"
                " WHERE esp_id = %s",
                (START, START, esp_id),
            )

    async def changed() -> None:
        async with life.pool.connection() as connection:
            await change(connection)

    async with asyncio.TaskGroup() as tasks, life.pool.connection() as connection:
        await actuators.lock(connection, [("ESP_A", 5)])
        tasks.create_task(changed())
        await _another_waits_for_a_lock(connection)
        other = "SELECT 1 FROM actuator.actuators WHERE esp_id = 'ESP_B' FOR UPDATE NOWAIT"
        assert await (await connection.execute(other)).fetchone() is not None


async def test_a_stop_changes_no_actuator_that_was_added_after_it_had_locked_the_others(life, monkeypatch):
    await life.pump()
    async with life.pool.connection() as connection:
        execute = connection.execute

        async def adding(*statement):
            done = await execute(*statement)
            monkeypatch.setattr(connection, "execute", execute)
            async with life.pool.connection() as other:
                await actuators.add_unregistered(other, [("ESP_A", 6, "god", "pump")])
            return done

        monkeypatch.setattr(connection, "execute", adding)
        assert list(await actuators.lock_covered(connection, None, None)) == [("ESP_A", 5)]


@pytest.mark.parametrize("alert_type", ["emergency_stop", "safety_violation", "hardware_error"])
async def test_a_critical_alert_stops_its_actuator_until_a_person_clears_it(life, alert_type):
    await life.pump()
    command = await life.send("ON")
    alert = life.message("alert", alert_type=alert_type, message="motor stuck")
    await life.say(alert)
    assert (await life.how(command)).state == "cancelled"
    assert await refusal(life.send("ON")) == (423, 5411)
    [event] = await life.events("actuator_alert")
    assert (event["alert_type"], event["severity"], event["topic"]) == (alert_type, "critical", f"{TOPIC}5/alert")
    life.wait(5)
    await life.clear("ESP_A", 5)
    await life.say(alert)
    assert (await life.send("ON")).state == "queued", "the same alert, come again, stops nothing anew"


async def test_a_new_alert_after_a_clear_stops_again_though_its_clock_is_behind(life):
    await life.pump()
    await life.say(life.message("alert", alert_type="hardware_error"))
    life.wait(5)
    await life.clear_at_once("ESP_A", 5)
    five_seconds_ago = life.now_ms() - 5_000 - 1
    await life.say(life.message("alert", alert_type="hardware_error", received_at=five_seconds_ago))
    assert await refusal(life.send("ON")) == (423, 5411)


async def test_a_device_that_stopped_by_itself_is_sent_a_clear_once_it_takes_one(life):
    await life.pump()
    await life.say(life.message("alert", alert_type="emergency_stop", message="button"))
    life.wait(1)
    await life.clear_at_once("ESP_A", 5)
    assert await life.emergencies() == [], "the device would refuse it"
    life.wait(4)
    await life.look()
    assert await life.emergencies() == ["clear_emergency"]
    await life.say(life.answer("response", status="clear_failed"))
    life.wait(5)
    await life.look()
    assert await life.emergencies() == ["clear_emergency", "clear_emergency"]
    await life.say(life.answer("response", status="emergency_cleared"))
    life.wait(5)
    await life.look()
    assert len(await life.emergencies()) == 2, "it has confirmed"


async def test_a_device_that_reports_an_emergency_can_be_cleared_though_its_alert_was_lost(life):
    await life.pump()
    await life.say(life.status(False, emergency="normal"))
    assert await refusal(life.clear_at_once("ESP_A", 5)) == (404, 5415)
    await life.say(life.status(False, emergency="active"))
    await life.clear_at_once("ESP_A", 5)
    life.wait(5)
    await life.look()
    assert await life.emergencies() == ["clear_emergency"]
    assert (await life.emergency.list_stops(EmergenciesQuery(), ADA)).items == []
    async with life.pool.connection() as connection:
        noted = await connection.execute("SELECT actor FROM actuator.history WHERE kind = 'emergency'")
        assert await noted.fetchall() == [("ada",)]


async def test_an_alert_of_the_whole_device_stops_all_its_actuators(life):
    await life.pump()
    await life.pump(gpio=6)
    await life.say(life.message("alert", 255, alert_type="emergency_stop"))
    assert await refusal(life.send("ON")) == (423, 5411)
    assert await refusal(life.send("ON", gpio=6)) == (423, 5411)
    assert len((await life.registry.list_actuators(ActuatorsQuery(esp_id="ESP_A"), ADA)).items) == 2


async def test_the_echo_of_our_own_stop_raises_no_second_one(life):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    echo = life.message("alert", alert_type="emergency_stop", message="stopped")
    await life.say(echo)
    assert len((await life.emergency.list_stops(EmergenciesQuery(), ADA)).items) == 1
    life.wait(5)
    await life.clear("ESP_A")
    await life.say(echo)
    assert (await life.send("ON")).state == "queued"


@pytest.mark.parametrize(("gpio", "in_force"), [(5, ["ESP_A.5"]), (255, ["ESP_A"])])
@pytest.mark.parametrize("after_s", [1, 6])
async def test_an_alert_during_a_clear_is_a_stop_that_the_clear_does_not_end(life, gpio, after_s, in_force):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    life.wait(after_s)
    await life.look()
    await life.say(life.message("alert", gpio, alert_type="hardware_error", message="dry"))
    life.wait(6)
    await life.look()
    await life.say(life.answer("response", status="emergency_cleared"))
    assert sorted(life.stops) == in_force
    assert await refusal(life.send("ON")) == (423, 5411)
    assert life.stops[in_force[0]].raised_by == "device ESP_A"


@pytest.mark.parametrize("target", [{"all": True}, {"esp_id": "ESP_A"}, {"esp_id": "ESP_A", "gpio": 5}])
async def test_a_clear_that_was_asked_before_a_stop_and_comes_behind_it_does_not_end_it(life, target):
    """Stops overtake other requests, so a clear without ids finds one that its sender cannot have seen."""
    await life.pump()
    pressed = EmergencyStop(**{name: value for name, value in target.items() if name != "all"}, reason="leak")
    [stop] = (await life.emergency.stop(pressed, ADA)).items
    early, late = (ADA.model_copy(update={"asked_ms": stop.raised_at + delay_ms}) for delay_ms in (-1, 0))
    assert await refusal(life.emergency.clear(ClearEmergency(**target), early)) == (409, 5414)
    assert [each.clearing for each in life.stops.values()] == [None]
    await life.emergency.clear(ClearEmergency(**target), late)
    assert all(each.clearing for each in life.stops.values())


async def test_alerts_of_an_actuator_that_is_locked_already_lock_it_no_second_time_while_its_device_is_cleared(life):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    await life.say(life.message("alert", alert_type="hardware_error", message="dry"))
    first = life.stops["ESP_A.5"].emergency_id
    for _ in range(3):
        life.wait(1)
        await life.say(life.message("alert", alert_type="hardware_error", message="dry"))
    assert life.stops["ESP_A.5"].emergency_id == first
    assert await refusal(life.send("ON")) == (423, 5411)


@pytest.mark.parametrize("presses", [0, 1])
async def test_a_press_at_the_device_while_its_stop_is_cleared_is_told_from_the_answers_to_the_stop(life, presses):
    """A stop goes to a device twice, and the device alerts each time; all of these alerts read the same."""
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    for _ in range(2 + presses):
        await life.say(life.message("alert", alert_type="emergency_stop", message="Actuator stopped"))
    life.wait(6)
    await life.look()
    await life.say(life.answer("response", status="emergency_cleared"))
    assert sorted(life.stops) == ["ESP_A.5"] * presses


async def test_a_warning_alert_is_told_and_stops_nothing(life):
    await life.pump()
    await life.say(life.message("alert", alert_type="runtime_protection"))
    assert [event["severity"] for event in await life.events("actuator_alert")] == ["warning"]
    assert (await life.send("ON")).state == "queued"


async def test_an_actuator_that_is_on_although_it_is_stopped_is_told_again(life):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    before = len(await life.outbox())
    life.wait(1)
    await life.say(life.status(True))
    assert [(lane, payload["command"]) for lane, payload in (await life.outbox())[before:]] == [
        (f"urgent {TOPIC}5/command", "OFF")
    ]
    [alert] = await life.events("actuator_alert")
    assert (alert["alert_type"], alert["severity"]) == ("safety_violation", "critical")


async def test_what_an_unknown_actuator_says_is_kept_and_told_once(life):
    for seconds in range(3):
        life.wait(seconds)
        await life.say(life.status(True, gpio=9), life.message("response", 9, command="ON", success=True))
    events = [event for event in await life.events("system_event") if event["event"] == "actuator_unknown"]
    assert len(events) == 1
    found = await life.registry.read(ActuatorKey(esp_id="ESP_A", gpio=9), ADA)
    assert (found.registered, found.actuator_type, found.state) == (False, "pump", True)
    history = (await life.registry.history(HistoryQuery(esp_id="ESP_A", gpio=9), ADA)).items
    assert len(history) == 6
    assert await refusal(life.send("ON", gpio=9)) == (404, 5202)
    await life.pump(gpio=9)
    assert (await life.send("ON", gpio=9)).state == "queued"


@pytest.mark.parametrize("gpio", [None, 5])
@pytest.mark.parametrize("reported", ["nothing", "off"])
async def test_a_command_that_was_being_admitted_when_the_stop_came_is_followed_by_the_stop(
    life, monkeypatch, reported, gpio
):
    await life.pump()
    if reported == "off":
        await life.say(life.status(False))
    publish, admitted, stopped = life.bus.publish_batch, asyncio.Event(), asyncio.Event()

    async def after_the_stop(messages, **options):
        if messages and messages[0].msg_id.startswith("command-"):
            admitted.set()
            await asyncio.wait_for(stopped.wait(), 60)
        await publish(messages, **options)

    async def is_recorded_or_waits() -> bool:
        async with life.pool.connection() as connection:
            cursor = await connection.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            return bool(await cursor.fetchone()) or any(lane.startswith("out ") for lane, _ in await life.outbox())

    monkeypatch.setattr(life.bus, "publish_batch", after_the_stop)
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(life.send("ON"))
        await asyncio.wait_for(admitted.wait(), 60)
        tasks.create_task(life.emergency.stop(EmergencyStop(esp_id="ESP_A", gpio=gpio, reason="leak"), ADA))
        await eventually(is_recorded_or_waits, "the record of the stop has come while the command is being admitted")
        stopped.set()
    command = sending.result()

    async def is_followed() -> bool:  # the stop is answered after 1.4 s, whatever the database does
        lanes[:] = [(lane.split()[0], payload["command"]) for lane, payload in await life.outbox()]
        return lanes[-1] == ("out", behind) and (await life.how(command)).state == "cancelled"

    behind = "emergency_stop" if gpio is None else "OFF"
    lanes: list[tuple[str, str]] = []
    await eventually(is_followed, "the stop comes behind whatever ingest may hold of the command")
    assert ("out", "ON") not in lanes


async def away(*_) -> None:
    raise psycopg.OperationalError("the server is away")


@pytest.mark.parametrize("firmware", [FirmwareA, FirmwareB])
@pytest.mark.parametrize("stopped", ["here", "by a replica that was killed", "in the table alone"])
async def test_a_command_that_waits_starts_no_pump_under_a_lock_of_it(life, firmware, stopped):
    """The lock is in force, and its record, which cancels what waits, has not come so far."""
    await life.pump()
    life.devices["ESP_A"] = device("ESP_A", online=False)
    waits = await life.send("ON", queue=True, expires_s=60)
    await life.sweep.once()  # tables and bucket are compared again five seconds later
    lock = {"esp_id": "ESP_A", "gpio": 5, "reason": "a hand in the pump"}
    if stopped == "here":
        await life.stops.raise_(Emergency(emergency_id="e1", raised_by="ada", raised_at=life.now_ms(), **lock))
    elif stopped == "by a replica that was killed":
        other = Stops(
            life.bus, await bucket_of(life), open_board(life.bus, Numbers()), life.devices, life.now_ms, Numbers()
        )
        await other.raise_(Emergency(emergency_id="e1", raised_by="bob", raised_at=life.now_ms(), **lock))
        await life.mirrored("ESP_A.5")
    else:
        async with life.pool.connection() as connection:
            await emergencies.add(
                connection, Emergency(emergency_id="e1", raised_by="bob", raised_at=life.now_ms(), **lock)
            )
    life.devices["ESP_A"] = device("ESP_A")
    life.sweep.on_device("ESP_A", life.devices["ESP_A"])
    for _ in range(2):
        await life.sweep.once()
        life.wait(2)
    await life.sweep.once()
    assert await pump_of(life, firmware) is False
    cancelled = await life.how(waits)
    assert (cancelled.state, cancelled.state_reason) == ("cancelled", "emergency stop: a hand in the pump")


@pytest.mark.parametrize("firmware", [FirmwareA, FirmwareB])
async def test_a_command_that_waited_under_a_lock_starts_no_pump_after_its_clear(life, monkeypatch, firmware):
    await life.pump()
    life.sweep.on_device("ESP_A", life.devices["ESP_A"])
    await life.sweep.once()
    await life.send("ON", queue=True, expires_s=60)
    monkeypatch.setattr(life.ledger, "record", away)
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", gpio=5, reason="a hand in the pump"), ADA)
    life.wait(2)
    await life.sweep.once()
    await life.clear_at_once("ESP_A", 5)
    await life.sweep.once()
    assert await pump_of(life, firmware) is False


@pytest.mark.parametrize("firmware", [FirmwareA, FirmwareB])
async def test_a_lock_whose_first_message_is_lost_stops_the_pump_while_the_database_stands_still(life, firmware):
    await life.pump()
    async with life.pool.connection() as connection:
        await actuators.lock(connection, [("ESP_A", 5)])
        answer = await life.emergency.stop(EmergencyStop(esp_id="ESP_A", gpio=5, reason="a hand in the pump"), ADA)
        assert [each.gpio for each in answer.items] == [5]

        async def is_off() -> bool:
            return not await pump_of(life, firmware, was_on=True, lost="urgent")

        await eventually(is_off, "the stop behind what waits has come", within_s=10)
        await _another_waits_for_a_lock(connection)  # its record
        sent = (await life.bus.jetstream.stream_info("OUTBOX")).state.last_seq
        life.wait(2)  # messages of the same time count as one

    async def is_behind_the_record() -> bool:
        return (await life.bus.jetstream.stream_info("OUTBOX")).state.last_seq > sent

    await eventually(is_behind_the_record, "it comes again behind a command that was being admitted")


async def pump_of(
    life, firmware: type[FirmwareA] | type[FirmwareB], *, was_on: bool = False, lost: str | None = None
) -> bool:
    """Whether the pump of a device runs that takes all messages of the OUTBOX, the urgent ones first, but for those of
    a lane that are lost."""
    emulated = firmware(("", 0), "ESP_A", flash=Flash(actuators={5: Actuator(5, "pump", "Pump")}))
    emulated.board.flash.actuators[5].on = was_on
    registered = json.dumps({"status": "online", "handover_epoch": 1})  # B takes no command before
    emulated.hear(Heard("kaiser/god/esp/ESP_A/system/heartbeat/ack", registered, 1, retain=False))
    messages = [(lane.split(), payload) for lane, payload in await life.outbox()]
    for (lane, topic), payload in sorted(messages, key=lambda each: each[0][0] != "urgent"):
        if lane == lost:
            continue
        emulated.hear(Heard(topic, json.dumps(payload), 1, retain=False))
    return emulated.board.flash.actuators[5].on


async def bucket_of(life) -> BucketWriter:
    return await BucketWriter.open(life.bus, EMERGENCIES_BUCKET)


async def test_a_stop_switches_off_what_a_command_switched_on_a_moment_ago(life):
    await life.pump()
    command = await life.send("ON")
    await life.say(life.sent(command))
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)

    async def is_switched_off() -> bool:
        lanes = [(lane, payload["command"]) for lane, payload in await life.outbox()]
        return (f"urgent {TOPIC}5/command", "OFF") in lanes

    await eventually(is_switched_off, "OFF overtakes the queue")


async def test_a_stop_of_another_replica_counts_before_the_bucket_told_of_it(life):
    await life.pump()
    other = Emergency(
        emergency_id="e1", esp_id="ESP_A", gpio=5, reason="leak", raised_by="bob", raised_at=life.now_ms()
    )
    await life.ledger.record(other)
    assert "ESP_A.5" not in life.stops
    assert await refusal(life.send("ON")) == (423, 5411)


async def test_a_stop_needs_no_database_and_is_written_down_once_it_is_back(life, monkeypatch):
    await life.pump()
    command = await life.send("ON")

    with monkeypatch.context() as broken:
        broken.setattr(life.ledger, "record", away)
        answer = await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    assert (len(answer.items), answer.cancelled) == (1, 0)
    assert f"urgent {TOPIC}emergency" in [lane for lane, _ in await life.outbox()]
    assert await refusal(life.send("ON")) == (423, 5411)
    await life.sweep.once()
    assert (await life.how(command)).state == "cancelled"
    assert [event["event"] for event in await life.events("system_event")] == ["emergency_stop"]


async def test_stops_survive_a_restart_and_the_loss_of_either_store(life):
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.mirrored("ESP_A")
    bucket = await BucketWriter.open(life.bus, EMERGENCIES_BUCKET)
    again = Stops(life.bus, bucket, life.mirror, life.devices, life.now_ms, Numbers())
    assert list(again) == ["ESP_A"], "a restarted process reads the bucket"
    await bucket.delete("ESP_A")
    await life.mirrored()
    assert list(again) == []
    await EmergencyLedger(life.pool, life.bus, again, TIMEOUT, life.clock).align()
    await life.mirrored("ESP_A")
    assert again["ESP_A"].reason == "leak", "what NATS lost comes back from the table"


async def test_a_stop_that_was_cleared_while_its_replica_died_goes_from_the_bucket_too(life):
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.mirrored("ESP_A")
    await life.ledger.note_cleared(life.stops["ESP_A"], "ada", "dry")
    await life.ledger.align()
    await life.mirrored()
    assert list(life.stops) == []
    life.wait(5)
    await life.look()
    assert await life.emergencies() == ["emergency_stop", "clear_emergency"], "it may have had the stop again"


@pytest.mark.parametrize("cleared", ["before its own record", "at its own record", "after its own record"])
async def test_what_is_sent_after_a_clear_is_not_cancelled_by_the_late_record_of_the_stop(life, monkeypatch, cleared):
    """The stops were raised while the database was away, and are recorded one by one once it is back."""
    await life.pump()
    record, follow = life.ledger.record, life.stops.follow
    with monkeypatch.context() as broken:
        broken.setattr(life.ledger, "record", away)
        for gpio in (4, 5):
            await life.emergency.stop(EmergencyStop(esp_id="ESP_A", gpio=gpio, reason="leak"), ADA)
    since: list[CommandStatus] = []

    async def cleared_meanwhile() -> None:
        await life.clear_at_once("ESP_A", 5)
        since.append(await life.send("ON"))

    async def recording(stop):
        if not since and stop.gpio == (4 if cleared == "before its own record" else 5):
            await cleared_meanwhile()
        return await record(stop)

    async def following(stop):
        if not since and stop.gpio == 5:
            await cleared_meanwhile()
        return await follow(stop)

    if cleared == "after its own record":
        monkeypatch.setattr(life.stops, "follow", following)
    else:
        monkeypatch.setattr(life.ledger, "record", recording)
    await life.ledger.align()
    assert [(await life.how(command)).state for command in since] == ["queued"]
    assert await pump_of(life, FirmwareA), "the command is still on its way"


async def test_a_press_that_is_written_down_after_a_newer_one_was_cleared_is_over(life):
    await life.pump()
    press = EmergencyStop(esp_id="ESP_A", gpio=5, reason="leak")
    first = await life.stops.raise_(
        Emergency(emergency_id="slow", esp_id="ESP_A", gpio=5, reason="leak", raised_by="ada", raised_at=life.now_ms())
    )
    await life.emergency.stop(press, ADA)
    await life.clear_at_once("ESP_A", 5)
    await life.ledger.record(first)
    await life.ledger.align()
    assert list(life.stops) == []
    assert (await life.send("ON")).state == "queued"
    await life.emergency.stop(press, ADA)
    assert await refusal(life.send("ON")) == (423, 5411)


async def test_a_clear_that_a_stop_of_everything_overtakes_has_ended_the_stop_that_it_was_for(life):
    """It is answered as done: the table must not bring that stop back once everything is cleared."""
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    await life.emergency.stop(EmergencyStop(reason="fire"), ADA)
    await life.look()
    await life.ledger.align()
    assert sorted(life.stops) == ["all"]
    life.wait(5)
    await life.clear()
    await life.ledger.align()
    assert sorted(life.stops) == []
    assert (await life.emergencies())[-1] == "clear_emergency"
    assert (await life.send("ON")).state == "queued"


async def test_a_clear_that_a_device_confirms_just_as_it_is_given_up_leaves_the_device_free(life):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    life.wait(5)
    asked = asyncio.create_task(life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA))
    await eventually(life.is_clearing, "the clear is asked")
    await asyncio.wait([asked])
    await life.look()
    apply, confirmed_at = life.stops.apply, life.now_ms()

    async def overtaken(change):
        life.stops.apply = apply
        life.wait(15)
        await life.look()  # gives the clear up and sends the stop again
        return await apply(change)

    life.stops.apply = overtaken
    await life.say(life.answer("response", status="emergency_cleared", received_at=confirmed_at))
    assert (await life.emergencies())[-1] == "emergency_stop"
    await life.ledger.align()
    assert list(life.stops) == []
    life.wait(5)
    await life.look()
    assert (await life.emergencies())[-1] == "clear_emergency"


async def test_a_batch_that_failed_at_its_commit_tells_each_once_when_it_comes_again(life, monkeypatch):
    await life.pump()
    command = await life.send("ON")
    batch = [life.sent(command), life.response(command), life.status(True), life.message("alert", alert_type="fault")]
    batch[3] = life.message("alert", alert_type="runtime_protection")
    publish = life.bus.publish_batch

    async def refuse_after(messages, **options):
        await publish(messages, **options)
        if messages and messages[0].subject.startswith("event."):
            raise BusUnavailable("no acknowledgement")

    with monkeypatch.context() as broken:
        broken.setattr(life.bus, "publish_batch", refuse_after)
        with pytest.raises(BusUnavailable):
            await life.say(*batch)
    assert (await life.how(command)).state == "queued", "nothing was committed"
    await life.say(*batch)
    await life.say(*batch)
    assert (await life.how(command)).state == "acknowledged"
    assert len(await life.events("actuator_status")) == 1
    assert len(await life.events("actuator_alert")) == 1
    assert [event["state"] for event in await life.events("actuator_response") if "state" in event] == ["acknowledged"]


async def test_messages_that_cannot_be_read_are_put_aside_and_the_rest_is_noted(life):
    await life.pump()
    broken = Delivery("esp.actuator.status.god.ESP_A.5", "$JS.ACK.DEVICES.actuator.1.77.1.1.0", b'{"esp_id": 1}', None)
    strange = Delivery("esp.actuator.dance.god.ESP_A.5", "$JS.ACK.DEVICES.actuator.1.78.1.1.0", b"{}", None)
    assert await life.say(broken, life.status(True), strange) == [broken, strange]
    assert (await life.registry.read(ActuatorKey(esp_id="ESP_A", gpio=5), ADA)).state is True


async def test_history_comes_in_pages_newest_first(life):
    await life.pump()
    for number in range(7):
        life.wait(1)
        await life.say(life.status(number % 2 == 0))
    first = await life.registry.history(HistoryQuery(esp_id="ESP_A", gpio=5, limit=4), ADA)
    rest = await life.registry.history(HistoryQuery(esp_id="ESP_A", gpio=5, limit=4, cursor=first.next_cursor), ADA)
    times = [item.ts for item in (*first.items, *rest.items)]
    assert times == sorted(times, reverse=True)
    assert len(times) == 7
    assert rest.next_cursor is None


async def test_an_actuator_can_be_changed_and_removed_and_is_part_of_the_configuration_push(life):
    await life.pump(name="Pump 1", critical=True, max_runtime_s=600)
    config = await life.registry.config_items(DeviceId(esp_id="ESP_A"), ADA)
    [item] = config.actuators
    assert (item.gpio, item.actuator_type, item.actuator_name, item.critical) == (5, "pump", "Pump 1", True)
    assert item.max_runtime_ms == 600_000, "the device switches off by itself, also when it hears nothing"
    command = await life.send("ON")
    key = ActuatorKey(esp_id="ESP_A", gpio=5)
    assert await refusal(life.registry.delete(key, ADA)) == (409, 5414)
    await life.say(life.response(command))
    await life.registry.delete(key, ADA)
    assert await refusal(life.registry.read(key, ADA)) == (404, 5202)
    assert await refusal(life.registry.delete(key, ADA)) == (404, 5202)
    assert (await life.how(command)).state == "acknowledged", "what happened stays known"


async def test_a_clear_is_sent_5_s_after_the_stop_and_ends_it_on_the_devices_word(life):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    life.wait(4.9)
    await life.look()
    await life.say(life.answer("response", status="emergency_cleared"))
    assert set(await life.emergencies()) == {"emergency_stop"}, "the device would refuse it"
    assert await refusal(life.send("ON")) == (423, 5411)
    life.wait(0.1)
    await life.look()
    assert (await life.emergencies())[-1] == "clear_emergency"
    assert await refusal(life.send("ON")) == (423, 5411)
    await life.say(life.answer("recovery", state="cleared"))
    assert (await life.send("ON")).state == "queued"


async def test_a_status_that_says_nothing_of_the_emergency_ends_no_stop(life):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.say(life.status(on=False, emergency="active"))
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    life.wait(5.1)
    await life.look()
    await life.say(life.status(on=False))
    assert await refusal(life.send("ON")) == (423, 5411)
    assert life.stops.is_in_stop("ESP_A"), "what it said last of it"
    assert "emergency" not in (await life.events("actuator_status"))[-1]
    await life.say(life.status(on=False, emergency="normal"))
    assert (await life.send("ON")).state == "queued"


async def test_a_clear_that_is_not_confirmed_leaves_the_stop_in_force_and_says_so(life):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    life.wait(5)
    await life.look()
    life.wait(15)
    await life.look()
    [stop] = (await life.emergency.list_stops(EmergenciesQuery(), ADA)).items
    assert stop.not_cleared == "ESP_A did not confirm the clear within 15 s"
    assert (await life.emergencies())[-1] == "emergency_stop", "the device may have taken the clear all the same"
    assert [event["event"] for event in await life.events("system_event")][-1] == "emergency_not_cleared"
    assert await refusal(life.send("ON")) == (423, 5411)


def nats_refuses(life, monkeypatch, batches: Callable[[list[tuple[str, str]]], bool]) -> None:
    """Batches whose messages (subject, id) are such get no acknowledgement and are not stored."""
    publish = life.bus.publish_batch

    async def refuse(messages, **options):
        if batches([(each.subject, each.msg_id) for each in messages]):
            raise BusUnavailable("no acknowledgement")
        await publish(messages, **options)

    monkeypatch.setattr(life.bus, "publish_batch", refuse)


@pytest.mark.parametrize("fails", ["the stop is not sent", "the event is not published", "the process is killed"])
async def test_a_clear_that_is_given_up_is_published_and_recorded_once_whichever_step_fails(life, monkeypatch, fails):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    life.wait(1)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A", reason="dry"), ADA)
    life.wait(5)
    await life.look()
    life.wait(15)
    with monkeypatch.context() as broken:
        if fails == "the process is killed":
            broken.setattr(life.stops, "tell_kept", nothing)
            broken.setattr(life.ledger, "note_not_cleared", nothing)
            await life.look()
        else:
            lane = "mqtt." if fails == "the stop is not sent" else "event."
            nats_refuses(life, broken, lambda batch: any(subject.startswith(lane) for subject, _ in batch))
            with pytest.raises(BusUnavailable):
                await life.look()
    for _ in range(3):
        await life.ledger.align()
    assert life.stops["ESP_A"].not_cleared is not None
    [event] = [each for each in await life.events("system_event") if each["event"] == "emergency_not_cleared"]
    assert (event["esp_id"], event["severity"]) == ("ESP_A", "critical")
    assert await life.recorded("ESP_A") == [
        ("raised: leak", "ada"),
        ("clear asked: dry", "ada"),
        ("not cleared: ESP_A did not confirm the clear within 15 s", "actuator"),
    ]


@pytest.mark.parametrize("gpio", [None, 5])
async def test_a_stop_that_is_cleared_before_it_is_recorded_was_raised_all_the_same(life, monkeypatch, gpio):
    """The database was away for the stop, and back before the tables were brought in line."""
    await life.pump()

    with monkeypatch.context() as broken:
        broken.setattr(life.ledger, "record", away)
        await life.emergency.stop(EmergencyStop(esp_id="ESP_A", gpio=gpio, reason="leak"), ADA)
    life.wait(1)
    await life.clear("ESP_A", gpio, reason="dry")
    assert [event["event"] for event in await life.events("system_event")] == ["emergency_stop", "emergency_cleared"]
    recorded = await life.recorded("ESP_A")
    assert [recorded[0], recorded[-1]] == [("raised: leak", "ada"), ("cleared: dry", "ada")]


@pytest.mark.parametrize("gpio", [None, 5])
@pytest.mark.parametrize("state", ["waits", "is on the OUTBOX"])
async def test_a_stop_that_is_recorded_with_its_clear_has_cancelled_what_was_open_under_it(life, state, gpio):
    """Its replica was killed after it had sent the stop, and the clear came before the tables were brought in line."""
    await life.pump()
    life.devices["ESP_A"] = device("ESP_A", online=state != "waits")
    command = await life.send("ON", queue=True, expires_s=600)
    fields = {"emergency_id": "e1", "esp_id": "ESP_A", "gpio": gpio, "reason": "leak", "raised_by": "bob"}
    await life.stops.raise_(Emergency(raised_at=life.now_ms(), **fields))
    life.wait(1)
    await life.clear("ESP_A", gpio)
    assert list(life.stops) == []
    life.devices["ESP_A"] = device("ESP_A")
    await life.sweep.once()
    assert "ON" not in [payload["command"] for _, payload in await life.outbox()]
    cancelled = await life.how(command)
    assert (cancelled.state, cancelled.state_reason) == ("cancelled", "emergency stop: leak")


async def test_a_stop_that_the_table_lost_and_whose_clear_was_given_up_is_recorded_as_any_other(life):
    await life.pump()
    command = await life.send("ON")
    fields = {"emergency_id": "e1", "esp_id": "ESP_A", "gpio": None, "reason": "leak", "raised_by": "bob"}
    stop = Emergency(raised_at=life.now_ms(), not_cleared="ESP_A did not confirm", **fields)
    await life.stops.apply(Put("ESP_A", stop, None))
    for _ in range(2):
        await life.ledger.align()
    assert (await life.how(command)).state == "cancelled"
    assert [event["event"] for event in await life.events("system_event")] == [
        "emergency_stop",
        "emergency_not_cleared",
    ]
    lanes = [(lane.split()[0], payload["command"]) for lane, payload in await life.outbox()]
    assert lanes[-1] == ("out", "emergency_stop")
    assert ("out", "ON") not in lanes


@pytest.mark.parametrize(
    ("first", "then", "kept", "addition"),
    [
        (7, 5, 7, emergencies.Addition.UNCHANGED),
        (7, None, 7, emergencies.Addition.UNCHANGED),
        (7, 9, 9, emergencies.Addition.RENUMBERED),
        (None, 5, 5, emergencies.Addition.RENUMBERED),
    ],
)
async def test_the_number_of_a_recorded_stop_grows_alone(life, first, then, kept, addition):
    """Another replica may record a value of the bucket that is older than the one in the table."""
    fields = {"emergency_id": "e1", "esp_id": "ESP_A", "gpio": None, "reason": "leak", "raised_by": "bob"}
    async with life.pool.connection() as connection:
        await emergencies.add(connection, Emergency(raised_at=life.now_ms(), number=first, **fields))
        again = await emergencies.add(connection, Emergency(raised_at=life.now_ms(), number=then, **fields))
        in_force = await emergencies.in_force(connection)
    assert (again, in_force["ESP_A"].number) == (addition, kept)


async def test_a_lock_that_outlives_a_clear_is_sent_behind_it_though_nats_refused_it_at_first(life, monkeypatch):
    """The clear of a device frees all its pins; the confirmation comes again, when the stop has ended already."""
    await life.pump()
    for gpio in (5, None):
        await life.emergency.stop(EmergencyStop(esp_id="ESP_A", gpio=gpio, reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    life.wait(5)
    await life.look()
    life.wait(1)
    confirmation = life.answer("response", status="emergency_cleared")
    with monkeypatch.context() as broken:
        nats_refuses(life, broken, lambda batch: any(subject.startswith("mqtt.urgent") for subject, _ in batch))
        with pytest.raises(BusUnavailable):
            await life.say(confirmation)
    assert set(life.stops) == {"ESP_A.5"}
    await life.say(confirmation)
    await life.look()
    urgent = [(lane, payload["command"]) for lane, payload in await life.outbox() if lane.startswith("urgent ")]
    cleared = urgent.index((f"urgent {TOPIC}emergency", "clear_emergency"))
    assert urgent[cleared + 1] == (f"urgent {TOPIC}5/command", "OFF"), "before any further clear"


async def test_a_lock_that_its_device_raised_is_cleared_there_though_the_clear_failed_halfway(life):
    await life.pump()
    await life.say(life.message("alert", alert_type="hardware_error", message="dry"))
    assert set(life.stops) == {"ESP_A.5"}
    await life.ledger.note_cleared(life.stops["ESP_A.5"], "ada", "filled")
    await life.ledger.align()
    assert set(life.stops) == set()
    life.wait(5)
    await life.look()
    assert (await life.emergencies())[-1:] == ["clear_emergency"]


@pytest.mark.parametrize(
    ("since", "is_cleared"),
    [
        ("nothing", True),
        ("a press", False),
        ("a press that was unread", False),
        ("a press that waits at the broker", False),
        ("a lock that only the table has", False),
        ("two minutes", False),
    ],
)
async def test_a_device_whose_clear_was_not_sent_because_actuator_was_killed_is_sent_it_after_the_start(
    life, monkeypatch, since, is_cleared
):
    """It had raised the lock, and a person cleared it; nothing is sent while messages of devices are unread,
    nor before the device was heard: while ingest is away, they wait at the broker."""
    await life.pump()
    await life.say(life.message("alert", alert_type="hardware_error", message="dry"))
    monkeypatch.setattr(life.stops, "free", lambda _stop: None)
    life.wait(10)
    await life.clear_at_once("ESP_A", 5)
    await life.mirrored()
    life.wait(120 if since == "two minutes" else 2)
    if since == "a press":
        await life.say(life.message("alert", 5, alert_type="hardware_error", message="a hand"))
        life.wait(1)
    again = Life(life.pool, life.bus, await bucket_of(life), life.mirror, began_at=life.now)
    again.heard_up_to = life.now - timedelta(seconds=1)
    await again.sweep.once()
    if since == "a press that was unread":
        await again.say(again.message("alert", 5, alert_type="hardware_error", message="a hand"))
    again.heard_up_to = None
    for _ in range(2):
        await again.sweep.once()
        again.wait(3)
        await again.clears.once()
    assert await again.emergencies() == []
    if since == "a press that waits at the broker":
        await again.say(again.message("alert", 5, alert_type="hardware_error", message="a hand"))
    if since == "a lock that only the table has":
        async with life.pool.connection() as connection:
            await emergencies.add(connection, pressed(again, "e1", gpio=9))
        monkeypatch.setattr(again.ledger, "align", refuses)
    await again.say(again.status(False))
    await again.sweep.once()
    await again.clears.once()
    assert await again.emergencies() == [], "an alert may come just behind"
    for _ in range(2):
        again.wait(3)
        await again.sweep.once()
        await again.clears.once()
    assert ("clear_emergency" in await again.emergencies()) is is_cleared


async def refuses(*_) -> None:
    raise BusUnavailable("NATS does not answer")


@pytest.mark.parametrize("by", ["a person", "the device"])
async def test_a_stop_is_sent_behind_all_that_waits_though_nats_refused_that_at_first(life, monkeypatch, by):
    await life.pump()
    alert = life.message("alert", 255, alert_type="hardware_error", message="flooded")

    async def stop() -> None:
        if by == "a person":
            await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
            return
        with pytest.raises(BusUnavailable):
            await life.say(alert)

    with monkeypatch.context() as broken:
        nats_refuses(life, broken, lambda batch: any(subject.startswith("mqtt.out.") for subject, _ in batch))
        await stop()
    if by == "the device":
        await life.say(alert)
    await life.sweep.once()
    behind = [payload["command"] for lane, payload in await life.outbox() if lane == f"out {TOPIC}emergency"]
    assert behind == ["emergency_stop"]


def pressed(life, emergency_id: str, **fields) -> Emergency:
    given = {"esp_id": "ESP_A", "gpio": None, "reason": "leak", "raised_by": "bob", "raised_at": life.now_ms()}
    return Emergency(emergency_id=emergency_id, **{**given, **fields})


async def test_the_newer_of_two_stops_is_sent_behind_all_that_waits_though_nats_refused_the_older_last(
    life, monkeypatch
):
    publish, older_waits, newer_failed = life.bus.publish_batch, asyncio.Event(), asyncio.Event()

    async def refuse(messages, **options):
        behind = [each.msg_id for each in messages if each.subject.startswith("mqtt.out.")]
        if not behind:
            await publish(messages, **options)
            return
        if "-e1-" in behind[0]:
            older_waits.set()
            await asyncio.wait_for(newer_failed.wait(), 60)
        raise BusUnavailable("no acknowledgement")

    with monkeypatch.context() as broken:
        broken.setattr(life.bus, "publish_batch", refuse)
        older = await life.stops.raise_(pressed(life, "e1"))
        following = asyncio.create_task(life.stops.follow(older))
        await asyncio.wait_for(older_waits.wait(), 60)
        newer = await life.stops.raise_(pressed(life, "e2"))
        with pytest.raises(BusUnavailable):
            await life.stops.follow(newer)
        newer_failed.set()
        with pytest.raises(BusUnavailable):
            await following
    await life.stops.raise_again()
    behind = [payload["correlation_id"] for lane, payload in await life.outbox() if lane.startswith("out ")]
    assert [each.partition("-")[0] for each in behind] == ["e2"]


async def test_a_press_that_failed_is_stored_in_the_end_though_an_older_stop_could_not_be_sent_again(life, monkeypatch):
    older = await life.stops.raise_(pressed(life, "e1"))

    async def refuse(*_):
        raise NatsError

    with monkeypatch.context() as broken:
        nats_refuses(life, broken, lambda batch: any(subject.startswith("mqtt.") for subject, _ in batch))
        broken.setattr(BucketWriter, "put", refuse)
        for failing in (life.stops.raise_(pressed(life, "e2")), life.stops.tell_kept(older)):
            with pytest.raises(BusUnavailable):
                await failing
    await life.stops.raise_again()
    assert life.stops["ESP_A"].emergency_id == "e2"


@pytest.mark.parametrize("refused", ["the first", "another one in between"])
async def test_a_stop_that_is_sent_again_has_its_copy_two_seconds_later_though_nats_refused_it(
    life, monkeypatch, refused
):
    await life.stops.raise_(pressed(life, "e1"))
    if refused != "the first":
        await life.stops.send_again("ESP_A", "configured", twice=True)
        life.wait(1)
    before = len(await life.emergencies())
    with monkeypatch.context() as broken:
        nats_refuses(life, broken, lambda batch: any(subject.startswith("mqtt.") for subject, _ in batch))
        with pytest.raises(BusUnavailable):
            await life.stops.send_again("ESP_A", "online", twice=refused == "the first")
        life.wait(3 if refused == "the first" else 0.1)
    for seconds, sent in ((0, 1), (1.9, 1), (0.1, 2), (2, 2)):
        life.wait(seconds)
        await life.stops.send_once_more()
        assert len(await life.emergencies()) - before == sent, f"{seconds} s later"


async def test_a_device_that_goes_away_while_it_is_sent_its_stops_ends_no_look(life, monkeypatch):
    life.sweep.on_device("ESP_A", life.devices["ESP_A"])
    await life.sweep.once()
    life.wait(2)

    async def leaves(*_):
        life.devices["ESP_A"] = device("ESP_A", online=False)
        life.sweep.on_device("ESP_A", life.devices["ESP_A"])

    monkeypatch.setattr(life.stops, "send_again", leaves)
    await life.sweep.once()
    assert not life.sweep.takes_commands("ESP_A")


async def test_a_device_that_restarts_while_it_is_sent_its_stops_is_sent_them_again_twice(life, monkeypatch):
    await life.stops.raise_(pressed(life, "e1"))
    send_again, sent = life.stops.send_again, []

    async def restarts(esp_id, why, **options):
        await send_again(esp_id, why, **options)
        sent.append(why)
        if len(sent) == 1:
            life.wait(1.5)
            life.devices["ESP_A"] = device("ESP_A", boot=2)
            life.sweep.on_device("ESP_A", life.devices["ESP_A"])

    monkeypatch.setattr(life.stops, "send_again", restarts)
    life.sweep.on_device("ESP_A", device("ESP_A", boot=1))
    await life.sweep.once()
    await life.sweep.once()
    life.wait(1.9)
    await life.sweep.once()
    assert (sent, life.sweep.takes_commands("ESP_A")) == (["online", "online"], False)
    life.wait(0.1)
    await life.sweep.once()
    assert (sent, life.sweep.takes_commands("ESP_A")) == (["online", "online", "subscribed"], True)


async def test_a_press_that_takes_long_brings_the_two_copies_of_a_stop_no_nearer(life, monkeypatch):
    await life.stops.raise_(pressed(life, "e1"))
    before = len(await life.emergencies())

    async def takes_long() -> None:
        life.wait(13)

    life.sweep.on_device("ESP_A", device("ESP_A", boot=1))
    with monkeypatch.context() as slow:
        slow.setattr(life.stops, "raise_again", takes_long)
        await life.sweep.once()
    for seconds, sent in ((0, 1), (1.9, 1), (0.1, 2), (10, 2)):
        life.wait(seconds)
        await life.sweep.once()
        assert len(await life.emergencies()) - before == sent, f"{seconds} s later"


async def nothing(*_) -> None:
    return None


async def test_one_request_clears_the_stops_of_all_devices_that_did_not_confirm(life):
    unconfirmed = ClearEmergency(all=True, unconfirmed=True)
    assert await refusal(life.emergency.clear(unconfirmed, ADA)) == (404, 5415)
    for esp_id in ("ESP_A", "ESP_B"):
        await life.pump(esp_id=esp_id)
        await life.emergency.stop(EmergencyStop(esp_id=esp_id, reason="leak"), ADA)
        await life.emergency.clear(ClearEmergency(esp_id=esp_id), ADA)
    for seconds in (5, 15, 2):  # after 2 s each is sent its stop once more
        life.wait(seconds)
        await life.look()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_C", reason="smoke"), ADA)
    listed = await life.emergency.list_stops(EmergenciesQuery(limit=1), ADA)
    assert (len(listed.items), listed.total, listed.unconfirmed) == (1, 3, 2)
    stops = {stop.esp_id: stop for stop in (await life.emergency.list_stops(EmergenciesQuery(), ADA)).items}
    assert [stops[each].not_cleared is None for each in ("ESP_A", "ESP_B", "ESP_C")] == [False, False, True]

    not_seen = ClearEmergency(all=True, unconfirmed=True, ids=[stops["ESP_C"].emergency_id])
    assert await refusal(life.emergency.clear(not_seen, ADA)) == (409, 5414)
    assert not await life.is_clearing()
    seen = ClearEmergency(all=True, unconfirmed=True, ids=[stops["ESP_A"].emergency_id])
    assert (await life.emergency.clear(seen, ADA)).unconfirmed == 1
    assert {key for key, stop in life.stops.items() if stop.clearing} == {"ESP_A"}, "no other than what was seen"
    await life.emergency.clear(unconfirmed, ADA)
    assert {key for key, stop in life.stops.items() if stop.clearing} == {"ESP_A", "ESP_B"}
    life.wait(5)
    await life.look()
    assert [(await life.emergencies(each))[-1] for each in ("ESP_A", "ESP_B")] == ["clear_emergency"] * 2
    life.wait(1)
    await life.say(*(life.answer("response", each, status="emergency_cleared") for each in ("ESP_A", "ESP_B")))
    assert set(life.stops) == {"ESP_C"}, "one that nobody tried to clear stays"

    await life.emergency.stop(EmergencyStop(reason="fire"), ADA)
    assert await refusal(life.emergency.clear(unconfirmed, ADA)) == (409, 5414)


async def test_a_stop_whose_clear_was_given_up_is_sent_once_more_after_two_seconds(life):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    for seconds in (5, 15):
        life.wait(seconds)
        await life.look()
    before = await life.emergencies()
    assert before[-1] == "emergency_stop"
    life.wait(1.9)
    await life.look()
    assert await life.emergencies() == before
    life.wait(0.1)
    await life.look()
    assert await life.emergencies() == [*before, "emergency_stop"]
    life.wait(5)
    await life.look()
    assert await life.emergencies() == [*before, "emergency_stop"], "twice in all"


async def test_a_clear_whose_confirmation_came_in_time_and_is_unread_is_not_given_up(life):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    life.wait(5)
    await life.look()
    confirmation = life.answer("response", status="emergency_cleared")
    life.heard_up_to = life.now
    life.wait(15)
    await life.look()
    assert await life.is_clearing(), "the messages of the fleet wait to be read"
    await life.say(confirmation)
    assert list(life.stops) == []
    assert set((await life.emergencies())[1:]) == {"clear_emergency"}, "it was not stopped again"


async def test_a_clear_names_the_stop_that_it_saw(life):
    first = (await life.emergency.stop(EmergencyStop(esp_id="ESP_A", gpio=5, reason="leak"), ADA)).items[0]
    second = (await life.emergency.stop(EmergencyStop(esp_id="ESP_A", gpio=5, reason="hand in pump"), ADA)).items[0]
    assert second.number > first.number
    assert second.emergency_id != first.emergency_id
    old = ClearEmergency(esp_id="ESP_A", gpio=5, ids=[first.emergency_id])
    with pytest.raises(RpcError, match=r"ada raised another stop since .*: hand in pump") as refused:
        await life.emergency.clear(old, ADA)
    assert refused.value.problem.status == 409
    seen = ClearEmergency(esp_id="ESP_A", gpio=5, ids=[second.emergency_id])
    assert (await life.emergency.clear(seen, ADA)).items == []


async def test_an_answer_has_the_stops_it_is_about_and_how_many_there_are(life):
    for number in range(120):
        await life.emergency.stop(EmergencyStop(esp_id=f"ESP_B{number}", reason="leak"), ADA)
    answer = await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="hand in pump"), ADA)
    assert (len(answer.items), answer.total) == (100, 121)
    assert [stop.reason for stop in answer.items if stop.esp_id == "ESP_A"] == ["hand in pump"]
    first = await life.emergency.list_stops(EmergenciesQuery(limit=100), ADA)
    second = await life.emergency.list_stops(EmergenciesQuery(limit=100, cursor=first.next_cursor), ADA)
    assert (first.total, len(first.items), len(second.items), second.next_cursor) == (121, 100, 21, None)
    assert await refusal(life.emergency.list_stops(EmergenciesQuery(cursor="x"), ADA)) == (422, 5207)


@pytest.fixture
def read_only(database):
    """`read_only(on=True)` makes the database read-only until the test ends."""

    yield partial(set_read_only, database)
    set_read_only(database, on=False)


async def test_a_clear_is_503_while_the_database_only_reads_and_the_stop_stays(life, read_only):
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    before = len(await life.outbox())
    read_only(on=True)
    methods = {
        "clear_emergency": Method(ClearEmergency, life.emergency.clear),
        "emergencies": Method(EmergenciesQuery, life.emergency.list_stops),
    }
    async with serve(life.bus, "actuator", methods, unavailable=UNREACHABLE):
        request = ClearEmergency(esp_id="ESP_A", reason="dry")

        async def is_refused() -> bool:  # 5304 once where the pool hands out a connection that was just ended
            found = await refusal(call(life.bus, "actuator", "clear_emergency", request, Emergencies, caller=ADA))
            assert found in [(503, 5304), (503, 5402)]
            return found == (503, 5402)

        await eventually(is_refused, "a clear is refused")
        in_force = await call(life.bus, "actuator", "emergencies", EmergenciesQuery(), Emergencies, caller=ADA)
    assert [(stop.esp_id, stop.clearing) for stop in in_force.items] == [("ESP_A", None)]
    assert len(await life.outbox()) == before


@pytest.mark.parametrize("body", [{}, {"espid": "ESP_A"}, {"esp_id": "ESP_A", "all": True}, {"all": False}])
def test_everything_is_cleared_only_by_asking_for_it(body):
    with pytest.raises(ValidationError):
        ClearEmergency.model_validate(body)


def intent(life, command_id: str, esp_id: str = "ESP_A", **fields) -> Delivery:
    """The message of generation B in place of an answer if it did not even begin."""
    body = {"kaiser_id": "god", "esp_id": esp_id, "ts": life.now_ms(), "received_at": life.now_ms()}
    body |= {"flow": "command", "outcome": "rejected", "correlation_id": command_id, "code": "QUEUE_FULL"}
    payload = json.dumps(body | {"reason": "queue is full"} | fields).encode()
    return Delivery(f"esp.system.intent.god.{esp_id}", "$JS.ACK.DEVICES.actuator.1.9.1.1.0", payload, None)


@pytest.mark.parametrize("outcome", ["rejected", "failed", "expired"])
async def test_a_command_that_its_device_rejects_by_an_intent_has_failed(life, outcome):
    await life.pump()
    command = await life.send("ON")
    await life.say(life.sent(command))
    assert await life.say(intent(life, command.command_id, outcome=outcome)) == []
    after = await life.how(command)
    assert (after.state, after.message) == ("failed", "QUEUE_FULL: queue is full")


@pytest.mark.parametrize(
    "fields",
    [
        {"outcome": "accepted"},
        {"outcome": "rejected", "esp_id": "ESP_B"},
        {"outcome": "rejected", "command_id": "unknown"},
        {"outcome": "failed", "lifecycle": True},
        {"outcome": "failed", "replayed": True},
    ],
)
async def test_an_intent_about_something_else_ends_no_command(life, fields):
    await life.pump()
    command = await life.send("ON")
    await life.say(life.sent(command))
    named = {"command_id": command.command_id, **fields}
    assert await life.say(intent(life, named.pop("command_id"), **named)) == []
    assert (await life.how(command)).state == "sent"


async def test_a_device_that_refuses_a_stop_has_each_actuator_switched_off_and_is_told_of(life):
    await life.pump()
    await life.pump(gpio=6)
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    before = len(await life.outbox())
    await life.say(life.answer("error", error="unauthorized", message="Invalid auth_token"))
    assert sorted((lane, payload["command"]) for lane, payload in (await life.outbox())[before:]) == [
        (f"urgent {TOPIC}5/command", "OFF"),
        (f"urgent {TOPIC}6/command", "OFF"),
    ]
    event = (await life.events("system_event"))[-1]
    assert (event["event"], event["severity"], event["esp_id"]) == ("emergency_refused", "critical", "ESP_A")
    assert await refusal(life.send("ON")) == (423, 5411)


async def test_a_confirmation_of_an_earlier_clear_leaves_the_clear_as_the_last_that_the_device_hears(life):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    life.wait(5)
    await life.look()
    await life.stops.send_again("ESP_A", "online")
    life.wait(6)
    await life.say(life.answer("response", status="emergency_cleared"))
    assert (await life.emergency.list_stops(EmergenciesQuery(), ADA)).items == []
    assert (await life.emergencies())[-2:] == ["emergency_stop", "clear_emergency"]
    heard = len(await life.emergencies())
    await life.say(life.answer("error", error="clear_failed", message="Safety verification failed"))
    life.wait(4)
    await life.look()
    assert len(await life.emergencies()) == heard, "the device would refuse it again"
    life.wait(1)
    await life.look()
    assert (await life.emergencies())[heard:] == ["clear_emergency"]


async def test_a_device_that_refuses_a_clear_is_not_taken_for_one_that_refuses_a_stop(life):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    life.wait(5)
    await life.look()
    before = await life.outbox()
    await life.say(life.answer("error", error="clear_failed", message="Safety verification failed"))
    assert await life.outbox() == before
    assert all(event["event"] != "emergency_refused" for event in await life.events("system_event"))
    life.wait(5)
    await life.look()
    assert (await life.emergencies())[-2:] == ["clear_emergency", "clear_emergency"]
    assert await refusal(life.send("ON")) == (423, 5411)


async def test_alerts_that_repeat_a_stop_or_refuse_a_clear_make_no_stop(life):
    await life.pump()
    text = "Actuator in emergency stop state. Clear emergency first."
    await life.say(
        life.message("alert", alert_type="emergency_stop", message=text),
        life.message("alert", 255, alert_type="verification_failed", message="too early"),
    )
    assert (await life.emergency.list_stops(EmergenciesQuery(), ADA)).items == []


async def test_an_alert_that_was_rejected_and_is_replayed_stops_nothing_now(life):
    await life.pump()
    await life.say(life.message("alert", alert_type="emergency_stop", message="float switch", replayed=True))
    assert (await life.emergency.list_stops(EmergenciesQuery(), ADA)).items == []
    assert (await life.send("ON")).state == "queued"
    [event] = await life.events("actuator_alert")
    assert (event["alert_type"], event["replayed"]) == ("emergency_stop", True)


async def test_a_status_that_was_rejected_and_is_replayed_does_not_say_that_a_pump_is_off_now(life):
    await life.pump()
    await life.pump(gpio=6, interlocks=[5])
    on = await life.send("ON")
    await life.say(life.sent(on), life.response(on), life.status(True))
    life.wait(1)
    await life.say(life.status(False, replayed=True))
    [pump, _] = (await life.registry.list_actuators(ActuatorsQuery(), ADA)).items
    assert pump.state is True
    assert await refusal(life.send("ON", gpio=6)) == (409, 5412)
    frames = [(event["state"], event.get("replayed")) for event in await life.events("actuator_status")]
    assert frames == [(True, None), (False, True)]
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    urgent = [(lane, payload["command"]) for lane, payload in await life.outbox() if lane.startswith("urgent")]
    assert (f"urgent {TOPIC}5/command", "OFF") in urgent


async def test_a_replayed_answer_without_an_id_ends_no_command_of_now(life):
    await life.pump()
    command = await life.send("ON")
    await life.say(life.sent(command), life.message("response", command="ON", success=True, replayed=True))
    assert (await life.how(command)).state == "sent"
    await life.say(life.response(command, replayed=True))
    assert (await life.how(command)).state == "acknowledged"


async def test_a_replayed_message_confirms_no_clear(life):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    life.wait(6)
    await life.look()
    assert (await life.emergencies())[-1] == "clear_emergency"
    life.wait(1)
    await life.say(
        life.status(False, emergency="normal", replayed=True),
        life.answer("response", status="emergency_cleared", replayed=True),
    )
    assert await refusal(life.send("ON")) == (423, 5411)
    await life.say(life.answer("response", status="emergency_cleared"))
    assert (await life.send("ON")).state == "queued"


async def test_a_stop_switches_off_what_reports_on_and_reaches_a_device_in_no_registry(life):
    await life.pump()
    await life.say(life.status(True))
    life.devices.clear()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    lanes = [(lane, payload["command"]) for lane, payload in await life.outbox()]
    assert (f"urgent {TOPIC}emergency", "emergency_stop") in lanes
    assert lanes.count((f"urgent {TOPIC}5/command", "OFF")) == 1


@pytest.mark.parametrize("record", [None, device("ESP_A", state="pending"), device("ESP_A", state="rejected")])
async def test_the_stop_of_a_device_that_cannot_confirm_ends_with_its_clear_which_is_sent_all_the_same(life, record):
    """ingest rejects its answers, so otherwise the stop of a deleted device, or of a mistyped id, would never end."""
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    life.devices.pop("ESP_A")
    if record is not None:
        life.devices["ESP_A"] = record
    assert (await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)).items == []
    life.wait(5)
    await life.look()
    assert (await life.emergencies())[-1] == "clear_emergency"
    assert await refusal(life.send("ON")) == ((404, 5001) if record is None else (409, 5001))


@pytest.mark.parametrize("record", [None, device("ESP_A", state="pending")])
async def test_a_clear_of_everything_waits_for_no_device_that_cannot_confirm_and_is_sent_to_it(life, record):
    await life.pump()
    await life.pump(esp_id="ESP_B")
    await life.emergency.stop(EmergencyStop(reason="fire"), ADA)
    life.devices.pop("ESP_A")
    if record is not None:
        life.devices["ESP_A"] = record
    await life.emergency.clear(ClearEmergency(all=True), ADA)
    life.wait(6)
    for _ in range(3):
        await life.look()
    assert sorted(life.stops) == ["ESP_B"]
    assert (await life.emergencies())[-1] == "clear_emergency"


async def test_an_actuator_whose_stop_nobody_heard_is_unknown_and_blocks_interlocks(life):
    await life.pump(25)
    await life.pump(26, interlocks=[25])
    await life.say(life.status(True, 25))
    life.sweep.on_device("ESP_A", device("ESP_A"))
    await life.sweep.once()
    life.sweep.on_device("ESP_A", device("ESP_A", online=False))
    await life.sweep.once()
    assert (await life.registry.read(ActuatorKey(esp_id="ESP_A", gpio=25), ADA)).state is None
    assert await refusal(life.send("ON", gpio=26)) == (409, 5412)
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)  # while it is away
    life.sweep.on_device("ESP_A", device("ESP_A", boot=1))
    await life.sweep.once()
    await life.clear("ESP_A")
    assert (await life.registry.read(ActuatorKey(esp_id="ESP_A", gpio=25), ADA)).emergency == "normal"
    assert await refusal(life.send("ON", gpio=26)) == (409, 5412), "it is back, and has not reported 25 yet"
    life.wait(1)
    await life.say(life.status(False, 25))
    assert (await life.send("ON", gpio=26)).state == "queued"


async def test_a_pump_switched_on_by_hand_is_switched_off_after_its_longest_runtime(life):
    await life.pump(max_runtime_s=5)
    await life.say(life.status(True))
    life.wait(3)
    await life.say(life.status(True))
    life.wait(7)
    await life.sweep.once()
    assert [payload["command"] for _, payload in await life.outbox()] == ["OFF"]
    [alert] = await life.events("actuator_alert")
    assert (alert["alert_type"], alert["severity"], alert["gpio"]) == ("runtime_protection", "critical", 5)


async def test_off_is_due_at_once_when_a_device_comes_back_however_long_it_was_away(life):
    await life.pump(max_runtime_s=5)
    await life.say(life.status(True))
    life.devices["ESP_A"] = device("ESP_A", online=False)
    for _ in range(9):
        life.wait(11)
        await life.sweep.once()
    assert await life.outbox() == []
    life.devices["ESP_A"] = device("ESP_A")
    life.sweep.on_device("ESP_A", device("ESP_A"))
    await life.sweep.once()
    assert [payload["command"] for _, payload in await life.outbox()] == ["OFF"]


async def test_off_reaches_whatever_reports_inactive_and_unregistered(life):
    await life.say(life.status(True, gpio=9))
    assert (await life.send("OFF", gpio=9)).state == "queued"
    await life.pump(active=False)
    assert (await life.send("OFF")).state == "queued"
    assert await refusal(life.send("ON")) == (409, 5413)


async def test_on_and_off_within_one_second_of_the_devices_clock_are_both_in_the_history(life):
    await life.pump()
    await life.say(life.status(True), life.status(False), life.status(True))
    history = (await life.registry.history(HistoryQuery(esp_id="ESP_A", gpio=5), ADA)).items
    assert [item.state for item in history if item.kind == "status"] == [True, False, True]


async def test_the_longest_texts_of_a_response_are_kept_in_the_history(life):
    texts = {"correlation_id": "x" * 128, "message": "x" * 512}
    await life.say(life.message("response", command="ON", success=True, **texts))
    history = (await life.registry.history(HistoryQuery(esp_id="ESP_A", gpio=5), ADA)).items
    assert [item.kind for item in history] == ["response"]


async def test_an_idempotency_key_with_another_body_is_refused(life):
    await life.pump()
    await life.send("ON", key="k1", duration_s=5)
    assert await refusal(life.send("ON", key="k1", duration_s=500)) == (409, 5208)


async def test_the_list_of_actuators_reads_whatever_is_stored(life):
    await life.say(life.message("status", 12, actuator_type="relay.1", state=True, value=1.0))
    await life.say(life.message("status", 13, actuator_type="päd !", state=True, value=1.0))
    async with life.pool.connection() as connection:
        await connection.execute(
            """INSERT INTO actuator.actuators (esp_id, gpio, kaiser_id, registered, settings)
            VALUES ('ESP_A', 14, 'god', true, '{"actuator_type": "?", "min_value": 2, "max_runtime_s": -1}')"""
        )
    items = (await life.registry.list_actuators(ActuatorsQuery(), ADA)).items
    assert [(each.gpio, each.actuator_type) for each in items] == [(12, "relay.1"), (13, "other"), (14, "other")]


async def test_a_stop_is_answered_while_the_database_hangs(life, monkeypatch):
    hanging = asyncio.Event()

    async def hang(*_):
        await hanging.wait()
        return 0

    monkeypatch.setattr(life.ledger, "record", hang)
    answer = await asyncio.wait_for(life.emergency.stop(EmergencyStop(esp_id="ESP_A"), ADA), 60)
    assert [each.esp_id for each in answer.items] == ["ESP_A"]
    hanging.set()


async def test_stops_are_in_the_bucket_again_after_it_was_deleted_and_declared_anew(life):
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="a hand in the pump"), ADA)
    await life.mirrored("ESP_A")
    await life.bus.jetstream.delete_key_value(EMERGENCIES_BUCKET.name)
    await apply(life.bus)  # as the migrate step does
    async with asyncio.timeout(60):
        while not await in_bucket(life):
            life.wait(6)
            await life.sweep.once()
            await asyncio.sleep(0.05)
    await life.mirrored("ESP_A")
    assert life.stops["ESP_A"].reason == "a hand in the pump"
    life.wait(5)
    await life.clear("ESP_A")
    sent = [body for _, body in await life.published("OUTBOX") if body["topic"].endswith("/emergency")]
    assert sent[-1]["clears"]
    assert sent[-1]["number"] > max(body["number"] for body in sent if not body["clears"]), "ingest lets the clear pass"


async def test_a_stop_that_the_bucket_did_not_take_is_in_force_everywhere_once_it_does_and_can_be_cleared(life):
    await life.pump()
    await life.bus.jetstream.delete_key_value(EMERGENCIES_BUCKET.name)
    with pytest.raises((BusUnavailable, NatsError)):
        await life.emergency.stop(EmergencyStop(esp_id="ESP_A", gpio=5, reason="a hand in the pump"), ADA)
    assert await refusal(life.send("ON")) == (423, 5411)
    assert (f"urgent {TOPIC}5/command", "OFF") in [(lane, body["command"]) for lane, body in await life.outbox()]
    await apply(life.bus)
    async with asyncio.timeout(60):
        while not await in_bucket(life):
            life.wait(6)
            await life.sweep.once()
            await asyncio.sleep(0.05)
    await life.mirrored("ESP_A.5")
    await life.clear_at_once("ESP_A", 5)
    await life.mirrored()
    assert list(life.stops) == []
    assert (await life.send("ON")).state == "queued"


async def test_off_at_the_end_of_a_duration_waits_for_no_press_that_the_bucket_does_not_take(life):
    for esp_id in ("ESP_A", "ESP_B"):
        await life.pump(esp_id=esp_id)
    command = await life.send("ON", duration_s=60)
    await life.say(life.sent(command), life.response(command), life.status(True))
    await life.bus.jetstream.delete_key_value(EMERGENCIES_BUCKET.name)
    try:
        with pytest.raises((BusUnavailable, NatsError)):
            await life.emergency.stop(EmergencyStop(esp_id="ESP_B", gpio=5, reason="a hand in the pump"), ADA)
        life.wait(65)
        with capture_logs() as logs:
            await life.sweep.once()
    finally:
        await apply(life.bus)
    to_pump = [payload["command"] for lane, payload in await life.outbox() if lane.endswith(f"{TOPIC}5/command")]
    assert to_pump == ["ON", "OFF"]
    postponed = [each["step"] for each in logs if each["event"] == "sweep_postponed"]
    assert postponed == ["presses", "comparison with the bucket"]


async def in_bucket(life) -> bool:
    """Whether the bucket itself has a stop."""
    return (await life.bus.jetstream.stream_info(f"KV_{EMERGENCIES_BUCKET.name}")).state.messages > 0


async def test_confirmations_of_a_fleet_are_taken_sixteen_at_once_and_an_error_waits_for_the_others(monkeypatch):
    clears, taken, most = Clears(None, None, None, {}, lambda: 0, None), [], 0
    open_now: set[str] = set()

    async def confirmed(esp_id: str, sequence: int, received_at: int) -> None:
        nonlocal most
        open_now.add(esp_id)
        most = max(most, len(open_now))
        for _ in range(1 + sequence % 3):
            await asyncio.sleep(0)
        open_now.discard(esp_id)
        if sequence == 20:
            raise PoolTimeout("no connection")
        taken.append(esp_id)

    monkeypatch.setattr(clears, "confirmed", confirmed)
    await clears.all_confirmed({f"ESP_{number}": (number, 0) for number in range(20)})
    assert (len(taken), most, open_now) == (20, 16, set())
    taken.clear()
    with pytest.raises(PoolTimeout):
        await clears.all_confirmed({f"ESP_{number}": (number, 0) for number in range(18, 60)})
    assert sorted(taken) == [f"ESP_{number}" for number in range(18, 34) if number != 20]
