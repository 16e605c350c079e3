"""The engine: when rules fire, what keeps them from it, who wins, what survives a restart. A fake clock, no I/O."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kaiser_logic.domain.effects import Firing, Suppressed
from kaiser_logic.domain.engine import Engine
from kaiser_logic.domain.readings import ACTUATOR, Readings, RuleInput
from kaiser_logic.domain.rules import Limits
from kaiser_logic.domain.state import from_json, to_json

OFF = {"type": "actuator", "esp_id": "ESP_B", "gpio": 25, "command": "OFF"}
TELL = {"type": "notification", "message": "m"}


class Clock:
    """An engine and the time in s; what happens is collected as (time, rule, reason)."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.now_s = 0.0
        self.log: list[tuple[float, str, str]] = []
        self.seq = 0
        self.outcome = "succeeded"

    def read(self, value: float | None, quality: str = "good", esp_id: str = "ESP_A", ts_s: float | None = None) -> str:
        self.seq += 1
        ts = round((self.now_s if ts_s is None else ts_s) * 1000)
        reading = RuleInput(esp_id, 34, "soil_moisture", ts, value, quality, self.seq)
        verdict, effects = self.engine.on_reading(reading, round(self.now_s * 1000))
        self._take(effects)
        return verdict

    def until(self, at_s: float) -> "Clock":
        """Let time pass, calling the engine when it wants to be."""
        while (wake := self.engine.next_wake) is not None and wake <= at_s * 1000:
            self.now_s = max(self.now_s, wake / 1000)
            self._take(self.engine.on_time(round(self.now_s * 1000)))
        self.now_s = at_s
        return self

    def _take(self, effects) -> None:
        for effect in effects:
            if isinstance(effect, Suppressed):
                self.log.append((self.now_s, effect.rule.name, effect.why.reason))
            else:
                self.log.append((self.now_s, effect.rule.name, "fired"))
                self._end(effect)

    def _end(self, firing: Firing) -> None:
        if self.outcome != "running":
            running = firing.running.execution_id
            now_ms = round(self.now_s * 1000)
            self._take(self.engine.on_ended(firing.rule.rule_id, running, self.outcome, now_ms))


@pytest.fixture
def clock(make_engine):
    return lambda *rules, **options: Clock(make_engine(*rules, **options))


def test_an_edge_rule_fires_once_each_time_its_conditions_become_true(clock, make_rule):
    c = clock(make_rule())
    for at, value in enumerate([40, 29, 28, 20, 30, 29]):
        c.until(at).read(value)
    assert c.log == [(1, "water", "fired"), (5, "water", "fired")]


def test_a_level_rule_fires_whenever_its_cooldown_is_over_while_true(clock, make_rule):
    c = clock(make_rule(mode="level", cooldown_s=600))
    c.until(1).read(20)
    c.until(1300).read(40)
    c.until(3000)
    assert c.log == [(1, "water", "fired"), (601, "water", "fired"), (1201, "water", "fired")]


def test_a_rule_fires_when_for_s_is_over_without_a_further_reading(clock, make_rule):
    c = clock(make_rule(conditions=[{**make_rule().conditions[0].model_dump(), "for_s": 10}]))
    c.until(5).read(20)
    c.until(100)
    assert c.log == [(15, "water", "fired")]


def test_a_time_window_opens_and_closes_by_itself(clock, make_rule):
    window = {"type": "time_window", "start": "06:00", "end": "20:00"}
    c = clock(make_rule(conditions=[window], actions=[TELL]))
    c.until(3 * 86_400)
    assert [at / 3600 for at, *_ in c.log] == [6, 30, 54]


def test_late_and_out_of_order_and_unusable_readings_never_fire_a_rule(clock, make_rule):
    c = clock(make_rule())
    c.until(1000)
    assert c.read(40) == "taken"
    assert c.read(20, ts_s=999) == "out_of_order"
    assert c.read(20, ts_s=1000) == "out_of_order"  # the same ts is the same reading
    c.until(1100)
    assert c.read(20, ts_s=1039) == "late"
    assert c.read(20, ts_s=1041) == "taken"
    for at, quality in ((1101, "bad"), (1102, "stale"), (1103, "error")):
        assert c.until(at).read(20, quality) == "unusable"
    assert c.read(20, esp_id="ESP_UNNAMED") == "unnamed"
    assert c.log == [(1100, "water", "fired")]


