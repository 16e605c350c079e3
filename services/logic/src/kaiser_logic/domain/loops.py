"""Finds, when a rule is saved, rules that would trigger each other endlessly; pure.

A rule reads an actuator's state as a sensor of type `actuator`. There is an edge from rule A to rule B if a command of
A, or an alarm that A raises or clears, can make a condition of B true; a cycle of edges is a loop. A loop through the
physical process (a heater and a thermometer), or through an alarm that another service raises (a command that fails),
cannot be seen here: the limit at run time stops it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from kaiser_common.contract.schemas.api.logic import Rule
from kaiser_common.contract.schemas.api.rules import (
    RULE_ALARM,
    ActuatorAction,
    AlarmAction,
    AlarmCondition,
    Compound,
    Condition,
    Hysteresis,
    OfSensor,
    SensorThreshold,
    Stale,
)

from kaiser_logic.domain.conditions import compare, crossed
from kaiser_logic.domain.readings import ACTUATOR, Place
from kaiser_logic.domain.rules import alarming, flat


def find_loop(rule: Rule, others: Iterable[Rule]) -> list[str] | None:
    """The names along a cycle through `rule`, its own at both ends; None if there is no cycle. Disabled rules do not
    count, nor does a former version of the rule itself."""
    if not rule.enabled:
        return None
    rules = {other.rule_id: other for other in others if other.enabled and other.rule_id != rule.rule_id}
    rules[rule.rule_id] = rule
    trail: dict[str, str | None] = {}
    waiting: list[tuple[str, str | None]] = [(rule.rule_id, None)]
    while waiting:
        current, came_from = waiting.pop(0)
        if current == rule.rule_id and came_from is not None:
            return _names(rules, trail, came_from, rule)
        if current in trail:
            continue
        trail[current] = came_from
        waiting.extend((other.rule_id, current) for other in rules.values() if sets_off(rules[current], other))
    return None


_BRINGS: Mapping[tuple[str, bool], frozenset[str]] = MappingProxyType(
    {
        ("raise", True): frozenset({"standing", "raised"}),
        ("raise", False): frozenset({"acknowledged", "cleared"}),
        ("clear", True): frozenset({"cleared"}),
        ("clear", False): frozenset({"standing", "raised", "acknowledged"}),
    }
)
"""By what is done to an alarm, and what a condition on its state can turn to by it: the states."""
_RANK: Mapping[str, int] = MappingProxyType({"info": 0, "warning": 1, "error": 1, "critical": 2})


class AlarmChange(NamedTuple):
    """A rule's change of an alarm. severity: of an alarm that is raised."""

    do: str
    kind: str
    source: str
    severity: str


def alarm_changes(rule: Rule) -> Iterator[AlarmChange]:
    """The changes that a rule's actions make to alarms: a notification from `warning` on raises one of the rule."""
    for action in flat(rule):
        if isinstance(action, AlarmAction):
            yield AlarmChange(action.do, RULE_ALARM, action.name, action.severity)
            if action.clear_when_false:
                yield AlarmChange("clear", RULE_ALARM, action.name, action.severity)
    for notification, further in alarming(rule).values():
        source = f"{rule.rule_id}/{further}" if further else rule.rule_id
        yield AlarmChange("raise", "rule_notification", source, notification.severity)


def sets_off(rule: Rule, other: Rule) -> bool:
    """Whether a command of one rule, or what it does to an alarm, can bring a condition of another about."""
    if any(
        alarm_can_bring_about(condition, change, True)
        for change in alarm_changes(rule)
        for condition in other.conditions
    ):
        return True
    return any(
        can_bring_about(condition, (action.esp_id, action.gpio), values_of(action), True)
        for action in flat(rule)
        if isinstance(action, ActuatorAction)
        for condition in other.conditions
    )


def alarm_can_bring_about(condition: Condition, change: AlarmChange, wanted: bool) -> bool:
    """Whether a change of an alarm can turn a condition to `wanted`. Its device is not known before: any may be it."""
    if isinstance(condition, Compound):
        wanted = wanted is not (condition.operator == "NOT")
        return any(alarm_can_bring_about(one, change, wanted) for one in condition.conditions)
    if not isinstance(condition, AlarmCondition) or condition.kind != change.kind:
        return False
    if condition.source not in (None, change.source) or condition.state not in _BRINGS[change.do, wanted]:
        return False
    is_milder = change.do == "raise" and wanted and _RANK[change.severity] < _RANK[condition.severity or "info"]
    return not is_milder


def values_of(action: ActuatorAction) -> list[float]:
    """The values that an actuator may take by a command."""
    match action.command:
        case "OFF":
            return [0.0]
        case "TOGGLE":
            return [0.0, 1.0]
        case _:
            reached = 1.0 if action.value is None else action.value
            return [reached, 0.0] if action.duration_s else [reached]


def can_bring_about(condition: Condition, place: Place, values: Sequence[float], wanted: bool) -> bool:
    """Whether an actuator's taking one of the values can turn a condition to `wanted`."""
    if isinstance(condition, Compound):
        wanted = wanted is not (condition.operator == "NOT")
        return any(can_bring_about(one, place, values, wanted) for one in condition.conditions)
    if not isinstance(condition, OfSensor) or (condition.esp_id, condition.gpio) != place:
        return False
    if (condition.sensor_type or ACTUATOR).lower() != ACTUATOR:
        return False
    match condition:
        case SensorThreshold():
            return any(compare(condition, value) is wanted for value in values)
        case Hysteresis():
            return any(crossed(condition, value, not wanted) is wanted for value in values)
        case Stale():
            return not wanted
        case _:
            return False


def _names(rules: dict[str, Rule], trail: dict[str, str | None], last: str, rule: Rule) -> list[str]:
    names = [rule.name]
    step: str | None = last
    while step is not None:
        names.append(rules[step].name)
        step = trail[step]
    return names[::-1]
