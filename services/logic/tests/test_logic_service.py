"""The service as a process on real NATS and PostgreSQL: rules in force, executions, kills, replicas, restarts."""

import re
import signal
import time
from collections.abc import Awaitable
from typing import Any

import psycopg
import pytest
from kaiser_common.bus.bucket import read_bucket
from kaiser_common.bus.declare import apply
from kaiser_common.bus.rpc import RpcError
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.actuators import SendCommand
from kaiser_common.contract.schemas.api.logic import (
    Execution,
    PutRule,
    Rule,
    RuleId,
    RulesPage,
    RulesQuery,
    TestRequest,
    TestResult,
    TestRule,
    TestSettings,
)
from kaiser_common.contract.schemas.api.rules import RuleSettings
from kaiser_common.contract.subjects import LOGIC_RULES_BUCKET, LOGIC_STATE_BUCKET
from kaiser_logic.store.rules import note_executions
from logic_world import DRY, PUMP, TELL, a_reading, now_ms, until, until_async


async def fires_a_marker(world) -> None:
    """A rule of its own fires by a reading of now, and nothing else is carried out: what came before has fired none."""
    known = {one.execution_id for one in await world.executions()}
    marker = await world.rule("marker", conditions=[{**DRY, "esp_id": "ESP_M"}], actions=[TELL])
    await world.read(20, esp_id="ESP_M")
    await world.ended(1, rule_id=marker.rule_id)
    assert [one.rule_name for one in await world.executions() if one.execution_id not in known] == ["marker"]


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


async def test_a_rule_is_tried_with_the_values_of_now_before_it_is_stored(world):
    await world.started()
    world.latest["ESP_A"] = a_reading(20)
    settings = RuleSettings(name="water", conditions=[DRY], actions=[PUMP])

    async def test(settings: RuleSettings, **request: Any) -> TestResult:
        asked = TestSettings(settings=settings, request=TestRequest(**request))
        return await world.ask("test_settings", asked, TestResult)

    fires = await test(settings)
    assert (fires.rule_id, fires.would_fire, fires.actions) == ("", True, ["ON to ESP_B gpio 25 for 60 s"])
    wet = [{"esp_id": "ESP_A", "gpio": 34, "sensor_type": "soil_moisture", "value": 40}]
    assert (await test(settings, values=wet)).result is False
    held = RuleSettings(name="water", conditions=[{**DRY, "for_s": 10}], actions=[PUMP])
    assert (await test(held)).result is False
    assert (world.requests, (await world.ask("list", RulesQuery(), RulesPage)).items) == ([], [])


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
    await fires_a_marker(world)
    assert len(world.commands) == 1


async def test_a_restart_fires_nothing_by_an_obsolete_reading_dated_ahead(world):
    await world.started()
    await world.rule()
    for restart in range(3):
        await world.read(60)
        world.processes[-1].end(signal.SIGTERM)
        obsolete = {"ts": now_ms() + 7_200_000, "received_at": now_ms() - 600_000}
        world.latest["ESP_A"] = a_reading(12).model_copy(update=obsolete)
        world.latest["ESP_C"] = a_reading(12).model_copy(update={"esp_id": "ESP_C"})
        await world.started()
        control = {**DRY, "esp_id": "ESP_C"}
        await world.rule(f"control {restart}", conditions=[control], actions=[{**PUMP, "gpio": 26}])
        await until(lambda expected=restart + 1: len(world.commands) == expected, "a right reading fires its rule")
    assert {command.gpio for command in world.commands.values()} == {26}


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
    assert (done.outcome, done.reason) == ("failed", "action 0.2: the command failed: no reason given")
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


async def test_a_rule_does_not_try_again_after_an_off_that_came_while_its_command_waited(world):
    world.answer = lambda request: "cancelled" if request.gpio == 25 else "acknowledged"
    await world.started(logic_backoff_s=0.1)
    await world.rule()
    await world.rule("later", conditions=[{**DRY, "for_s": 2}], actions=[{**PUMP, "gpio": 26}])
    await world.read(20)
    later, done = await world.ended(2)
    assert (later.rule_name, done.outcome, done.reason) == (
        "later",
        "failed",
        "action 0: the command cancelled: OFF came after it",
    )
    assert [command.gpio for command in world.commands.values()] == [25, 26]


async def test_a_command_without_an_end_in_time_is_a_failure(world):
    world.answer = lambda _: "queued"
    await world.started(logic_command_wait_s=0.5)
    await world.rule(cooldown_s=600)
    await world.read(20)
    [done] = await world.ended(1)
    assert (done.outcome, done.actions[0].command_state) == ("failed", "queued")


async def test_more_executions_at_once_than_allowed_fail_at_once_and_the_others_go_on(world):
    await world.started(logic_executions_at_once=2, logic_backoff_s=60)
    for number in range(3):
        await world.rule(f"rule {number}", actions=[{"type": "delay", "seconds": 3}, TELL], priority=90 - number)
    await world.read(20)
    [refused] = await world.ended(1, outcome="failed")
    assert (refused.rule_name, refused.reason) == ("rule 2", "2 executions run already")
    ended = await world.ended(3)
    assert sorted((one.rule_name, one.outcome) for one in ended) == [
        ("rule 0", "succeeded"),
        ("rule 1", "succeeded"),
        ("rule 2", "failed"),
    ]


