"""The parts of the actuator service on a real NATS and PostgreSQL, with a fake clock and a device made of messages."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import psycopg
import pytest
from consuming import stored
from kaiser_actuator.api.commands import CommandApi
from kaiser_actuator.api.emergencies import EmergencyApi
from kaiser_actuator.api.registry import ActuatorRegistryApi
from kaiser_actuator.consumers.devices import ActuatorMessages
from kaiser_actuator.domain.emergency_core import Held
from kaiser_actuator.jobs.clears import Clears
from kaiser_actuator.jobs.emergency_ledger import EmergencyLedger
from kaiser_actuator.jobs.sweep import DueSweep
from kaiser_actuator.store import Connection
from kaiser_actuator.store.numbers import Numbers
from kaiser_actuator.store.stops import Stops
from kaiser_common.bus.bucket import BucketWriter
from kaiser_common.bus.connection import Bus, BusUnavailable, Outgoing
from kaiser_common.bus.mirror import Mirror
from kaiser_common.bus.pull import Delivery
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.schemas.actuator import Command
from kaiser_common.contract.schemas.api.actuators import (
    ActuatorSettings,
    ClearEmergency,
    CommandId,
    CommandRequest,
    CommandStatus,
    Emergencies,
    Emergency,
    PutActuator,
    SendCommand,
)
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.subjects import EMERGENCIES_BUCKET
from kaiser_common.runtime.database import DatabasePool

START = datetime(2026, 1, 1, tzinfo=UTC)
TIMEOUT = timedelta(seconds=10)
ADA = Caller(user="ada", role="operator", request_id="r1")
TOPIC = "kaiser/god/esp/ESP_A/actuator/"


def device(
    esp_id: str,
    *,
    online: bool = True,
    boot: int = 0,
    state: Literal["pending", "approved", "rejected"] = "approved",
    approved_at: int | None = None,
) -> DeviceRecord:
    return DeviceRecord(esp_id=esp_id, kaiser_id="god", state=state, online=online, boot=boot, approved_at=approved_at)


class Life:
    """The service's parts on real servers, a hand on its clock and on the registry of devices."""

    def __init__(
        self,
        pool: DatabasePool,
        bus: Bus,
        bucket: BucketWriter,
        mirror: Mirror[Held],
        began_at: datetime = START,
    ) -> None:
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

    async def pump(self, gpio: int = 5, esp_id: str = "ESP_A", **settings: Any) -> None:
        chosen = ActuatorSettings(actuator_type="pump", **settings)
        await self.registry.put(PutActuator(esp_id=esp_id, gpio=gpio, settings=chosen), ADA)

    async def send(
        self, name: Command = "ON", gpio: int = 5, esp_id: str = "ESP_A", key: str | None = None, **fields: Any
    ) -> CommandStatus:
        request = SendCommand(
            esp_id=esp_id, gpio=gpio, request=CommandRequest(command=name, **fields), idempotency_key=key
        )
        return await self.commands.send(request, ADA)

    async def how(self, command: CommandStatus) -> CommandStatus:
        return await self.commands.read(CommandId(command_id=command.command_id), ADA)

    def message(self, kind: str, gpio: int = 5, esp_id: str = "ESP_A", **fields: Any) -> Delivery:
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

    def status(self, on: bool, gpio: int = 5, **fields: Any) -> Delivery:
        return self.message("status", gpio, actuator_type="pump", state=on, value=float(on), **fields)

    def response(self, command: CommandStatus, success: bool = True, **fields: Any) -> Delivery:
        given = {"command": command.command, "success": success, "correlation_id": command.command_id, **fields}
        return self.message("response", command.gpio, command.esp_id, **given)

    async def say(self, *messages: Delivery) -> list[Delivery]:
        """Handle messages of devices; those that cannot be read."""
        return [delivery for delivery, _ in await self.inbox.on_messages(messages)]

    async def published(self, stream: str) -> list[tuple[str, dict[str, Any]]]:
        """The messages of a stream, oldest first."""
        return await stored(self.bus, stream)

    async def outbox(self) -> list[tuple[str, dict[str, Any]]]:
        """Lane and topic, payload."""
        return [
            (f"{subject.split('.')[1]} {body['topic']}", json.loads(body["payload"]))
            for subject, body in await self.published("OUTBOX")
        ]

    async def events(self, kind: str) -> list[dict[str, Any]]:
        return [body for subject, body in await self.published("EVENTS") if subject.split(".")[1] == kind]

    async def recorded(self, esp_id: str) -> list[tuple[str, str]]:
        """The history of a device's stops, oldest first: what happened, and who did it."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT message, actor FROM actuator.history WHERE kind = 'emergency' AND esp_id = %s ORDER BY time",
                (esp_id,),
            )
            return await cursor.fetchall()

    def answer(self, answer: str, esp_id: str = "ESP_A", **fields: Any) -> Delivery:
        """A device's answer to an emergency."""
        self._sequence += 1
        body = {"kaiser_id": "god", "esp_id": esp_id, "ts": self.now_ms(), "received_at": self.now_ms()}
        return Delivery(
            f"esp.actuator.emergency.god.{esp_id}",
            f"$JS.ACK.DEVICES.actuator.1.{self._sequence}.1.1.0",
            json.dumps({**body, "answer": answer, **fields}).encode(),
            None,
        )

    async def clear(self, esp_id: str | None = None, gpio: int | None = None, **fields: Any) -> Emergencies:
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


async def refusal(awaitable: Awaitable[Any]) -> tuple[int, int]:
    with pytest.raises(RpcError) as refused:
        await awaitable
    return refused.value.problem.status, refused.value.problem.code


async def another_waits_for_a_lock(connection: Connection) -> None:
    waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    for _ in range(3000):
        await connection.execute("SELECT pg_stat_clear_snapshot()")  # else a transaction sees its first answer again
        if await (await connection.execute(waits)).fetchone() is not None:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("no other connection waits for a lock")


async def away(*_: Any) -> None:
    raise psycopg.OperationalError("the server is away")


async def bucket_of(life: Life) -> BucketWriter:
    return await BucketWriter.open(life.bus, EMERGENCIES_BUCKET)


def nats_refuses(life: Life, monkeypatch: pytest.MonkeyPatch, batches: Callable[[list[tuple[str, str]]], bool]) -> None:
    """Batches whose messages (subject, id) are such get no acknowledgement and are not stored."""
    publish = life.bus.publish_batch

    async def refuse(messages: Sequence[Outgoing], **options: Any) -> None:
        if batches([(each.subject, each.msg_id) for each in messages]):
            raise BusUnavailable("no acknowledgement")
        await publish(messages, **options)

    monkeypatch.setattr(life.bus, "publish_batch", refuse)


def pressed(life: Life, emergency_id: str, **fields: Any) -> Emergency:
    given = {"esp_id": "ESP_A", "gpio": None, "reason": "leak", "raised_by": "bob", "raised_at": life.now_ms()}
    return Emergency(emergency_id=emergency_id, **{**given, **fields})
