"""Rules on alarms: what is known of them, when a rule fires, what it raises and clears, and that no loop runs on."""

import itertools
import json
from collections.abc import Awaitable

import pytest
from answering import Method, serve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from kaiser_common.bus.declare import apply
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.alarms import Alarm, AlarmsPage, AlarmsQuery
from kaiser_common.contract.schemas.api.logic import PutRule, Rule, RuleId
from kaiser_common.contract.schemas.api.rules import AlarmCondition, RuleSettings
from kaiser_common.contract.schemas.event import AlarmEvent
from kaiser_common.contract.subjects import event_subject
from kaiser_logic.consumers.evaluator import Evaluator
from kaiser_logic.domain.alarms import AlarmInput, Alarms
from kaiser_logic.domain.effects import Firing, Over
from kaiser_logic.domain.engine import Engine
from kaiser_logic.domain.events import notification, of_end
from kaiser_logic.domain.loops import alarm_changes, find_loop
from kaiser_logic.domain.readings import Readings, RuleInput
from kaiser_logic.domain.rules import Limits
from kaiser_logic.domain.state import Running, from_json, to_json
from kaiser_logic.settings import LogicSettings
from logic_world import PUMP, TELL, now_ms, until_async
from pydantic import ValidationError

OFFLINE = {"type": "alarm", "kind": "device_offline"}


def condition(**fields):
    return AlarmCondition.model_validate({**OFFLINE, **fields})


def alarm(step=1, state="raised", source="ESP_A", alarm_id="a", severity="warning", kind="device_offline"):
    return AlarmInput(alarm_id, step, kind, source, severity, state, source[:5])


def known(*alarms, kind="device_offline"):
    found = Alarms()
    found.watch(kind)
    found.begin_list(kind)
    found.listed(kind, alarms)
    return found


@pytest.mark.parametrize(
    ("fields", "state", "severity", "expected"),
    [
        ({}, "raised", "warning", True),
        ({}, "acknowledged", "warning", True),
        ({}, "cleared", "warning", False),
        ({"state": "raised"}, "acknowledged", "warning", False),
        ({"state": "acknowledged"}, "acknowledged", "warning", True),
        ({"state": "cleared"}, "cleared", "warning", True),
        ({"severity": "critical"}, "raised", "warning", False),
        ({"severity": "warning"}, "raised", "critical", True),
        ({"source": "ESP_A"}, "raised", "warning", True),
        ({"source": "ESP_B"}, "raised", "warning", False),
        ({"esp_id": "ESP_A"}, "raised", "warning", True),
        ({"esp_id": "ESP_B"}, "raised", "warning", False),
        ({"esp_id": "ESP_A", "source": "ESP_B"}, "raised", "warning", False),
    ],
)
def test_a_condition_is_about_the_alarms_of_its_kind(fields, state, severity, expected):
    assert known(alarm(state=state, severity=severity)).holds(condition(**fields)) is expected


def test_alarms_are_not_known_before_they_were_listed_and_events_count_while_they_are():
    found = Alarms()
    found.watch("device_offline")
    assert found.note(alarm())
    assert found.holds(condition()) is None
    found.begin_list("device_offline")
    assert found.note(alarm(step=2, state="closed"))
    found.listed("device_offline", [alarm(step=1)])  # the answer is older than the event
    assert found.holds(condition()) is False
    assert found.unlisted == set()
    assert not Alarms().note(alarm())


SOURCES = ["ESP_A", "ESP_B"]


