"""Conditions: three-valued, with memory, a table for each kind."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kaiser_common.contract.schemas.api.rules import RuleSettings
from kaiser_logic.domain.conditions import all_of, any_of, evaluate, negated
from kaiser_logic.domain.effects import Firing
from kaiser_logic.domain.readings import Readings, RuleInput
from kaiser_logic.domain.view import View

NOTIFY = {"type": "notification", "message": "m"}
SENSOR = {"esp_id": "ESP_A", "gpio": 4, "sensor_type": "temperature"}


def threshold(operator: str, value: float = 30, **more: Any) -> dict[str, Any]:
    return {"type": "sensor_threshold", **SENSOR, "operator": operator, "value": value, **more}


def compound(operator: str, *conditions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "compound", "operator": operator, "conditions": list(conditions), **more}


class Bench:
    """Conditions with their memory, their sensor and a clock in s."""

    def __init__(self, *conditions: dict[str, Any], grace_ms: int = 0) -> None:
        settings = RuleSettings.model_validate({"name": "r", "conditions": list(conditions), "actions": [NOTIFY]})
        self.conditions = settings.conditions
        readings = Readings(late_ms=3_600_000)
        for gpio in (4, 5):
            readings.watch(("ESP_A", gpio))
        self.view = View(readings, 0, grace_ms)
        self.memory: dict[str, Any] = {}
        self.wake_at: int | None = None

    def read(self, at_s: float, value: float | None, quality: str = "good", gpio: int = 4) -> bool | None:
        ms = round(at_s * 1000)
        self.view.readings.note(RuleInput("ESP_A", gpio, "temperature", ms, value, quality), ms)
        return self.at(at_s)

    def at(self, at_s: float) -> bool | None:
        found = evaluate(self.conditions, self.memory, self.view, round(at_s * 1000))
        self.memory, self.wake_at = found.memory, found.wake_at
        return found.result

    def why(self, at_s: float) -> list[tuple[str, bool | None, str]]:
        found = evaluate(self.conditions, self.memory, self.view, round(at_s * 1000), explain=True)
        return [(report.path, report.result, report.detail) for report in found.reports]


@pytest.mark.parametrize(
    ("operator", "true_for", "false_for"),
    [
        (">", [30.1], [30, 29]),
        (">=", [30, 31], [29.9]),
        ("<", [29.9], [30, 31]),
        ("<=", [30, 29], [30.1]),
        ("==", [30], [29.9, 30.1]),
        ("!=", [29.9], [30]),
    ],
)
def test_a_threshold_compares_the_newest_value(operator, true_for, false_for):
    for value in true_for:
        assert Bench(threshold(operator)).read(1, value) is True
    for value in false_for:
        assert Bench(threshold(operator)).read(1, value) is False


def test_between_includes_both_ends():
    between = {"type": "sensor", **SENSOR, "operator": "between", "min": 10, "max": 20}
    assert [Bench(between).read(1, value) for value in (9.9, 10, 15, 20, 20.1)] == [False, True, True, True, False]


def test_without_a_usable_reading_nothing_is_known():
    bench = Bench(threshold("<"))
    assert bench.at(0) is None
    assert bench.read(1, None) is None
    assert bench.read(2, 20, "bad") is None
    assert bench.read(3, 20) is True
    for at, quality in ((4, "bad"), (5, "stale"), (6, "error")):
        assert bench.read(at, 20, quality) is None
    assert bench.read(7, 20, "unknown") is True


def test_a_sensor_of_another_type_at_the_same_pin_does_not_count():
    bench = Bench(threshold("<"))
    bench.view.readings.note(RuleInput("ESP_A", 4, "humidity", 1000, 20, "good"), 1000)
    assert bench.at(1) is None
    any_type = Bench({**threshold("<"), "sensor_type": None})
    any_type.view.readings.note(RuleInput("ESP_A", 4, "humidity", 1000, 20, "good"), 1000)
    assert any_type.at(1) is True


def test_types_are_compared_without_regard_to_case():
    bench = Bench(threshold("<", sensor_type="Temperature"))
    assert bench.read(1, 20) is True


@pytest.mark.parametrize(("named", "measured"), [("ph_sensor", "ph"), ("ph", "pH_Probe"), ("PH_Sensor", "ph_probe")])
def test_an_alias_of_a_sensor_type_is_as_good_as_the_type(make_rule, make_engine, named, measured):
    condition = {"type": "sensor", "esp_id": "ESP_A", "gpio": 34, "sensor_type": named, "operator": "<", "value": 5}
    engine = make_engine(make_rule(conditions=[condition]))
    _, effects = engine.on_reading(RuleInput("ESP_A", 34, "ec", 1, 4.0, "good", 1), 1)
    assert effects == []
    _, effects = engine.on_reading(RuleInput("ESP_A", 34, measured, 1, 4.0, "good", 2), 1)
    assert [type(effect) for effect in effects] == [Firing]


def test_hysteresis_stays_as_it_was_between_its_limits():
    above = Bench({"type": "hysteresis", **SENSOR, "activate_above": 30, "deactivate_below": 25})
    steps = [(27, False), (30, False), (30.1, True), (27, True), (25, True), (24.9, False), (27, False)]
    assert [above.read(at, value) for at, (value, _) in enumerate(steps, 1)] == [result for _, result in steps]
    below = Bench({"type": "hysteresis", **SENSOR, "activate_below": 30, "deactivate_above": 40})
    steps = [(35, False), (30, False), (29, True), (35, True), (40, True), (41, False), (35, False)]
    assert [below.read(at, value) for at, (value, _) in enumerate(steps, 1)] == [result for _, result in steps]


def test_an_unusable_reading_does_not_move_a_hysteresis():
    bench = Bench({"type": "hysteresis", **SENSOR, "activate_above": 30, "deactivate_below": 25})
    assert [bench.read(1, 31), bench.read(2, 0, "error"), bench.read(3, 27)] == [True, None, True]


def test_for_s_wants_the_condition_to_hold_without_a_break():
    bench = Bench(threshold("<", for_s=10))
    assert bench.read(0, 20) is False
    assert bench.wake_at == 10_000
    assert bench.at(9.999) is False
    assert bench.at(10) is True
    assert bench.read(11, 31) is False
    assert bench.read(12, 20) is False
    assert bench.wake_at == 22_000
    assert bench.read(21, 20) is False
    assert bench.at(22) is True


def test_an_unusable_reading_neither_ends_for_s_nor_lets_it_fire():
    bench = Bench(threshold("<", for_s=10))
    bench.read(0, 20)
    assert bench.read(5, 99, "bad") is None
    assert bench.at(10) is None
    assert bench.read(12, 20) is True


def test_stale_counts_from_the_last_usable_reading():
    bench = Bench({"type": "stale", **SENSOR, "after_s": 60})
    assert bench.read(0, 20) is False
    assert bench.wake_at == 60_000
    assert bench.read(50, 20, "error") is False
    assert bench.at(59.9) is False
    assert bench.at(60) is True
    assert bench.read(61, 20) is False


def test_a_sensor_never_heard_is_stale_from_when_it_was_first_looked_for():
    bench = Bench({"type": "stale", **SENSOR, "after_s": 60})
    assert [bench.at(100), bench.at(159), bench.at(160)] == [False, False, True]


def test_silence_while_nobody_listened_makes_no_sensor_stale():
    bench = Bench({"type": "stale", **SENSOR, "after_s": 600}, grace_ms=60_000)
    bench.read(0, 20)
    bench.view = View(bench.view.readings, listening_since=700_000, grace_ms=60_000)
    assert [bench.at(700), bench.at(759), bench.at(760)] == [False, False, True]


def test_compounds_nest_and_carry_their_own_for_s():
    cold, hot = threshold("<", 10), threshold(">", 30)
    bench = Bench(compound("OR", cold, compound("AND", hot, {**threshold("<", 40)}), for_s=5))
    assert bench.read(0, 35) is False
    assert bench.at(5) is True
    assert bench.read(6, 5) is True  # the other branch is true without a break
    assert bench.read(7, 20) is False
    assert bench.read(8, 45) is False


def test_not_of_a_sensor_never_seen_is_not_true():
    assert Bench(compound("NOT", threshold("<"))).at(5) is None


def test_the_report_tells_each_condition_and_why():
    window = {"type": "time_window", "start": "06:00", "end": "20:00"}
    bench = Bench(threshold("<", for_s=10), window, compound("NOT", threshold(">", 50, gpio=5)))
    bench.read(0, 28.1)
    assert bench.why(4) == [
        ("0", False, "temperature of ESP_A gpio 4 is 28.1, wants < 30, for 4 s of 10 s"),
        ("1", False, "06:00 to 20:00 UTC"),
        ("2", None, "NOT of 1"),
        ("2.0", None, "temperature of ESP_A gpio 5: no reading yet, wants > 50"),
    ]


KNOWN = st.sampled_from([True, False, None])


@given(st.lists(KNOWN, min_size=1))
def test_what_is_not_known_could_turn_out_either_way(results):
    def could_be(combine):
        """The results if each unknown were true, and if each were false."""
        outcomes = {combine([guess if result is None else result for result in results]) for guess in (True, False)}
        return outcomes.pop() if len(outcomes) == 1 else None

    assert all_of(results) is could_be(all)
    assert any_of(results) is could_be(any)
    assert any_of(results) is negated(all_of([negated(result) for result in results]))


STEPS = st.lists(
    st.tuples(st.integers(0, 20_000), st.sampled_from([10.0, 50.0]), st.sampled_from(["good", "bad"])), max_size=25
)


@example([(0, 10.0, "good"), (16_077, 10.0, "good"), (0, 10.0, "bad")])
@given(STEPS)
def test_for_s_agrees_with_a_look_at_the_whole_past(steps):
    """True exactly when every usable reading of the last 10 s, and the one in force before them, is below 30."""
    bench = Bench(threshold("<", for_s=10))
    now, usable, newest_usable = 0, [], False
    for wait, value, quality in steps:
        now += wait + 1
        result = bench.read(now / 1000, value, quality)
        newest_usable = quality == "good"
        if newest_usable:
            usable.append((now, value))
        run = next((at for at, _ in _last_run_below(usable)), None)
        expected = None if not newest_usable else (run is not None and now - run >= 10_000)
        assert result is expected


def _last_run_below(usable):
    run = []
    for at, value in reversed(usable):
        if value >= 30:
            break
        run.append((at, value))
    return run[::-1]


def test_a_condition_without_an_address_says_that_it_meets_several_probes(make_engine, make_rule):
    condition = {"type": "sensor", "esp_id": "ESP_A", "gpio": 4, "sensor_type": "ds18b20", "operator": "<", "value": 5}
    any_probe, one_probe = (
        make_rule("any", conditions=[condition]),
        make_rule("one", conditions=[{**condition, "address": "28aa0102030405c1"}]),
    )
    engine = make_engine(any_probe, one_probe)
    for number, (address, value) in enumerate((("28AA0102030405C1", 20.0), ("28AA0102030405C2", 61.5)), 1):
        reading = RuleInput("ESP_A", 4, "ds18b20", number, value, "good", number, address, number)
        engine.on_reading(reading, number)
    reports = {
        rule.name: evaluate(rule.conditions, {}, engine.view, 3, explain=True).reports[0].detail
        for rule in (any_probe, one_probe)
    }
    assert reports["any"].endswith("is 61.5, wants < 5; the newest of 2 sensors there: give an address to name one")
    assert reports["one"].endswith("address 28AA0102030405C1 is 20, wants < 5")


@pytest.mark.parametrize(
    "condition",
    [threshold(">", 30), {"type": "hysteresis", **SENSOR, "activate_above": 30, "deactivate_below": 20}],
)
def test_a_value_after_which_nothing_came_is_not_known_in_the_end(condition):
    bench = Bench(condition)
    bench.view = View(bench.view.readings, known_ms=900_000)
    assert bench.read(0, 35) is True
    assert bench.at(900) is True
    assert bench.at(900.001) is None, "nobody told that the sensor fell silent: it is not configured"
    assert bench.why(901)[0][2].endswith(
        "its newest reading is too old, wants " + bench.why(0)[0][2].split("wants ")[1]
    )
    assert bench.read(902, 35) is True
