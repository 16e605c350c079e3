"""The service as a process on real NATS and PostgreSQL with a pretended actuator service: kills, replicas, restarts."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from kaiser_common.bus import Bus, connect
from kaiser_common.rpc import Caller, Method, Nothing, RpcError, call, serve
from kaiser_common.schemas.api.actuators import (
    Actuator,
    ActuatorsPage,
    ActuatorsQuery,
    CommandId,
    CommandStatus,
    SendCommand,
)
from kaiser_common.schemas.api.logic import (
    CreateRule,
    Execution,
    ExecutionsPage,
    ExecutionsQuery,
    PutRule,
    Rule,
    RuleId,
    RulesPage,
    RulesQuery,
    TestRequest,
    TestResult,
    TestRule,
)
from kaiser_common.schemas.api.rules import RuleSettings
from kaiser_common.schemas.api.sensors import LatestQuery, ReadingItem, ReadingsPage
from kaiser_common.schemas.event import ActuatorResponseEvent, SensorDataEvent
from kaiser_common.settings import CommonSettings
from kaiser_common.subjects import event_subject

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
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from kaiser_logic.app import main; main()"],
                env={"KAISER_METRICS_PORT": "0", "KAISER_LOG_FORMAT": "json", **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def said(self, event: str) -> bool:
        return f'"event": "{event}"' in self.log.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        self._process.send_signal(number)
        return self._process.wait(20)


class World:
    """The bus, the pretended services around logic, and what they saw."""

    def __init__(self, bus: Bus, database: str, folder: Path) -> None:
        self.bus = bus
        self.database = database
        self._folder = folder
        self.processes: list[Process] = []
        self.commands: dict[str, SendCommand] = {}
        """By idempotency key."""
        self.requests: list[str] = []
        """Idempotency keys in the order in which they came, repeated ones too."""
        self.latest: dict[str, ReadingItem] = {}
        """What the sensor service would say."""
        self.actuators: list[Actuator] = []
        self.answer: Callable[[SendCommand], str] = lambda _: "acknowledged"
        """The state in which a command ends; "queued" for one that does not end, "refused" for a 409."""

    def methods(self) -> dict[str, dict[str, Method[Any, Any]]]:
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
        if key not in self.commands:
            self.commands[key] = request
        if state != "queued":
            event = ActuatorResponseEvent(
                kaiser_id="god",
                esp_id=request.esp_id,
                gpio=request.gpio,
                command=request.request.command,
                success=state == "acknowledged",
                command_id=self._id(key),
                state=state,
                ts=now_ms(),
            )
            await self.bus.publish(event_subject("actuator_response", request.esp_id), event.model_dump_json().encode())
        return self._status(key)

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
            state="queued",
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
        defaults = {"nats_url": self.bus.client.connected_url.geturl(), "database_url": self.database}
        self.processes.append(Process(self._folder, **{**defaults, **settings}))
        return self.processes[-1]

    async def started(self, **settings: Any) -> Process:
        """Start a replica and wait until its rules are in force."""
        process = self.start(**settings)
        await until(lambda: process.said("rules_in_force"), "the rules are in force")
        return process

    async def ask(self, method: str, request: Any, answer: Any) -> Any:
        return await call(self.bus, "logic", method, request, answer, caller=OPERATOR)

    async def rule(self, name: str = "water", **settings: Any) -> Rule:
        given = {"name": name, "conditions": [DRY], "actions": [PUMP], **settings}
        created = await self.ask("create", CreateRule(settings=RuleSettings.model_validate(given)), Rule)
        await asyncio.sleep(0.2)  # until the bucket has told it
        return created

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
        return (await self.ask("executions", ExecutionsQuery(**query), ExecutionsPage)).items

    async def ended(self, count: int, within_s: float = 15.0, **query: Any) -> list[Execution]:
        """The executions, newest first, once there are so many that have ended."""
        found: list[Execution] = []

        async def enough() -> bool:
            nonlocal found
            found = [one for one in await self.executions(**query) if one.outcome != "running"]
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
        return [json.loads(message.data) for message in messages if message.subject.startswith(f"event.{kind}.")]


def a_reading(value: float) -> ReadingItem:
    named = {"esp_id": "ESP_A", "gpio": 34, "sensor_type": "soil_moisture", "data_source": "TEST"}
    return ReadingItem(ts=now_ms(), value=value, quality="good", **named)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def until(condition: Callable[[], Any], what: str, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        await asyncio.sleep(0.02)


async def until_async(condition: Callable[[], Awaitable[bool]], what: str, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not await condition():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        await asyncio.sleep(0.05)


@pytest.fixture
async def world(bus_settings, database, tmp_path):
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE logic.rules, logic.executions")
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(connect(CommonSettings(nats_url=bus_settings.nats_address), "test"))
        world = World(bus, database, tmp_path)
        for service, methods in world.methods().items():
            await stack.enter_async_context(serve(bus, service, methods))
        try:
            yield world
        finally:
            for process in world.processes:
                if process._process.poll() is None:
                    process.end()


async def test_a_reading_becomes_a_command_and_an_execution_with_all_there_is_to_know(world):
    await world.started()
    rule = await world.rule()
    await world.read(40)
    await world.read(28.5)
    [done] = await world.ended(1)
    assert (done.outcome, done.rule_id, done.rule_name) == ("succeeded", rule.rule_id, "water")
    assert (done.trigger["kind"], done.trigger["value"]) == ("reading", 28.5)
    assert [(one.path, one.result) for one in done.decisions] == [("0", True)]
    [action] = done.actions
    assert (action.state, action.command, action.command_state) == ("done", "ON", "acknowledged")
    assert done.duration_ms is not None
    assert list(world.commands) == [f"{done.execution_id}:0"]
    command = world.commands[f"{done.execution_id}:0"]
    assert (command.esp_id, command.gpio, command.request.duration_s) == ("ESP_B", 25, 60)
    [event] = await world.events("logic_execution")
    assert (event["success"], event["outcome"], event["esp_id"]) == (True, "succeeded", "ESP_A")
    read = await world.ask("read", RuleId(rule_id=rule.rule_id), Rule)
    assert (read.last_outcome, read.last_executed_at) == ("succeeded", done.started_at)


async def test_a_rule_can_be_listed_changed_and_removed_and_is_in_force_at_once(world):
    await world.started()
    first, second = await world.rule("a"), await world.rule("b", enabled=False)
    assert [one.name for one in (await world.ask("list", RulesQuery(), RulesPage)).items] == ["a", "b"]
    page = await world.ask("list", RulesQuery(limit=1), RulesPage)
    following = await world.ask("list", RulesQuery(limit=1, cursor=page.next_cursor), RulesPage)
    assert [page.items[0].name, following.items[0].name] == ["a", "b"]
    assert [one.name for one in (await world.ask("list", RulesQuery(enabled=False), RulesPage)).items] == ["b"]
    assert (await world.ask("list", RulesQuery(esp_id="ESP_Z"), RulesPage)).items == []
    await world.ask("delete", RuleId(rule_id=first.rule_id), Nothing)
    await world.read(20)
    settings = RuleSettings.model_validate({"name": "b", "conditions": [DRY], "actions": [PUMP]})
    changed = await world.ask("put", PutRule(rule_id=second.rule_id, settings=settings), Rule)
    assert (changed.version, changed.enabled, changed.created_at) == (2, True, second.created_at)
    [done] = await world.ended(1)
    assert done.rule_name == "b"
    for method, request in (
        ("read", RuleId(rule_id=first.rule_id)),
        ("delete", RuleId(rule_id=first.rule_id)),
        ("put", PutRule(rule_id=first.rule_id, settings=settings)),
        ("test", TestRule(rule_id=first.rule_id)),
    ):
        with pytest.raises(RpcError) as refused:
            await world.ask(method, request, Nothing)
        assert refused.value.problem.status == 404


async def test_a_rule_that_closes_a_loop_is_refused_and_the_circle_is_named(world):
    await world.started()
    on = {"type": "sensor", "gpio": 25, "sensor_type": "actuator", "operator": ">", "value": 0.5}
    await world.rule(
        "first", conditions=[{**on, "esp_id": "ESP_B"}], actions=[{**PUMP, "esp_id": "ESP_C", "duration_s": 0}]
    )
    with pytest.raises(RpcError) as refused:
        await world.rule(
            "second", conditions=[{**on, "esp_id": "ESP_C"}], actions=[{**PUMP, "esp_id": "ESP_B", "duration_s": 0}]
        )
    assert (refused.value.problem.status, refused.value.problem.code) == (422, 5003)
    assert "second → first → second" in refused.value.problem.detail


async def test_the_dry_run_tells_what_would_happen_and_sends_nothing(world):
    await world.started()
    rule = await world.rule(conditions=[{**DRY, "for_s": 10}])

    async def test(**request: Any) -> TestResult:
        return await world.ask("test", TestRule(rule_id=rule.rule_id, request=TestRequest(**request)), TestResult)

    unknown = await test()
    assert (unknown.result, unknown.would_fire) == (None, False)
    assert "no reading yet" in unknown.reason
    given = [{"esp_id": "ESP_A", "gpio": 34, "value": 20}]
    short = await test(values=given, held_s=5)
    assert (short.result, short.conditions[0].detail) == (
        False,
        "soil_moisture of ESP_A gpio 34 is 20, wants < 30, for 5 s of 10 s",
    )
    fires = await test(values=given, held_s=10)
    assert (fires.result, fires.would_fire, fires.actions) == (True, True, ["ON to ESP_B gpio 25 for 60 s"])
    await world.read(40)
    await until_async(lambda: _is(test(), False), "the reading has come")
    assert (await test()).reason == "the conditions are false: 0 soil_moisture of ESP_A gpio 34 is 40, wants < 30"
    assert (world.requests, await world.executions()) == ([], [])


async def test_at_start_a_rule_that_is_true_by_the_latest_values_fires_once(world):
    await world.started()
    await world.rule()
    world.processes[0].end(signal.SIGTERM)
    world.latest["ESP_A"] = a_reading(20)
    await world.started()
    [done] = await world.ended(1)
    assert done.trigger["kind"] == "start"
    world.processes[1].end(signal.SIGTERM)
    world.latest["ESP_A"] = a_reading(20)
    await world.started()
    await world.read(21)
    await asyncio.sleep(0.5)
    assert len(world.requests) == 1


async def test_a_new_rule_asks_what_its_sensor_showed_last(world):
    world.latest["ESP_A"] = a_reading(20)
    await world.started()
    await world.rule()
    await world.ended(1)


async def test_a_sequence_waits_for_each_command_and_aborts_on_failure(world):
    world.answer = lambda request: "failed" if request.gpio == 26 else "acknowledged"
    await world.started()
    steps = [PUMP, {"type": "delay", "seconds": 0.2}, {**PUMP, "gpio": 26}, {**PUMP, "gpio": 27}]
    await world.rule(actions=[{"type": "sequence", "actions": steps}, TELL], cooldown_s=600)
    await world.read(20)
    [done] = await world.ended(1)
    assert (done.outcome, done.reason) == ("failed", "action 0.2: the command failed: no reason told")
    assert [(one.path, one.state) for one in done.actions] == [
        ("0.0", "done"),
        ("0.1", "done"),
        ("0.2", "failed"),
        ("0.3", "skipped"),
        ("1", "done"),
    ]
    assert len(world.commands) == 2
    [told] = [event for event in await world.events("system_event") if event["event"] == "rule_notification"]
    assert (told["message"], told["details"]["rule_name"]) == ("m", "water")


async def test_a_refused_command_makes_the_rule_back_off_and_try_again(world):
    world.answer = lambda _: "refused" if len(world.requests) < 3 else "acknowledged"
    await world.started(logic_backoff_s=0.5)
    await world.rule()
    started = time.monotonic()
    await world.read(20)
    done = await world.ended(3)
    assert [one.outcome for one in done] == ["succeeded", "failed", "failed"]
    assert done[2].actions[0].detail == "ESP_B is offline"
    assert time.monotonic() - started >= 1.5


async def test_a_command_without_an_end_in_time_is_a_failure(world):
    world.answer = lambda _: "queued"
    await world.started(logic_command_wait_s=0.5)
    await world.rule(cooldown_s=600)
    await world.read(20)
    [done] = await world.ended(1)
    assert (done.outcome, done.actions[0].command_state) == ("failed", "queued")


async def test_the_loser_of_a_conflict_is_recorded_with_the_reason(world):
    await world.started()
    await world.rule("low", priority=10)
    await world.rule("high", priority=90, actions=[{**PUMP, "command": "OFF", "duration_s": 0}])
    await world.read(20)
    done = {one.rule_name: one for one in await world.ended(2)}
    assert (done["high"].outcome, done["low"].outcome) == ("succeeded", "suppressed")
    assert done["low"].reason == ("actuator ESP_B gpio 25 is held by rule 'high' of priority 90, this one has 10")
    assert [request.request.command for request in world.commands.values()] == ["OFF"]


async def test_killed_in_the_middle_an_execution_is_gone_on_with_and_no_command_is_given_twice(world):
    process = await world.started()
    steps = [PUMP, {"type": "delay", "seconds": 3}, {**PUMP, "gpio": 26}]
    await world.rule(actions=[{"type": "sequence", "actions": steps}])
    await world.read(20)
    await until(lambda: len(world.commands) == 1, "the first command was given")
    await until_async(lambda: _has(world.executions(outcome="running")), "it is recorded as running")
    process.end()
    begun = time.monotonic()
    await world.started()
    [done] = await world.ended(1)
    assert (done.outcome, [one.state for one in done.actions]) == ("succeeded", ["done"] * 3)
    assert [request.gpio for request in world.commands.values()] == [25, 26]
    assert len({key.rpartition(":")[0] for key in world.requests}) == 1
    assert time.monotonic() - begun < 15
    await world.read(21)
    await asyncio.sleep(0.5)
    assert len(world.commands) == 2


async def test_killed_between_claim_and_answer_the_command_is_repeated_under_its_key(world):
    """The actuator service took the command, but logic died before it heard so."""
    process = await world.started()
    await world.rule()
    killed: list[int] = []

    def kill_once(_: SendCommand) -> str:
        if not killed:
            killed.append(process.end())
        return "acknowledged"

    world.answer = kill_once
    await world.read(20)
    await until(lambda: killed, "it was killed")
    await world.started()
    [done] = await world.ended(1)
    assert done.outcome == "succeeded"
    assert len(world.requests) == 2
    assert len(world.commands) == 1


async def test_after_too_long_an_absence_an_execution_is_not_gone_on_with(world):
    process = await world.started()
    steps = [PUMP, {"type": "delay", "seconds": 1}, {**PUMP, "gpio": 26}]
    await world.rule(actions=[{"type": "sequence", "actions": steps}], cooldown_s=600)
    await world.read(20)
    await until_async(lambda: _has(world.executions(outcome="running")), "it is recorded as running")
    process.end()
    await asyncio.sleep(2.5)
    await world.started(logic_resume_s=1)
    [done] = await world.ended(1, outcome="interrupted")
    assert "away for" in done.reason
    assert [request.gpio for request in world.commands.values()] == [25]


async def test_a_changed_rule_ends_what_it_was_doing(world):
    await world.started()
    steps = [PUMP, {"type": "delay", "seconds": 60}, {**PUMP, "gpio": 26}]
    rule = await world.rule(actions=[{"type": "sequence", "actions": steps}])
    await world.read(20)
    await until(lambda: len(world.commands) == 1, "the first command was given")
    settings = RuleSettings.model_validate({"name": "water", "enabled": False, "conditions": [DRY], "actions": [PUMP]})
    await world.ask("put", PutRule(rule_id=rule.rule_id, settings=settings), Rule)
    [done] = await world.ended(1)
    assert (done.outcome, done.reason) == ("interrupted", "the rule was changed")


async def test_of_two_replicas_one_evaluates_and_the_other_takes_over_where_it_was(world):
    first = await world.started()
    second = world.start()
    await until(lambda: second.said("standing_by"), "the second stands by")
    await world.rule(cooldown_s=600)
    for value in (20, 40, 20, 40, 20):
        await world.read(value)
    outcomes = [one.outcome for one in await world.ended(3)]
    assert outcomes == ["suppressed", "suppressed", "succeeded"]  # each edge within the cooldown is told
    first.end()
    await until(lambda: second.said("rules_in_force"), "the second has taken over")
    for value in (40, 20):
        await world.read(value)
    await asyncio.sleep(1)
    assert len(world.requests) == 1


async def test_a_holder_that_was_stopped_and_comes_back_does_not_fire_what_the_other_has_fired(world):
    """SIGSTOP for longer than the lease: both believe for a moment that they hold it."""
    first = await world.started()
    second = world.start()
    await until(lambda: second.said("standing_by"), "the second stands by")
    await world.rule(cooldown_s=0)
    first.send(signal.SIGSTOP)
    await until(lambda: second.said("rules_in_force"), "the second has taken over")
    for round_ in range(5):
        await world.read(40)
        await world.read(20)
        await until(lambda wanted=round_ + 1: len(world.commands) == wanted, "the second fires")
        if round_ == 2:
            first.send(signal.SIGCONT)
    await asyncio.sleep(1.5)
    for value in (40, 20):
        await world.read(value)
    await until(lambda: len(world.commands) == 6, "the sixth")
    await asyncio.sleep(1.5)
    assert len(world.requests) == 6
    assert len(await world.ended(6)) == 6


async def test_for_timers_survive_a_kill(world):
    process = await world.started()
    await world.rule(conditions=[{**DRY, "for_s": 10}])
    await world.read(20)
    begun = time.monotonic()
    await asyncio.sleep(1.5)
    process.end()
    await world.started()
    await world.read(21)
    assert world.requests == []
    await world.ended(1)
    took = time.monotonic() - begun
    assert 9.5 < took < 12.5, took


async def test_cooldown_survives_a_kill(world):
    process = await world.started()
    await world.rule(mode="level", cooldown_s=12)
    await world.read(20)
    begun = time.monotonic()
    await world.ended(1)
    process.end()
    await world.started()
    await world.read(21)
    await asyncio.sleep(0.5)
    assert len(world.requests) == 1
    await world.ended(2)
    assert 11.5 < time.monotonic() - begun < 14.5


async def _has(found: Awaitable[list[Execution]]) -> bool:
    return bool(await found)


async def _is(result: Awaitable[TestResult], wanted: bool) -> bool:
    return (await result).result is wanted