class Interleaved(RuleBasedStateMachine):
    """The alarms as the owner has them, against what is known from lists and events in any order: events come in order,
    may come again, and some are lost; then the alarms are listed again."""

    @initialize()
    def begin(self):
        self.owner: dict[str, AlarmInput] = {}
        self.numbers = itertools.count()
        self.events: list[AlarmInput] = []
        self.read = 0
        self.lost = False
        self.listing: list[AlarmInput] | None = None
        self.seen = Alarms()
        self.seen.watch("device_offline")

    @rule(source=st.sampled_from(SOURCES), state=st.sampled_from(["raised", "acknowledged", "cleared", "closed"]))
    def change(self, source, state):
        before = self.owner.get(source)
        if before is None:
            if state != "raised":
                return
            after = alarm(1, "raised", source, f"a{next(self.numbers)}")
        else:
            after = before._replace(step=before.step + 1, state=state)
        if state == "closed":
            del self.owner[source]
        else:
            self.owner[source] = after
        self.events.append(after)

    @rule(count=st.integers(1, 5))
    def deliver(self, count):
        for event in self.events[self.read : self.read + count]:
            self.seen.note(event)
        self.read = min(len(self.events), self.read + count)

    @rule(back=st.integers(1, 5))
    def deliver_again(self, back):
        for event in self.events[max(0, self.read - back) : self.read]:
            self.seen.note(event)

    @rule(count=st.integers(1, 3))
    def lose(self, count):
        if self.read < len(self.events):
            self.read = min(len(self.events), self.read + count)
            self.lost = True
            self.listing = None
            self.seen.list_again()

    @rule()
    def ask(self):
        if self.seen.unlisted:
            self.seen.begin_list("device_offline")
            self.listing, self.lost = list(self.owner.values()), False

    @rule()
    def answer(self):
        if self.listing is not None:
            self.seen.listed("device_offline", self.listing)
            self.listing = None

    @invariant()
    def what_is_known_is_what_the_owner_has_once_all_events_are_read(self):
        if self.lost or self.listing is not None or self.seen.unlisted or self.read < len(self.events):
            return
        for source in SOURCES:
            there = self.owner.get(source)
            for state in ("raised", "acknowledged", "cleared"):
                expected = there is not None and there.state == state
                assert self.seen.holds(condition(source=source, state=state)) is expected
                assert self.seen.holds(condition(esp_id=source, state=state)) is expected
        assert self.seen.holds(condition()) is any(
            one.state in ("raised", "acknowledged") for one in self.owner.values()
        )


Interleaved.TestCase.settings = settings(max_examples=50, stateful_step_count=40, derandomize=True, deadline=None)
TestInterleaved = Interleaved.TestCase


def listed(engine, *alarms, kind="device_offline", now=0):
    engine.view.alarms.begin_list(kind)
    return engine.on_alarms_listed(kind, alarms, now)


def names(effects):
    return [effect.rule.name for effect in effects if isinstance(effect, Firing)]


def end(engine, effects, now):
    for effect in effects:
        engine.on_ended(effect.rule.rule_id, effect.running.execution_id, "succeeded", now)


def test_a_rule_waits_until_alarms_are_known_and_fires_once_each_time_one_is_raised(make_rule, make_engine):
    engine = make_engine(make_rule(conditions=[OFFLINE]))
    assert engine.on_alarm(alarm(), 1, 1000) == []
    effects = listed(engine, alarm(), now=2000)
    assert names(effects) == ["water"]
    end(engine, effects, 2500)
    assert engine.on_alarm(alarm(2, "acknowledged"), 2, 3000) == []
    assert engine.on_alarm(alarm(3, "closed"), 3, 4000) == []
    effects = engine.on_alarm(alarm(1, alarm_id="b"), 4, 5000)
    assert names(effects) == ["water"]
    [firing] = effects
    assert firing.running.trigger == {
        "kind": "alarm",
        "alarm": "device_offline",
        "source": "ESP_A",
        "severity": "warning",
        "state": "raised",
        "esp_id": "ESP_A",
    }
    assert firing.running.decisions[0].detail == "an alarm device_offline standing: there is one"


@pytest.mark.parametrize(
    ("state", "fires_at"),
    [("raised", "raised"), ("acknowledged", "acknowledged"), ("cleared", "cleared")],
)
def test_raised_acknowledged_and_cleared_each_may_be_the_trigger(make_rule, make_engine, state, fires_at):
    engine = make_engine(make_rule(conditions=[{**OFFLINE, "state": state}]))
    listed(engine)
    order = ["raised", "acknowledged"] if state == "acknowledged" else ["raised", "cleared"]
    fired = [step for number, step in enumerate(order, 1) if engine.on_alarm(alarm(number, step), number, number)]
    assert fired == [fires_at]