def test_a_clock_that_is_ahead_does_not_shut_out_later_readings(clock, make_rule):
    c = clock(make_rule())
    c.until(10).read(40, ts_s=80_000)
    c.until(20).read(20, ts_s=21)
    assert c.log == [(20, "water", "fired")]


def test_an_edge_within_the_cooldown_is_told_and_fires_when_that_is_over_if_still_true(clock, make_rule):
    c = clock(make_rule(cooldown_s=600))
    for at, value in [(0, 20), (10, 40), (20, 20), (30, 40), (40, 20), (50, 20)]:
        c.until(at).read(value)
    c.until(1000)
    told = [(20, "water", "cooldown"), (40, "water", "cooldown")]
    assert c.log == [(0, "water", "fired"), *told, (600, "water", "fired")]


def test_a_value_that_goes_to_and_fro_does_not_fill_the_record(clock, make_rule):
    c = clock(make_rule(cooldown_s=600))
    for at in range(100):
        c.until(at / 2).read(20 if at % 2 else 40)
    assert [at for at, _, what in c.log if what == "cooldown"] == [1.5, 11.5, 21.5, 31.5, 41.5]


def test_no_more_than_max_executions_in_any_hour(clock, make_rule):
    c = clock(make_rule(max_executions_per_hour=3))
    for minute in range(0, 180, 5):
        c.until(minute * 60).read(20)
        c.until(minute * 60 + 1).read(40)
    fired = [at / 60 for at, _, what in c.log if what == "fired"]
    assert fired == [0, 5, 10, 60, 65, 70, 120, 125, 130]
    assert (900, "water", "hourly_limit") in c.log


def test_a_rule_whose_command_failed_backs_off_longer_each_time_and_tries_again(clock, make_rule):
    c = clock(make_rule(), limits=Limits(backoff_first_ms=5_000, backoff_most_ms=40_000))
    c.outcome = "failed"
    c.read(20)
    c.until(130)
    assert [at for at, *_ in c.log] == [0, 5, 15, 35, 75, 115]
    c.outcome = "succeeded"
    c.until(1000)
    assert [at for at, *_ in c.log] == [0, 5, 15, 35, 75, 115, 155]
    c.read(40)
    c.until(1001).read(20)
    assert c.log[-1] == (1001, "water", "fired")


def test_back_off_does_not_try_again_once_the_conditions_are_false(clock, make_rule):
    c = clock(make_rule())
    c.outcome = "failed"
    c.read(20)
    c.until(1).read(40)
    c.until(1000)
    assert len(c.log) == 1


def test_a_rule_that_fires_too_often_pauses_and_tells_it_once(clock, make_rule):
    c = clock(make_rule(), limits=Limits(loop_fires=20, loop_pause_ms=300_000))
    for at in range(200):
        c.until(at / 2).read(20 if at % 2 else 40)
    c.until(100).read(20)
    c.until(400)
    assert [what for _, _, what in c.log].count("fired") == 21
    loops = [at for at, _, what in c.log if what == "loop"]
    assert len(loops) >= 1
    assert c.log[-1] == (320.5, "water", "fired")


def test_of_rules_that_want_one_actuator_at_once_the_highest_priority_wins(clock, make_rule):
    c = clock(
        make_rule("low", priority=10),
        make_rule("high", priority=90, actions=[OFF]),
        make_rule("middle", priority=50),
        make_rule("elsewhere", priority=1, actions=[{**OFF, "gpio": 26}]),
    )
    c.read(20)
    assert c.log == [
        (0, "high", "fired"),
        (0, "middle", "conflict"),
        (0, "low", "conflict"),
        (0, "elsewhere", "fired"),
    ]


def test_of_equals_the_older_rule_wins(clock, make_rule):
    c = clock(make_rule("young", created_at=2), make_rule("old", created_at=1, actions=[OFF]))
    c.read(20)
    assert c.log == [(0, "old", "fired"), (0, "young", "conflict")]


