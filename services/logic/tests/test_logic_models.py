"""Valid and invalid rules; a rule survives its way through table and bucket."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from kaiser_common.bus.rpc import RpcError
from kaiser_common.contract.schemas.api.logic import Rule
from kaiser_common.contract.schemas.api.rules import RulePatch, RuleSettings
from kaiser_common.runtime.versions import patched
from kaiser_logic.store.rule_cache import decode
from pydantic import ValidationError

SENSOR = {"esp_id": "ESP_A", "gpio": 4}
THRESHOLD = {"type": "sensor_threshold", **SENSOR, "operator": "<", "value": 30}
TELL = {"type": "notification", "message": "m"}


def rule(**change) -> RuleSettings:
    return RuleSettings.model_validate({"name": "r", "conditions": [THRESHOLD], "actions": [TELL], **change})


def nested(depth: int) -> dict:
    condition = THRESHOLD
    for _ in range(depth - 1):
        condition = {"type": "compound", "operator": "OR", "conditions": [condition]}
    return condition


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "at least 1"),
        ({"nmae": "x"}, "Extra inputs"),
        ({"conditions": []}, "at least 1"),
        ({"conditions": [{"type": "sun"}]}, "sensor_threshold"),
        ({"conditions": [{**THRESHOLD, "operator": "~"}]}, "between"),
        ({"conditions": [{**THRESHOLD, "value": None}]}, "needs value"),
        ({"conditions": [{**THRESHOLD, "min": 1}]}, "neither min nor max"),
        ({"conditions": [{**THRESHOLD, "operator": "between"}]}, "needs min and max"),
        ({"conditions": [{**THRESHOLD, "operator": "between", "value": None, "min": 2, "max": 1}]}, "above max"),
        ({"conditions": [{**THRESHOLD, "value": float("nan")}]}, "finite"),
        ({"conditions": [{**THRESHOLD, "gpio": 49}]}, "48"),
        ({"conditions": [{**THRESHOLD, "esp_id": "esp_a"}]}, "pattern"),
        ({"conditions": [{**THRESHOLD, "for_s": -1}]}, "greater than"),
        ({"conditions": [{**THRESHOLD, "for": 10}]}, "Extra inputs"),
        ({"conditions": [{"type": "hysteresis", **SENSOR}]}, "hysteresis needs"),
        ({"conditions": [{"type": "hysteresis", **SENSOR, "activate_above": 3}]}, "hysteresis needs"),
        ({"conditions": [{"type": "hysteresis", **SENSOR, "activate_above": 3, "deactivate_above": 4}]}, "needs"),
        ({"conditions": [{"type": "hysteresis", **SENSOR, "activate_above": 3, "deactivate_below": 3}]}, "not below"),
        ({"conditions": [{"type": "hysteresis", **SENSOR, "activate_below": 3, "deactivate_above": 3}]}, "not above"),
        ({"conditions": [{"type": "stale", **SENSOR}]}, "after_s"),
        ({"conditions": [{"type": "compound", "operator": "NOT", "conditions": [THRESHOLD] * 2}]}, "exactly one"),
        ({"conditions": [{"type": "compound", "operator": "AND", "conditions": []}]}, "at least 1"),
        ({"conditions": [nested(6)]}, "nested 6 deep"),
        ({"conditions": [{"type": "compound", "operator": "OR", "conditions": [THRESHOLD] * 26}] * 2}, "52 conditions"),
        ({"actions": []}, "at least 1"),
        ({"actions": [{"type": "actuator", **SENSOR, "command": "PWM"}]}, "PWM needs a value"),
        ({"actions": [{"type": "actuator", **SENSOR, "command": "SPIN"}]}, "TOGGLE"),
        ({"actions": [{"type": "actuator", **SENSOR, "command": "PWM", "value": 1.1}]}, "less than or equal to 1"),
        ({"actions": [{"type": "delay", "seconds": 0}]}, "greater than 0"),
        ({"actions": [{**TELL, "webhook_url": "ftp://x"}]}, "URL scheme"),
        ({"actions": [{"type": "sequence", "actions": [{"type": "sequence", "actions": [TELL]}]}]}, "delay"),
        ({"mode": "level"}, "cooldown_s of at least 1"),
        ({"cooldown_s": -1}, "greater than or equal"),
        ({"max_executions_per_hour": 0}, "greater than or equal"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_with_the_reason(change, words):
    with pytest.raises(ValidationError, match=words):
        rule(**change)


def test_aliases_and_a_single_condition_are_taken_and_made_one_form():
    made = rule(
        conditions={**THRESHOLD, "type": "sensor"},
        actions=[{"type": "actuator", **SENSOR, "command": "on"}],
    )
    assert [one.type for one in made.conditions] == ["sensor_threshold"]
    assert [(one.type, one.command) for one in made.actions] == [("actuator_command", "ON")]
    assert rule(conditions=[nested(5)]).conditions[0].type == "compound"


def test_a_rule_of_a_newer_version_is_read_without_what_is_new():
    stored = Rule.model_validate({**rule().model_dump(), "rule_id": "r", "created_at": 1, "updated_at": 1})
    newer = stored.model_dump_json().replace('"gpio":4', '"gpio":4,"new":1').replace('"mode"', '"newer":2,"mode"')
    assert decode(newer.encode()) == stored


NUMBERS = st.floats(-1e6, 1e6)
LEAVES = st.one_of(
    st.builds(lambda value, held: {**THRESHOLD, "value": value, "for_s": held}, NUMBERS, st.floats(0, 1000)),
    st.builds(
        lambda low, gap: {"type": "hysteresis", **SENSOR, "activate_above": low + gap, "deactivate_below": low},
        st.integers(-1000, 1000),
        st.integers(1, 100),
    ),
    st.just({"type": "time_window", "start": "22:00", "end": "06:00", "days_of_week": [0, 6]}),
    st.builds(lambda after: {"type": "stale", **SENSOR, "after_s": after}, st.integers(1, 1000)),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        lambda operator, some: {"type": "compound", "operator": operator, "conditions": some},
        st.sampled_from(["AND", "OR"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=8,
)


def depth(condition: dict) -> int:
    return 1 + max(map(depth, condition.get("conditions", [])), default=0)


@given(CONDITIONS)
def test_a_rule_survives_its_way_through_json(condition):
    assume(depth(condition) <= 5)
    made = rule(conditions=[condition])
    assert RuleSettings.model_validate(made.model_dump(mode="json", exclude_none=True)) == made
    stored = Rule.model_validate({**made.model_dump(mode="json"), "rule_id": "r", "created_at": 1, "updated_at": 1})
    assert decode(stored.model_dump_json().encode()) == stored


def stored(**change) -> Rule:
    return Rule.model_validate(
        {**rule(**change).model_dump(mode="json"), "rule_id": "a", "version": 3, "created_at": 1, "updated_at": 2}
    )


def test_a_patch_changes_what_it_names_and_replaces_a_list_as_a_whole():
    before = stored(description="dry", cooldown_s=60, mode="level", max_executions_per_hour=3)
    after = patched(RuleSettings, before, RulePatch.model_validate({"name": "East", "max_executions_per_hour": None}))
    expected = rule(name="East", description="dry", cooldown_s=60, mode="level")
    assert after == expected
    other = {**THRESHOLD, "value": 35}
    after = patched(RuleSettings, before, RulePatch.model_validate({"conditions": [other], "description": None}))
    assert after == rule(conditions=[other], cooldown_s=60, mode="level", max_executions_per_hour=3)


def test_a_patch_that_does_not_fit_the_rest_is_refused():
    with pytest.raises(RpcError, match="needs a cooldown_s"):
        patched(RuleSettings, stored(), RulePatch(mode="level"))