def test_not_standing_fires_when_the_alarm_ends(make_rule, make_engine):
    negated = {"type": "compound", "operator": "NOT", "conditions": [OFFLINE]}
    engine = make_engine(make_rule(conditions=[negated]))
    assert listed(engine, alarm()) == []
    assert names(engine.on_alarm(alarm(2, "cleared"), 2, 1000)) == ["water"]


def raising(name, do="raise", **more):
    return {"type": "alarm", "do": do, "name": name, **({"message": "m"} if do == "raise" else {}), **more}


def on(name, state="standing"):
    return {"type": "alarm", "kind": "rule_alarm", "source": name, "state": state}


def not_(inner):
    return {"type": "compound", "operator": "NOT", "conditions": [inner]}


def test_each_notification_of_a_rule_that_is_an_alarm_has_one_of_its_own(make_rule):
    loud = {**TELL, "severity": "critical"}
    made = make_rule(actions=[TELL, {**loud, "message": "close"}, {"type": "sequence", "actions": [TELL, loud]}])
    running = Running("e", 0, 0, {}, [])
    told = [
        json.loads(notification(made, running, path, "m", severity, 0).body)["details"].get("further")
        for path, severity in (("0", "info"), ("1", "critical"), ("2.0", "info"), ("2.1", "critical"))
    ]
    assert told == [None, None, None, "2.1"]
    assert [change.source for change in alarm_changes(made)] == ["water", "water/2.1"]


@pytest.mark.parametrize(
    ("conditions", "action", "loops"),
    [
        ([on("x")], raising("x"), True),
        ([on("y")], raising("x"), False),
        ([on(None)], raising("x"), True),
        ([on("x", "cleared")], raising("x"), False),
        ([on("x", "cleared")], raising("x", "clear"), True),
        ([not_(on("x"))], raising("x"), False),
        ([not_(on("x"))], raising("x", "clear"), True),
        ([not_(on("x"))], raising("x", clear_when_false=True), True),
        ([not_(on("x", "cleared"))], raising("x"), True),
        ([{**on("x"), "severity": "critical"}], raising("x"), False),
        ([{**on("x"), "severity": "critical"}], raising("x", severity="critical"), True),
        ([{"type": "alarm", "kind": "rule_notification"}], {**TELL, "severity": "warning"}, True),
        ([{"type": "alarm", "kind": "rule_notification"}], TELL, False),
        ([{"type": "alarm", "kind": "rule_notification", "source": "other"}], {**TELL, "severity": "error"}, False),
    ],
)
def test_a_rule_whose_alarm_sets_it_off_is_a_loop(make_rule, conditions, action, loops):
    assert find_loop(make_rule("one", conditions=conditions, actions=[action]), []) == (
        ["one", "one"] if loops else None
    )


def test_a_loop_through_alarms_of_two_rules_is_named(make_rule):
    first = make_rule("first", conditions=[on("a")], actions=[raising("b")])
    second = make_rule("second", conditions=[on("b")], actions=[{"type": "sequence", "actions": [raising("a")]}])
    assert find_loop(first, [second]) == ["first", "second", "first"]


def until_false(name="x", **more):
    return raising(name, clear_when_false=True, **more)


def over(effects):
    return [(effect.rule.name, effect.names) for effect in effects if isinstance(effect, Over)]


def read(engine, value, at, esp_id="ESP_A"):
    return engine.on_reading(RuleInput(esp_id, 34, "soil_moisture", at, value, "good", at), at)[1]


def test_an_alarm_that_clears_when_false_is_over_once_the_conditions_are_false(make_rule, make_engine):
    engine = make_engine(make_rule(actions=[until_false()]), make_rule("two", actions=[raising("y")]))
    end(engine, read(engine, 20.0, 1), 1)
    assert over(read(engine, 25.0, 2)) == []
    [ended] = read(engine, 40.0, 3)
    assert over([ended]) == [("water", ("x",))]
    assert over(read(engine, 41.0, 4)) == []  # it is being cleared
    engine.on_cleared(ended, False, 5)
    assert engine.next_wake == 1005
    [ended] = engine.on_time(1005)
    engine.on_cleared(ended, True, 1006)
    assert read(engine, 42.0, 1007) == []