def test_a_command_with_a_duration_holds_its_actuator_for_so_long(clock, make_rule):
    wet = {"type": "sensor", "esp_id": "ESP_C", "gpio": 34, "operator": ">", "value": 80}
    c = clock(make_rule("high", priority=90), make_rule("low", priority=10, conditions=[wet], actions=[OFF]))
    c.read(20)
    c.until(30).read(90, esp_id="ESP_C")
    c.until(100)
    assert c.log == [(0, "high", "fired"), (30, "low", "conflict"), (60, "low", "fired")]


def test_a_command_without_one_holds_it_while_the_conditions_are_true(clock, make_rule):
    wet = {"type": "sensor", "esp_id": "ESP_C", "gpio": 34, "operator": ">", "value": 80}
    high = make_rule("high", priority=90, actions=[OFF])
    c = clock(high, make_rule("low", priority=10, conditions=[wet]))
    c.read(20)
    c.until(500).read(90, esp_id="ESP_C")
    c.until(600).read(None, "error")  # what is not known ends nothing
    c.until(700).read(40)
    assert c.log == [(0, "high", "fired"), (500, "low", "conflict"), (700, "low", "fired")]


def test_a_rule_holds_its_actuators_until_its_execution_has_ended(clock, make_rule):
    wet = {"type": "sensor", "esp_id": "ESP_C", "gpio": 34, "operator": ">", "value": 80}
    c = clock(make_rule("high", priority=90, actions=[OFF]), make_rule("low", priority=10, conditions=[wet]))
    c.outcome = "running"
    c.read(20)
    c.until(1).read(40)
    c.until(2).read(90, esp_id="ESP_C")
    assert c.log == [(0, "high", "fired"), (2, "low", "conflict")]
    c.now_s = 3
    running = c.engine.states["high"].running.execution_id
    c._take(c.engine.on_ended("high", running, "succeeded", 3000))
    assert c.log[2:] == [(3, "low", "fired")]


def test_a_higher_rule_takes_the_actuator_from_a_lower_one(clock, make_rule):
    wet = {"type": "sensor", "esp_id": "ESP_C", "gpio": 34, "operator": ">", "value": 80}
    c = clock(make_rule("low", priority=10), make_rule("high", priority=90, conditions=[wet], actions=[OFF]))
    c.read(20)
    c.until(5).read(90, esp_id="ESP_C")
    assert c.log == [(0, "low", "fired"), (5, "high", "fired")]


@pytest.mark.parametrize("how", ["fails", "is disabled", "is removed"])
def test_a_rule_that_goes_lets_go_of_its_actuator(clock, make_rule, how):
    high = make_rule("high", priority=90, actions=[OFF])
    c = clock(high, make_rule("low", priority=10))
    c.outcome = "running"
    c.read(20)
    [held] = [what for _, name, what in c.log if name == "low"]
    assert held == "conflict"
    if how == "fails":
        running = c.engine.states["high"].running.execution_id
        c._take(c.engine.on_ended("high", running, "failed", 1))
    elif how == "is disabled":
        c._take(c.engine.put_rule(high.model_copy(update={"enabled": False, "version": 2}), 1))
    else:
        c._take(c.engine.remove_rule("high", 1))
    assert c.log[-1][1:] == ("low", "fired")


def test_a_rule_does_not_fire_again_before_its_last_execution_has_ended(clock, make_rule):
    c = clock(make_rule())
    c.outcome = "running"
    c.read(20)
    c.until(1).read(40)
    c.until(2).read(20)
    assert len(c.log) == 1
    c.outcome = "succeeded"
    running = c.engine.states["water"].running.execution_id
    c.now_s = 3
    c._take(c.engine.on_ended("water", running, "succeeded", 3000))
    assert c.log == [(0, "water", "fired"), (3, "water", "fired")]


def test_an_actuators_state_is_a_sensor_of_type_actuator(clock, make_rule):
    on = {"type": "sensor", "esp_id": "ESP_B", "gpio": 25, "sensor_type": "actuator", "operator": ">", "value": 0}
    c = clock(make_rule(conditions=[{**on, "for_s": 600}], actions=[OFF]))
    verdict, _ = c.engine.on_reading(RuleInput("ESP_B", 25, ACTUATOR, 0, 1.0, "good", 1), 0)
    c.until(700)
    assert (verdict, c.log) == ("taken", [(600, "water", "fired")])


