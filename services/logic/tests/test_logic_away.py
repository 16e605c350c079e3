"""A value is not known from when its device is found offline until the next one after its return; the edge fires
nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.contract.schemas.api.logic import RulesPage, RulesQuery, TestRequest, TestResult, TestRule
from kaiser_common.contract.schemas.api.rules import RuleSettings
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.subjects import DEVICES_BUCKET
from kaiser_logic.domain.conditions import evaluate
from kaiser_logic.domain.effects import Firing, Over
from kaiser_logic.domain.engine import Engine
from kaiser_logic.domain.readings import ACTUATOR, Away, Readings, RuleInput
from kaiser_logic.domain.rules import Limits
from kaiser_logic.domain.view import View
from kaiser_logic.store.presence import away_of
from logic_world import DRY, PUMP, now_ms, until_async

NOW = 1_800_000_000_000
PLACE = ("ESP_A", 34)
RAISE = {"type": "alarm", "do": "raise", "name": "dry", "message": "m"}
UNTIL_FALSE = {**RAISE, "clear_when_false": True}


def reading(value=20.0, at=NOW, *, ts=None, esp_id="ESP_A", sensor_type="soil_moisture", received=True):
    said = at if ts is None else ts
    return RuleInput(esp_id, 34, sensor_type, said, value, "good", 0, received_at=at if received else None)


@pytest.mark.parametrize(
    ("given", "away", "expected"),
    [
        (reading(), None, True),
        (reading(), Away(None), True),
        (reading(), Away(NOW - 1), True),
        (reading(), Away(NOW), None),
        (reading(), Away(NOW + 1, NOW - 30_000, online=False), None),
        (reading(), Away(NOW + 1), None),  # it is back, and has not sent yet
        (reading(at=NOW + 2), Away(NOW + 1, NOW, online=False), True),  # it is back before the registry says so
        (reading(at=NOW + 2, ts=NOW - 50_000), Away(NOW + 1), True),  # its clock is behind: what counts is when it came
        (reading(at=NOW, ts=NOW + 50_000), Away(NOW + 1), None),  # and ahead
        (reading(sensor_type=ACTUATOR), Away(NOW + 1), None),
    ],
)
@pytest.mark.parametrize("stored", [False, True])
def test_what_is_known_of_a_device_that_was_away(given, away, expected, stored):
    kind = {"sensor_type": ACTUATOR} if given.sensor_type == ACTUATOR else {}
    conditions = RuleSettings.model_validate(
        {"name": "r", "conditions": [{**DRY, **kind}], "actions": [PUMP]}
    ).conditions
    readings = Readings(60_000)
    readings.watch(PLACE)
    now = NOW + 1000
    if stored:
        readings.recall(given, now, 900_000)
    else:
        readings.note(given, now)
    view = View(readings, away={} if away is None else {"ESP_A": away})
    assert evaluate(conditions, {}, view, now).result is expected


def test_the_news_may_come_before_the_reading_that_was_received_before_it(make_rule):
    away = {}
    engine = Engine(Limits(), Readings(60_000), 0, 0, away=away)
    engine.put_rule(make_rule(), NOW)
    engine.start(NOW)
    away["ESP_A"] = Away(NOW + 10, NOW, online=False)
    assert engine.on_reading(reading(at=NOW + 9), NOW + 20)[1] == []
    [firing] = engine.on_reading(reading(at=NOW + 11), NOW + 21)[1]
    assert isinstance(firing, Firing)


def test_a_silent_sensor_is_not_known_after_a_restart_either():
    conditions = RuleSettings.model_validate({"name": "r", "conditions": [DRY], "actions": [PUMP]}).conditions
    readings = Readings(60_000)
    readings.watch(PLACE)
    one = RuleInput(*PLACE, "soil_moisture", NOW, 20.0, "good", received_at=NOW, silent=True)
    assert readings.recall(one, NOW + 1, 900_000) == "taken"
    assert evaluate(conditions, {}, View(readings), NOW + 1).result is None


@pytest.mark.parametrize("mode", ["edge", "level"])
def test_a_rule_waits_from_the_edge_on_and_ends_nothing_by_it(make_rule, mode):
    """Its timers, its alarm and what it holds stay; the next value acts."""
    away = {}
    engine = Engine(Limits(), Readings(60_000), 0, 0, away=away)
    engine.put_rule(make_rule(mode=mode, cooldown_s=1, actions=[PUMP, UNTIL_FALSE]), NOW)
    engine.start(NOW)
    [firing] = engine.on_reading(reading(), NOW)[1]
    engine.on_ended(firing.rule.rule_id, firing.running.execution_id, "succeeded", NOW + 1)
    away["ESP_A"] = Away(NOW + 10, NOW, online=False)
    for second in range(1, 600):
        assert engine.on_time(NOW + second * 1000) == []
    assert engine.states["water"].raised, "its alarm stands"
    away["ESP_A"] = Away(NOW + 10)
    assert engine.on_time(NOW + 600_000) == [], "it is back, and has not sent yet"
    again = engine.on_reading(reading(at=NOW + 601_000), NOW + 601_000)[1]
    assert [type(one) for one in again] == ([Firing] if mode == "level" else [])
    for one in again:
        engine.on_ended(one.rule.rule_id, one.running.execution_id, "succeeded", NOW + 601_000)
    assert [type(one) for one in engine.on_reading(reading(40.0, NOW + 602_000), NOW + 602_000)[1]] == [Over]


def test_a_dry_run_says_what_was_known_last_and_until_when(make_rule):
    away = {"ESP_A": Away(NOW + 40_000, NOW + 30_000, online=False)}
    engine = Engine(Limits(), Readings(60_000), 0, 0, away=away)
    engine.put_rule(make_rule(), NOW)
    engine.on_reading(reading(28.5), NOW)
    found = evaluate(engine.rules["water"].conditions, {}, engine.view, NOW + 50_000, explain=True)
    [report] = found.reports
    assert (report.result, report.known_until) == (None, NOW + 30_000)
    assert "last known 28.5, not known since 2027-01-15 08:00:30 UTC, when its device went offline" in report.detail


OTHER = {**DRY, "esp_id": "ESP_B"}
LEAVES = st.sampled_from(
    [
        DRY,
        {**DRY, "operator": ">", "for_s": 2},
        {**DRY, "type": "hysteresis", "activate_below": 25, "deactivate_above": 35},
        {**DRY, "type": "stale", "after_s": 5},
        OTHER,
        {**OTHER, "sensor_type": None},
    ]
).map(
    lambda leaf: {
        key: value for key, value in leaf.items() if not (leaf["type"] != "sensor" and key in ("operator", "value"))
    }
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda one: {"type": "compound", "operator": "NOT", "conditions": [one]}, inner),
        st.builds(
            lambda operator, some: {"type": "compound", "operator": operator, "conditions": some},
            st.sampled_from(["AND", "OR"]),
            st.lists(inner, min_size=2, max_size=3),
        ),
    ),
    max_leaves=5,
)


@given(
    tree=TREES,
    values=st.lists(st.tuples(st.sampled_from(["ESP_A", "ESP_B"]), st.floats(0, 60)), max_size=6),
    away_after=st.integers(0, 6),
    waited_s=st.integers(0, 10),
)
def test_going_offline_turns_no_condition_true_or_false(tree, values, away_after, waited_s):
    """With a device away, a condition is as it would be without that, or not known."""
    conditions = RuleSettings.model_validate({"name": "r", "conditions": [tree], "actions": [PUMP]}).conditions
    readings = Readings(60_000)
    readings.watch(PLACE)
    readings.watch(("ESP_B", 34))
    memory, at = {}, NOW
    away = {"ESP_A": Away(NOW + away_after * 1000, NOW, online=False)}
    for number, (esp_id, value) in enumerate(values):
        at = NOW + number * 1000
        readings.note(reading(value, at, esp_id=esp_id), at)
        memory = evaluate(conditions, memory, View(readings), at).memory
    at += waited_s * 1000
    without = evaluate(conditions, memory, View(readings), at).result
    assert evaluate(conditions, memory, View(readings, away=away), at).result in (None, without)


def record(**changed) -> bytes:
    fields = {"esp_id": "ESP_A", "kaiser_id": "god", "state": "approved", "online": True, **changed}
    return DeviceRecord(**fields).model_dump_json().encode()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, Away(None)),
        ({"away_at": 7}, Away(7)),
        ({"online": False, "away_at": 7, "offline_since": 5}, Away(7, 5, online=False)),
        ({"online": False, "offline_since": 5}, Away(5, 5, online=False)),  # of a version without away_at
        ({"online": False}, Away(None, None, online=False)),  # it has never sent anything
    ],
)
def test_the_record_of_a_device_says_when_it_was_away(given, expected):
    assert away_of(record(**given)) == expected


async def test_the_service_waits_for_a_device_that_went_offline_also_while_it_was_down(world):
    process = await world.started()
    bucket = await world.bus.jetstream.key_value(DEVICES_BUCKET.name)
    await bucket.put("ESP_A", record())
    await world.rule(mode="level", cooldown_s=1, actions=[PUMP])
    await world.rule("mark", conditions=[{**DRY, "esp_id": "ESP_M"}], actions=[{**PUMP, "gpio": 26}])

    def commands(gpio: int) -> int:
        return sum(one.gpio == gpio for one in world.commands.values())

    async def marked(count: int) -> None:
        """The rule of another device has fired, so every earlier event has been evaluated."""
        for value in (90, 10):
            await world.read(value, esp_id="ESP_M")
        await until_async(lambda: _is(commands(26) >= count), "the marker fires")

    async def is_seen() -> None:
        await until_async(lambda: _unknown(world), "the device is seen to be offline")

    await world.read(20)
    await until_async(lambda: _is(commands(25) >= 2), "it fires at each cooldown")
    await bucket.put("ESP_A", record(online=False, offline_since=now_ms(), away_at=now_ms()))
    await is_seen()
    before = commands(25)
    await marked(1)
    process.end()
    process = await world.started()
    await is_seen()
    await marked(2)
    process.end()
    await bucket.put("ESP_A", record(away_at=now_ms()))  # it went and came while logic was down
    process = await world.started()
    await is_seen()
    await marked(3)
    assert commands(25) == before
    await world.read(21)
    await until_async(lambda: _is(commands(25) > before), "the next value acts")


async def _is(true: bool) -> bool:
    return true


async def _unknown(world) -> bool:
    page = await world.ask("list", RulesQuery(), RulesPage)
    [rule] = [one for one in page.items if one.name == "water"]
    asked = TestRule(rule_id=rule.rule_id, request=TestRequest())
    found = await world.ask("test", asked, TestResult)
    return bool(found.conditions[0].result is None and found.conditions[0].known_until)