def test_while_it_is_raised_and_its_value_is_not_known_an_alarm_stands(make_rule, make_engine):
    engine = make_engine(make_rule(actions=[until_false()]))
    effects = read(engine, 20.0, 1)
    assert read(engine, 40.0, 2) == []  # its execution has not ended
    [firing] = effects
    assert over(engine.on_ended("water", firing.running.execution_id, "succeeded", 3)) == [("water", ("x",))]
    engine = make_engine(make_rule(actions=[until_false()]))
    end(engine, read(engine, 20.0, 1), 1)
    _, effects = engine.on_reading(RuleInput("ESP_A", 34, "soil_moisture", 2, None, "error", 2), 2)
    assert effects == []


def test_an_alarm_of_two_rules_is_over_when_both_are(make_rule, make_engine):
    other = {"type": "sensor", "esp_id": "ESP_B", "gpio": 34, "operator": "<", "value": 30}
    engine = make_engine(
        make_rule("one", actions=[until_false(), until_false("y")]),
        make_rule("two", conditions=[other], actions=[until_false()]),
    )
    end(engine, read(engine, 20.0, 1), 1)
    end(engine, read(engine, 20.0, 2, "ESP_B"), 2)
    [ended] = read(engine, 40.0, 3)
    assert over([ended]) == [("one", ("y",))]
    engine.on_cleared(ended, True, 3)
    assert over(read(engine, 40.0, 4, "ESP_B")) == [("two", ("x",))]


def test_an_alarm_that_stands_until_a_rule_clears_it_is_not_over_when_another_rule_of_its_name_is_false(
    make_rule, make_engine
):
    wet = {"type": "sensor", "esp_id": "ESP_A", "gpio": 34, "operator": ">", "value": 50}
    other = {"type": "sensor", "esp_id": "ESP_B", "gpio": 34, "operator": "<", "value": 30}
    engine = make_engine(
        make_rule("stands", conditions=[other], actions=[raising("x")]),
        make_rule("clears", conditions=[wet], actions=[raising("x", "clear")]),
        make_rule("passes", actions=[until_false()]),
    )
    end(engine, read(engine, 20.0, 1, "ESP_B"), 1)
    end(engine, read(engine, 20.0, 2), 2)
    [ended] = read(engine, 40.0, 3)
    assert over([ended]) == [("passes", ())], "rule stands has raised it, and is true"
    engine.on_cleared(ended, True, 3)
    end(engine, read(engine, 60.0, 4), 4)
    end(engine, read(engine, 20.0, 5), 5)
    assert over(read(engine, 40.0, 6)) == [("passes", ("x",))], "it was cleared by a rule since"


@pytest.mark.parametrize("is_true", [False, True])
@pytest.mark.parametrize("change", ["removed", "disabled", "raises another"])
def test_the_alarm_of_a_rule_that_raises_it_no_more_stands_only_while_another_has_raised_it(make_rule, change, is_true):
    other = {"type": "sensor", "esp_id": "ESP_B", "gpio": 34, "operator": "<", "value": 30}
    evaluator = Evaluator(None, None, None, None, LogicSettings(), {})
    engine = evaluator.engine
    engine.catching_up = False
    engine.start(0)
    for one in (make_rule("goes", conditions=[other], actions=[raising("x")]), make_rule(actions=[until_false()])):
        evaluator._on_rule(one.rule_id, one)
    now = now_ms()
    end(engine, read(engine, 20.0, now, "ESP_B"), now)
    end(engine, read(engine, 20.0, now + 1), now + 1)
    if not is_true:
        [ended] = read(engine, 40.0, now + 2)
        engine.on_cleared(ended, True, now + 2)
    after = {"removed": None, "disabled": {"enabled": False}, "raises another": {"actions": [raising("y")]}}[change]
    given = {"conditions": [other], "actions": [raising("x")], "version": 2, **(after or {})}
    evaluator._on_rule("goes", make_rule("goes", **given) if after is not None else None)
    ended = engine.end_of("goes")
    assert ended is not None
    assert ended.withdrawn is (change != "raises another")
    cleared = [one for one in of_end(ended, now) if b"rule_alarm_cleared" in one.body]
    assert len(cleared) == (0 if is_true else 1)
    assert engine.on_end_reported("goes", ended) is (change == "removed")
    assert engine.end_of("goes") is None