def test_at_start_every_rule_is_evaluated_once_with_the_latest_values(make_engine, make_rule):
    engine = make_engine(make_rule(), make_rule("other", conditions=[_of("ESP_X")]), start=False)
    newest = RuleInput("ESP_A", 34, "soil_moisture", 900_000, 20.0, "good")
    assert engine.view.readings.recall(newest, 1_000_000, 600_000) == "taken"
    assert [effect.rule.name for effect in engine.start(1_000_000)] == ["water"]


def test_at_start_a_value_that_is_too_old_is_not_known(make_engine, make_rule):
    engine = make_engine(make_rule(), start=False)
    engine.view.readings.recall(RuleInput("ESP_A", 34, "soil_moisture", 100_000, 20.0, "good"), 1_000_000, 600_000)
    assert engine.start(1_000_000) == []


def test_a_new_rule_fires_at_once_if_it_is_true_already_and_a_changed_one_too(clock, make_rule):
    c = clock(make_rule("first", actions=[TELL]))
    c.read(20)
    c._take(c.engine.put_rule(make_rule("second", actions=[TELL]), 0))
    c._take(c.engine.put_rule(make_rule("second", actions=[TELL], version=2), 0))
    assert [name for _, name, _ in c.log] == ["first", "second", "second"]


def test_a_changed_rule_keeps_its_cooldown(clock, make_rule):
    c = clock(make_rule(cooldown_s=600))
    c.read(20)
    c._take(c.engine.put_rule(make_rule(cooldown_s=600, version=2), 1000))
    assert c.log == [(0, "water", "fired"), (0, "water", "cooldown")]


def test_a_rule_put_again_unchanged_does_nothing(clock, make_rule):
    c = clock(make_rule())
    c.read(20)
    c._take(c.engine.put_rule(make_rule(), 1000))
    c.until(5).read(20)
    assert len(c.log) == 1


def restarted(c: Clock, *rules) -> Clock:
    """The same engine in a new process: states through JSON, no readings."""
    engine = Engine(c.engine.limits, Readings(60_000), round(c.now_s * 1000), 0)
    engine.states = {rule_id: from_json(to_json(state)) for rule_id, state in c.engine.states.items()}
    for rule in rules:
        assert engine.put_rule(rule, round(c.now_s * 1000)) == []
    again = Clock(engine)
    again.now_s, again.seq, again.log = c.now_s, c.seq, c.log
    again._take(engine.start(round(c.now_s * 1000)))
    return again


def test_a_restart_keeps_for_timers(clock, make_rule):
    rule = make_rule(conditions=[{**_of("ESP_A"), "for_s": 60}])
    c = clock(rule)
    c.read(20)
    c = restarted(c.until(30), rule)
    c.read(20)
    c.until(100)
    assert c.log == [(60, "water", "fired")]


def test_a_restart_keeps_cooldown_hourly_limit_back_off_and_edges(clock, make_rule):
    rule = make_rule(mode="level", cooldown_s=600, max_executions_per_hour=2)
    c = clock(rule)
    c.read(20)
    c = restarted(c.until(300), rule)
    c.read(20)
    c = restarted(c.until(700), rule)
    c.until(701).read(20)
    c = restarted(c.until(1300), rule)
    c.until(1301).read(20)
    c.until(3700)
    assert c.log == [
        (0, "water", "fired"),
        (600, "water", "fired"),
        (1200, "water", "hourly_limit"),
        (3600, "water", "fired"),
    ]
    edge = make_rule("edge")
    c = clock(edge)
    c.read(20)
    c = restarted(c.until(5), edge)
    c.until(6).read(20)
    assert len(c.log) == 1
    c.outcome = "failed"
    c.until(7).read(40)
    c.until(8).read(20)
    c = restarted(c.until(9), edge)
    c.until(10).read(20)
    c.until(100)
    assert c.log[1:] == [(8, "edge", "fired"), (13, "edge", "fired")]


