"""Loops between rules, found when a rule is saved."""

import pytest
from kaiser_logic.domain.loops import find_loop


def reads(esp_id: str, operator: str, value: float, **more) -> dict:
    condition = {"type": "sensor", "esp_id": esp_id, "gpio": 1, "sensor_type": "actuator"}
    return {**condition, "operator": operator, "value": value, **more}


def drives(esp_id: str, command: str, **more) -> dict:
    return {"type": "actuator", "esp_id": esp_id, "gpio": 1, "command": command, **more}


def not_(condition: dict) -> dict:
    return {"type": "compound", "operator": "NOT", "conditions": [condition]}


@pytest.mark.parametrize(
    ("condition", "action", "loops"),
    [
        (reads("ESP_A", "==", 0), drives("ESP_A", "ON"), False),
        (reads("ESP_A", "==", 0), drives("ESP_A", "ON", duration_s=60), True),
        (reads("ESP_A", ">", 0.5, for_s=600), drives("ESP_A", "OFF"), False),
        (reads("ESP_A", ">", 0.5), drives("ESP_A", "TOGGLE"), True),
        (reads("ESP_A", ">", 0.5), drives("ESP_A", "PWM", value=0.4), False),
        (reads("ESP_A", ">", 0.5), drives("ESP_A", "PWM", value=0.6), True),
        (not_(reads("ESP_A", ">", 0.5)), drives("ESP_A", "OFF"), True),
        (not_(reads("ESP_A", ">", 0.5)), drives("ESP_A", "ON"), False),
        (reads("ESP_A", ">", 0.5, sensor_type="temperature"), drives("ESP_A", "ON"), False),
        (reads("ESP_A", ">", 0.5, sensor_type=None), drives("ESP_A", "ON"), True),
        (reads("ESP_A", ">", 0.5, gpio=2), drives("ESP_A", "ON"), False),
        ({"type": "stale", "esp_id": "ESP_A", "gpio": 1, "after_s": 60}, drives("ESP_A", "ON"), False),
        (not_({"type": "stale", "esp_id": "ESP_A", "gpio": 1, "after_s": 60}), drives("ESP_A", "ON"), True),
        (
            {
                "type": "hysteresis",
                "esp_id": "ESP_A",
                "gpio": 1,
                "activate_below": 0.2,
                "deactivate_above": 0.8,
            },
            drives("ESP_A", "OFF"),
            True,
        ),
    ],
)
def test_a_rule_that_sets_itself_off_is_a_loop(make_rule, condition, action, loops):
    rule = make_rule("one", conditions=[condition], actions=[action])
    assert find_loop(rule, []) == (["one", "one"] if loops else None)


def chain(make_rule, *names: str) -> list:
    """Each rule switches on what the next one reads; the last what the first reads."""
    return [
        make_rule(
            name,
            conditions=[reads(f"ESP_{place}", ">", 0.5)],
            actions=[{"type": "sequence", "actions": [drives(f"ESP_{(place + 1) % len(names)}", "ON")]}],
        )
        for place, name in enumerate(names)
    ]


def test_a_circle_of_rules_is_named_from_the_rule_that_is_saved(make_rule):
    first, second, third = chain(make_rule, "first", "second", "third")
    assert find_loop(third, [first, second]) == ["third", "first", "second", "third"]
    assert find_loop(third, [first]) is None


def test_disabled_rules_and_the_rules_own_former_version_do_not_count(make_rule):
    first, second = chain(make_rule, "first", "second")
    assert find_loop(second, [first]) == ["second", "first", "second"]
    assert find_loop(second, [first.model_copy(update={"enabled": False})]) is None
    assert find_loop(second.model_copy(update={"enabled": False}), [first]) is None
    harmless = make_rule("second", rule_id="second", conditions=[reads("ESP_Z", ">", 0.5)])
    assert find_loop(harmless, [first, second]) is None


def test_a_rule_outside_of_a_circle_is_no_loop(make_rule):
    first, second = chain(make_rule, "first", "second")
    onlooker = make_rule("onlooker", conditions=[reads("ESP_0", ">", 0.5)], actions=[drives("ESP_Z", "ON")])
    assert find_loop(onlooker, [first, second]) is None
