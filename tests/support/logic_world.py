"""The logic service as a process on real NATS and PostgreSQL, and stand-ins for the services around it."""

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import forked
from answering import Method, serve
from kaiser_common.bus.connection import Bus, connect
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.schemas.api.actuators import (
    OVERRULED,
    Actuator,
    ActuatorsPage,
    ActuatorsQuery,
    CommandId,
    CommandStatus,
    SendCommand,
)
from kaiser_common.contract.schemas.api.logic import (
    CreateRule,
    Execution,
    ExecutionsPage,
    ExecutionsQuery,
    Rule,
    TestResult,
    TestRule,
)
from kaiser_common.contract.schemas.api.rules import RuleSettings
from kaiser_common.contract.schemas.api.sensors import LatestQuery, ReadingItem, ReadingsPage
from kaiser_common.contract.schemas.event import ActuatorResponseEvent, SensorDataEvent
from kaiser_common.contract.subjects import event_subject
from kaiser_common.runtime.settings import CommonSettings
from leases import end_lease
from waiting import until
from waiting import until as until_async

OPERATOR = Caller(user="ada", role="operator", request_id="r1")
DRY = {"type": "sensor", "esp_id": "ESP_A", "gpio": 34, "sensor_type": "soil_moisture", "operator": "<", "value": 30}
PUMP = {"type": "actuator", "esp_id": "ESP_B", "gpio": 25, "command": "ON", "duration_s": 60}
TELL = {"type": "notification", "message": "m"}