def test_a_restart_keeps_hysteresis(clock, make_rule):
    rule = make_rule(
        conditions=[{"type": "hysteresis", "esp_id": "ESP_A", "gpio": 34, "activate_below": 30, "deactivate_above": 40}]
    )
    c = clock(rule)
    c.read(20)
    c = restarted(c.until(5), rule)
    c.until(6).read(35)
    assert c.engine.states["water"].memory["0"].on is True
    c.until(7).read(41)
    c.until(8).read(29)
    assert c.log == [(0, "water", "fired"), (8, "water", "fired")]


def test_a_restart_keeps_who_holds_an_actuator(clock, make_rule):
    high, low = make_rule("high", priority=90, actions=[OFF]), make_rule("low", priority=10)
    c = clock(high, low)
    c.read(20)
    c = restarted(c.until(5), high, low)
    c.until(6).read(20)
    assert [entry for entry in c.log if entry[1:] == ("low", "fired")] == []
    c.until(7).read(40)
    c.until(20).read(20)
    assert c.log[-2:] == [(20, "high", "fired"), (20, "low", "conflict")]


def test_events_read_again_after_a_restart_do_not_fire_a_rule_twice(clock, make_rule):
    rule = make_rule()
    c = clock(rule)
    for at, value in [(1, 40), (2, 20)]:
        c.until(at).read(value)
    c = restarted(c, rule)
    c.seq = 0
    for value, ts_s in [(40, 1), (20, 2)]:
        c.read(value, ts_s=ts_s)
    assert len(c.log) == 1
    c.until(3).read(40)
    c.until(4).read(20)
    assert len(c.log) == 2


def _of(esp_id: str) -> dict:
    return {"type": "sensor", "esp_id": esp_id, "gpio": 34, "operator": "<", "value": 30}


STEPS = st.lists(st.tuples(st.integers(0, 400), st.sampled_from([20.0, 40.0])), min_size=1, max_size=40)


@settings(deadline=None)
@given(
    steps=STEPS,
    cooldown=st.sampled_from([0, 1, 90]),
    most=st.sampled_from([None, 2]),
    mode=st.sampled_from(["edge", "level"]),
)
def test_whatever_comes_the_limits_hold_and_an_edge_rule_fires_once_a_period(steps, cooldown, most, mode):
    from kaiser_common.contract.schemas.api.logic import Rule

    rule = Rule.model_validate(
        {
            "name": "r",
            "rule_id": "r",
            "created_at": 0,
            "updated_at": 0,
            "conditions": [_of("ESP_A")],
            "actions": [TELL],
            "mode": mode,
            "cooldown_s": max(cooldown, 1) if mode == "level" else cooldown,
            "max_executions_per_hour": most,
        }
    )
    engine = Engine(Limits(), Readings(60_000), 0, 0)
    engine.put_rule(rule, 0)
    engine.start(0)
    c = Clock(engine)
    at, periods, below = 0, 0, False
    for wait, value in steps:
        at += wait
        c.until(at)
        if c.read(value) == "taken":
            periods += value < 30 and not below
            below = value < 30
    fired = [when for when, _, what in c.log if what == "fired"]
    assert all(later - earlier >= rule.cooldown_s for earlier, later in itertools.pairwise(fired))
    for when in fired:
        within = sum(when - 3600 < other <= when for other in fired)
        assert within <= (most or 1_000_000)
    if mode == "edge":
        assert len(fired) <= periods
    if mode == "edge" and cooldown == 0 and most is None and len(fired) < 20:
        assert len(fired) == periods


def test_the_cost_of_a_reading_does_not_grow_with_unrelated_rules(make_engine, make_rule, monkeypatch):
    from kaiser_logic.domain import engine as module

    evaluated = []
    original = module.evaluate
    monkeypatch.setattr(module, "evaluate", lambda *a, **k: evaluated.append(1) or original(*a, **k))
    rules = [make_rule(f"r{number}", conditions=[_of(f"ESP_{number}")], actions=[TELL]) for number in range(1000)]
    engine = make_engine(*rules)
    evaluated.clear()
    engine.on_reading(RuleInput("ESP_7", 34, "x", 1, 40.0, "good", 1), 1)
    engine.on_reading(RuleInput("ESP_UNNAMED", 34, "x", 1, 40.0, "good", 2), 1)
    assert len(evaluated) == 1