async def test_no_more_rules_are_taken_than_allowed_until_one_is_removed(world):
    await world.started(logic_rules_max=2)
    first = await world.rule("a")
    await world.rule("b", enabled=False)
    with pytest.raises(RpcError) as refused:
        await world.rule("c")
    assert (refused.value.problem.status, refused.value.problem.detail) == (
        409,
        "there are 2 rules already, which is the maximum",
    )
    await world.ask("delete", RuleId(rule_id=first.rule_id), Nothing)
    await world.rule("c")
    assert [one.name for one in (await world.ask("list", RulesQuery(), RulesPage)).items] == ["b", "c"]


async def test_executions_are_let_go_after_their_retention(world):
    day_ms = 86_400_000
    now = now_ms()
    async with await psycopg.AsyncConnection.connect(world.database) as connection:
        await note_executions(
            connection,
            [
                Execution(
                    execution_id=f"e{days}",
                    rule_id="r",
                    rule_name="water",
                    outcome="succeeded",
                    started_at=now - days * day_ms,
                    ended_at=now - days * day_ms,
                )
                for days in (1, 6, 8, 40)
            ],
        )
    await world.started(logic_retention_days=7)

    async def kept() -> bool:
        return [one.execution_id for one in await world.executions()] == ["e1", "e6"]

    await until_async(kept, "what is older is gone")


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
    await world.started()
    [done] = await world.ended(1)
    assert (done.outcome, [one.state for one in done.actions]) == ("succeeded", ["done"] * 3)
    assert [request.gpio for request in world.commands.values()] == [25, 26]
    assert len({key.rpartition(":")[0] for key in world.requests}) == 1
    await world.read(21)
    await fires_a_marker(world)
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
    steps = [PUMP, {"type": "delay", "seconds": 60}, {**PUMP, "gpio": 26}]
    await world.rule(actions=[{"type": "sequence", "actions": steps}], cooldown_s=7200)
    await world.read(20)
    await until_async(lambda: _has(world.executions(outcome="running")), "it is recorded as running")
    await until(lambda: commanded(world) == [25], "the first step is done")
    process.end()
    await an_hour_passes(world)
    await world.started()
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
    assert [one.outcome for one in await world.ended(2)] == ["suppressed", "succeeded"]
    first.end()
    await until(lambda: second.said("rules_in_force"), "the second has taken over")
    await world.read(40)
    await world.rule("marker", actions=[{**PUMP, "gpio": 26}])
    await world.read(20)
    await until(lambda: 26 in commanded(world), "the other rule fires by the same reading")
    assert commanded(world) == [25, 26]


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
    await until(lambda: first.said("lease_lost"), "the first knows that it has lost the lease")
    for wanted in (6, 7):
        await world.read(40)
        await world.read(20)
        await until(lambda wanted=wanted: len(world.commands) == wanted, f"command {wanted}")
    assert len(await world.ended(7)) == 7


async def test_for_timers_survive_a_kill(world):
    process = await world.started()
    await world.rule(conditions=[{**DRY, "for_s": 3600}])
    await world.read(20)
    await until_async(lambda: _timer_is_kept(world), "the timer is kept")
    process.end()
    process = await world.started()
    await marked(world, 21)
    assert 25 not in commanded(world)
    process.end()
    await an_hour_passes(world)
    await world.started()
    await until(lambda: 25 in commanded(world), "the hour is over, though two were killed in it")


async def test_cooldown_survives_a_kill(world):
    process = await world.started()
    await world.rule(mode="level", cooldown_s=3600)
    await world.read(20)
    await world.ended(1)
    process.end()
    process = await world.started()
    await marked(world, 21)
    assert commanded(world).count(25) == 1
    process.end()
    await an_hour_passes(world)
    await world.started()
    await until(lambda: commanded(world).count(25) == 2, "it fires again after the hour")


async def marked(world, value: float) -> None:
    """A reading that another rule has fired by: each rule has been evaluated with it."""
    await world.rule("marker", actions=[{**PUMP, "gpio": 26}])
    await world.read(value)
    await until(lambda: 26 in commanded(world), "the other rule fires by the same reading")


async def an_hour_passes(world) -> None:
    """While no service runs: each time of the states in the bucket lies an hour further back."""
    bucket = await world.bus.jetstream.key_value(LOGIC_STATE_BUCKET.name)
    for key, entry in (await read_bucket(world.bus, LOGIC_STATE_BUCKET)).items():
        earlier = re.sub(rb"\b1\d{12}\b", lambda ms: b"%d" % (int(ms[0]) - 3_600_000), entry.value)
        await bucket.put(key, earlier)


def commanded(world) -> list[int]:
    """The gpios of the commands given so far."""
    return [request.gpio for request in world.commands.values()]


async def _timer_is_kept(world) -> bool:
    """Whether a condition's time has reached the bucket."""
    kept = await read_bucket(world.bus, LOGIC_STATE_BUCKET)
    return any(b'"since"' in (entry.value or b"") for entry in kept.values())


async def _has(found: Awaitable[list[Execution]]) -> bool:
    return bool(await found)


async def _is(result: Awaitable[TestResult], wanted: bool) -> bool:
    return (await result).result is wanted


async def test_rules_are_in_force_again_after_their_bucket_was_deleted_and_declared_anew(world):
    await world.started()
    rule = await world.rule()
    await world.bus.jetstream.delete_key_value(LOGIC_RULES_BUCKET.name)
    await apply(world.bus)  # as the migrate step does

    async def is_back() -> bool:
        return set(await read_bucket(world.bus, LOGIC_RULES_BUCKET)) == {rule.rule_id}

    await until_async(is_back, "the rule is in the bucket", 60.0)
    await world.read(40)
    await world.read(28.5)
    [done] = await world.ended(1)
    assert (done.outcome, done.rule_id) == ("succeeded", rule.rule_id)