@pytest.mark.parametrize("is_cleared", [False, True])
def test_a_restart_clears_what_was_not_cleared_before_it(make_rule, make_engine, is_cleared):
    rule_ = make_rule(actions=[until_false()])
    before = make_engine(rule_)
    end(before, read(before, 20.0, 1), 1)
    if is_cleared:
        [ended] = read(before, 40.0, 2)
        before.on_cleared(ended, True, 2)
    engine = Engine(Limits(), Readings(60_000), 3, 0)
    engine.states = {rule_id: from_json(to_json(state)) for rule_id, state in before.states.items()}
    engine.put_rule(rule_, 3)
    engine.catching_up = True
    assert read(engine, 40.0, 3) == []
    engine.catching_up = False
    assert over(engine.start(4)) == ([] if is_cleared else [("water", ("x",))])


def test_a_rule_that_is_changed_to_clear_when_false_clears_what_it_raised_before(make_rule, make_engine):
    engine = make_engine(make_rule(actions=[raising("x")]))
    end(engine, read(engine, 20.0, 1), 1)
    assert read(engine, 40.0, 2) == []
    assert over(engine.put_rule(make_rule(actions=[until_false()], version=2), 3)) == [("water", ("x",))]


class Owner:
    """A stand-in for the service alarm: takes what rules do to alarms, and returns its events to the engine."""

    def __init__(self, engine, alarms):
        self.engine = engine
        self.open = {one.source: one for one in alarms}
        self.numbers = itertools.count(100)
        self.fired = 0
        self.seq = 0

    def run(self, effects, now, most):
        waiting = list(effects)
        while waiting and self.fired < most:
            effect = waiting.pop(0)
            if not isinstance(effect, Firing):
                continue
            self.fired += 1
            for action in effect.rule.actions:
                waiting += self.act(action, now)
            running = effect.running.execution_id
            waiting += self.engine.on_ended(effect.rule.rule_id, running, "succeeded", now)

    def act(self, action, now):
        before = self.open.get(action.name)
        if action.do == "raise":
            if before is not None and before.state in ("raised", "acknowledged"):
                return []
            after = (
                alarm(1, "raised", action.name, f"n{next(self.numbers)}", kind="rule_alarm")
                if before is None
                else before._replace(step=before.step + 1, state="raised")
            )
        elif before is None or before.state == "cleared":
            return []
        else:
            state = "cleared" if before.state == "raised" else "closed"
            after = before._replace(step=before.step + 1, state=state)
        self.open[action.name] = after
        if after.state == "closed":
            del self.open[action.name]
        self.seq += 1
        return self.engine.on_alarm(after, self.seq, now)


_NAMES = st.sampled_from(["a", "b"])
_CONDITION = st.builds(on, st.one_of(_NAMES, st.none()), st.sampled_from(["standing", "raised", "cleared"]))
_RULE = st.tuples(
    st.one_of(_CONDITION, _CONDITION.map(not_)), st.builds(raising, _NAMES, st.sampled_from(["raise", "clear"]))
)


@settings(
    max_examples=120,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # they are factories without a state
)
@given(st.lists(_RULE, min_size=1, max_size=4), st.sets(_NAMES))
def test_rules_without_a_loop_come_to_rest_and_with_one_the_limit_at_run_time_stops_them(
    make_rule, make_engine, parts, there
):
    rules = [make_rule(f"r{number}", conditions=[one], actions=[action]) for number, (one, action) in enumerate(parts)]
    engine = make_engine(*rules, limits=Limits(loop_fires=5))
    standing = [alarm(1, "raised", name, f"i{name}", kind="rule_alarm") for name in sorted(there)]
    owner = Owner(engine, standing)
    owner.run(listed(engine, *standing, kind="rule_alarm", now=1000), 1000, 1000)
    if any(find_loop(one, rules) for one in rules):
        assert owner.fired <= 5 * len(rules)
    else:
        assert owner.fired <= 2 ** len(rules)
        assert all(state.paused_until is None for state in engine.states.values())