class Process:
    """A replica of the service."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KAISER_")}
        environment |= {f"KAISER_{name.upper()}": str(value) for name, value in settings.items()}
        self.log = folder / f"logic-{time.monotonic_ns()}.log"
        with self.log.open("wb") as output:
            self._process = forked.Popen(
                ["kaiser-logic"],
                env={"KAISER_METRICS_PORT": "0", "KAISER_LOG_FORMAT": "json", **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def said(self, event: str) -> bool:
        return f'"event": "{event}"' in self.log.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def alive(self) -> bool:
        return self._process.poll() is None

    def kill_if_alive(self) -> None:
        if self.alive():
            self.end()

    def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        self._process.send_signal(number)
        return self._process.wait(60)


class World:
    """The bus, the pretended services around logic, and what they saw."""

    def __init__(self, bus: Bus, nats_url: str, database: str, folder: Path) -> None:
        self.bus = bus
        self.nats_url = nats_url
        self.database = database
        self._folder = folder
        self.processes: list[Process] = []
        self.commands: dict[str, SendCommand] = {}
        """By idempotency key."""
        self.ends: dict[str, str] = {}
        self.requests: list[str] = []
        """Idempotency keys in the order in which they came, repeated ones too."""
        self.latest: dict[str, ReadingItem] = {}
        """The answers of the sensor service."""
        self.actuators: list[Actuator] = []
        self.answer: Callable[[SendCommand], str] = lambda _: "acknowledged"
        """The state in which a command ends; "queued" for one that does not end, "refused" for a 409, "unavailable" for
        the 503 of an actuator service whose database is away, "cancelled" if an OFF came while it waited."""

    def methods(self) -> dict[str, dict[str, Method]]:
        return {
            "actuator": {
                "command": Method(SendCommand, self._command),
                "read_command": Method(CommandId, self._read_command),
                "list": Method(ActuatorsQuery, self._actuators),
            },
            "sensor": {"latest": Method(LatestQuery, self._latest)},
        }

    async def _command(self, request: SendCommand, caller: Caller) -> CommandStatus:
        key = request.idempotency_key or ""
        self.requests.append(key)
        state = self.answer(request)
        if state == "refused":
            raise RpcError(409, 5007, f"{request.esp_id} is offline", "esp_id")
        if state == "unavailable":
            raise RpcError(503, 5304, "service actuator cannot reach its database: try again later")
        if key not in self.commands:
            self.commands[key] = request
        if state != "queued":
            self.ends[key] = state
            event = ActuatorResponseEvent(
                kaiser_id="god",
                esp_id=request.esp_id,
                gpio=request.gpio,
                command=request.request.command,
                success=state == "acknowledged",
                command_id=self._id(key),
                state=state,
                message=OVERRULED if state == "cancelled" else None,
                ts=now_ms(),
            )
            await self.bus.publish(event_subject("actuator_response", request.esp_id), event.model_dump_json().encode())
        return self._status(key).model_copy(update={"state": "queued"})

    async def _read_command(self, request: CommandId, caller: Caller) -> CommandStatus:
        return self._status(next(key for key in self.commands if self._id(key) == request.command_id))

    def _status(self, key: str) -> CommandStatus:
        request = self.commands[key]
        return CommandStatus(
            command_id=self._id(key),
            esp_id=request.esp_id,
            gpio=request.gpio,
            command=request.request.command,
            issued_by="rule",
            state=self.ends.get(key, "queued"),  # type: ignore[arg-type]
            queued_at=now_ms(),
        )

    @staticmethod
    def _id(key: str) -> str:
        return key.replace(":", "_").replace(".", "_")

    async def _latest(self, query: LatestQuery, caller: Caller) -> ReadingsPage:
        return ReadingsPage(items=[item for item in self.latest.values() if query.esp_id in (None, item.esp_id)])

    async def _actuators(self, query: ActuatorsQuery, caller: Caller) -> ActuatorsPage:
        return ActuatorsPage(items=[item for item in self.actuators if query.esp_id in (None, item.esp_id)])

    def start(self, **settings: Any) -> Process:
        """Start a replica."""
        if self.processes and not any(process.alive() for process in self.processes):
            end_lease(self.nats_url, "logic")
        defaults = {"nats_url": self.nats_url, "database_url": self.database}
        self.processes.append(Process(self._folder, **{**defaults, **settings}))
        return self.processes[-1]

    async def started(self, **settings: Any) -> Process:
        """Start a replica and wait until its rules are in force."""
        process = self.start(**settings)
        try:
            await until(lambda: process.said("rules_in_force"), "the rules are in force", 60.0)
        except AssertionError as error:
            raise AssertionError(process.log.read_text(errors="replace")[-3000:]) from error
        return process

    async def ask(self, method: str, request: Any, answer: Any) -> Any:
        return await call(self.bus, "logic", method, request, answer, caller=OPERATOR)

    async def rule(self, name: str = "water", **settings: Any) -> Rule:
        """Add a rule; it is in force."""
        added = await self.added_rule(name, **settings)
        await until_async(lambda: self._evaluates(added.rule_id), f"rule {name} is evaluated")
        return added

    async def added_rule(self, name: str = "water", **settings: Any) -> Rule:
        """Add a rule, while none may be evaluated."""
        given = {"name": name, "conditions": [DRY], "actions": [PUMP], **settings}
        added: Rule = await self.ask("create", CreateRule(settings=RuleSettings.model_validate(given)), Rule)
        return added

    async def _evaluates(self, rule_id: str) -> bool:
        """Whether the replica that evaluates has a rule, which it reads from the bucket."""
        try:
            await self.ask("test", TestRule(rule_id=rule_id), TestResult)
        except RpcError as error:
            if error.problem.status not in (404, 503, 504):  # 503, 504: for a moment nobody holds the lease
                raise
            return False
        return True

    async def read(self, value: float, *, esp_id: str = "ESP_A", quality: str = "good", ts: int | None = None) -> None:
        event = SensorDataEvent(
            kaiser_id="god",
            esp_id=esp_id,
            gpio=34,
            sensor_type="soil_moisture",
            ts=now_ms() if ts is None else ts,
            value=value,
            quality=quality,
        )
        await self.bus.publish(event_subject("sensor_data", esp_id), event.model_dump_json().encode())
        self.latest[esp_id] = ReadingItem(**event.model_dump(include=set(ReadingItem.model_fields)))
        await asyncio.sleep(0.005)  # the next one has a later ts

    async def executions(self, **query: Any) -> list[Execution]:
        page: ExecutionsPage = await self.ask("executions", ExecutionsQuery(**query), ExecutionsPage)
        return page.items

    async def ended(self, count: int, within_s: float = 60.0, **query: Any) -> list[Execution]:
        """The executions, newest first, once there are so many that have ended."""
        found: list[Execution] = []

        async def enough() -> bool:
            nonlocal found
            try:
                found = [one for one in await self.executions(**query) if one.outcome != "running"]
            except RpcError as error:
                if error.problem.status not in (
                    503,
                    504,
                ):  # for a moment nobody holds the lease or the database is away
                    raise
            return len(found) >= count

        await until_async(enough, f"{count} executions have ended", within_s)
        assert len(found) == count, found
        return found

    async def events(self, kind: str) -> list[dict[str, Any]]:
        jetstream = self.bus.jetstream
        state = (await jetstream.stream_info("EVENTS")).state
        messages = [
            await jetstream.get_msg("EVENTS", seq=seq) for seq in range(max(1, state.first_seq), state.last_seq + 1)
        ]
        return [json.loads(one.data or b"") for one in messages if (one.subject or "").startswith(f"event.{kind}.")]


def a_reading(value: float) -> ReadingItem:
    return ReadingItem(
        ts=now_ms(),
        value=value,
        quality="good",
        esp_id="ESP_A",
        gpio=34,
        sensor_type="soil_moisture",
        data_source="TEST",
    )


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def open_world(nats_url: str, database: str, folder: Path, **bus_settings: Any) -> AsyncIterator[World]:
    """A world whose processes are ended with it. bus_settings: of the test's own connection."""
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(connect(CommonSettings(nats_url=nats_url, **bus_settings), "test"))
        world = World(bus, nats_url, database, folder)
        for service, methods in world.methods().items():
            await stack.enter_async_context(serve(bus, service, methods))
        try:
            yield world
        finally:
            for process in world.processes:
                process.kill_if_alive()