@pytest.mark.parametrize(
    "wrong",
    [
        {"conditions": [{"type": "alarm"}]},
        {"conditions": [{**OFFLINE, "kind": "Device Offline"}]},
        {"conditions": [{**OFFLINE, "state": "closed"}]},
        {"conditions": [{**OFFLINE, "stat": "raised"}]},
        {"actions": [{"type": "alarm", "do": "raise", "name": "x"}]},
        {"actions": [raising("Bed 1")]},
        {"actions": [raising("x", severity="error")]},
        {"actions": [raising("x", "clear", clear_when_false=True)]},
    ],
)
def test_a_wrong_condition_or_action_is_refused(wrong):
    with pytest.raises(ValidationError):
        RuleSettings.model_validate({"name": "r", "conditions": [OFFLINE], "actions": [PUMP], **wrong})


def event_of(one: AlarmInput) -> tuple[str, bytes]:
    body = AlarmEvent(
        **one._asdict(), what="raised", message="m", raised_at=1, last_raised_at=1, ts=1
    ).model_dump_json()
    return event_subject("alarm", one.esp_id), body.encode()


async def test_the_service_lists_alarms_once_it_can_fires_on_events_and_raises_and_clears(world):
    await apply(world.bus)
    await world.started()
    by_rule = {
        "conditions": [{**OFFLINE, "source": "ESP_A"}],
        "actions": [PUMP, raising("bed-1", severity="critical")],
    }
    rule_ = await world.rule("on offline", **by_rule)
    await world.bus.publish(*event_of(alarm(1, "raised", "ESP_B")))
    there: list[Alarm] = []

    async def page(query: AlarmsQuery, _):
        assert query.kind == "device_offline"
        return AlarmsPage(items=there)

    async with serve(world.bus, "alarm", {"list": Method(AlarmsQuery, page)}):
        there.append(Alarm(**alarm()._asdict(), message="m", raised_at=1, last_raised_at=1))
        [done] = await world.ended(1)
        assert (done.outcome, done.trigger["kind"]) == ("succeeded", "start")
        assert [(one.type, one.state) for one in done.actions] == [("actuator_command", "done"), ("alarm", "done")]
        await world.bus.publish(*event_of(alarm(2, "closed")))
        await world.bus.publish(*event_of(alarm(1, "raised", alarm_id="b")))
        newest, _ = await world.ended(2)
        assert (newest.trigger["kind"], newest.trigger["source"]) == ("alarm", "ESP_A")
        raised = [one for one in await world.events("system_event") if one["event"] == "rule_alarm_raised"]
        assert [(one["severity"], one["details"]["name"]) for one in raised] == [("critical", "bed-1")] * 2
        changed = RuleSettings.model_validate({"name": "r", "conditions": [OFFLINE], "actions": [PUMP]})
        await world.ask("put", PutRule(rule_id=rule_.rule_id, settings=changed), Rule)

        async def cleared():
            events = await world.events("system_event")
            return [one["details"]["name"] for one in events if one["event"] == "rule_alarm_cleared"] == ["bed-1"]

        await until_async(cleared, "the alarm that no rule raises any more is cleared")
        await world.ask("delete", RuleId(rule_id=rule_.rule_id), Nothing)


async def test_the_service_clears_an_alarm_when_its_conditions_are_false_also_over_a_kill(world):
    process = await world.started()
    await world.rule(actions=[raising("x", clear_when_false=True)])

    async def said() -> list[str]:
        events = await world.events("system_event")
        return [one["event"].removeprefix("rule_alarm_") for one in events if "rule_alarm_" in one["event"]]

    async def raise_and_clear() -> None:
        before = len(await said())
        await world.read(20)
        await until_async(lambda: _is(said(), before + 1), "the alarm is raised")
        await world.read(40)
        await until_async(lambda: _is(said(), before + 2), "the alarm is cleared")

    await raise_and_clear()
    await raise_and_clear()
    await world.read(20)
    await world.ended(3)
    process.end()
    await world.read(40)
    await world.started()
    await until_async(lambda: _is(said(), 6), "the alarm is cleared after a restart")
    assert await said() == ["raised", "cleared"] * 3


async def _is(said: Awaitable[list[str]], count: int) -> bool:
    return len(await said) >= count
