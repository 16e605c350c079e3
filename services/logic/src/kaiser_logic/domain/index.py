"""Finds the rules that name a sensor or a kind of alarm, the rules that command an actuator, and its holders; pure."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from kaiser_common.contract.schemas.api.logic import Rule

from kaiser_logic.domain.readings import Place
from kaiser_logic.domain.rules import ActuatorHolder, actuators, alarm_kinds, sensors
from kaiser_logic.domain.state import Hold


class RuleIndex:
    """So that a reading costs what the rules cost that name its sensor, however many others there are."""

    def __init__(self) -> None:
        self._by_sensor: dict[Place, set[tuple[str | None, str]]] = defaultdict(set)
        self._by_alarm: dict[str, set[str]] = defaultdict(set)
        self._by_actuator: dict[Place, set[str]] = defaultdict(set)
        self._holders: dict[Place, dict[str, ActuatorHolder]] = defaultdict(dict)

    def add(self, rule: Rule) -> None:
        """Take a rule in."""
        for place, sensor_type, _ in sensors(rule):
            self._by_sensor[place].add((sensor_type, rule.rule_id))
        for kind in alarm_kinds(rule):
            self._by_alarm[kind].add(rule.rule_id)
        for place in actuators(rule):
            self._by_actuator[place].add(rule.rule_id)

    def remove(self, rule: Rule) -> None:
        """Take a rule out."""
        for place, sensor_type, _ in sensors(rule):
            _drop(self._by_sensor, place, (sensor_type, rule.rule_id))
        for kind in alarm_kinds(rule):
            _drop(self._by_alarm, kind, rule.rule_id)
        for place in actuators(rule):
            _drop(self._by_actuator, place, rule.rule_id)

    def names(self, place: Place) -> bool:
        """Whether a rule names a sensor there."""
        return place in self._by_sensor

    def concerned(self, place: Place, kind: str | None) -> set[str]:
        """The rules that name a sensor of this type (lower case; None of any) there."""
        named = self._by_sensor.get(place, ())
        return {rule_id for sensor_type, rule_id in named if kind is None or sensor_type in (None, kind)}

    def of_alarm(self, kind: str) -> set[str]:
        """The rules that name a kind of alarm."""
        return set(self._by_alarm.get(kind, ()))

    def holders_of(self, rule: Rule) -> dict[Place, list[ActuatorHolder]]:
        """The holders of the actuators that a rule commands."""
        return {place: list(self._holders[place].values()) for place in actuators(rule) if place in self._holders}

    def hold(self, rule: Rule, holds: Iterable[Hold], at_ms: int) -> None:
        """Note what a rule holds since at_ms."""
        for hold in holds:
            holder = ActuatorHolder(rule.rule_id, rule.name, rule.priority, at_ms, hold)
            self._holders[hold.esp_id, hold.gpio][rule.rule_id] = holder

    def release(self, rule_id: str, holds: Iterable[Hold]) -> set[str]:
        """Release the actuators that a rule held; the other rules that command them."""
        freed: set[str] = set()
        for hold in holds:
            place = (hold.esp_id, hold.gpio)
            holders = self._holders.get(place, {})
            if holders.pop(rule_id, None) is not None:
                freed |= self._by_actuator.get(place, set())
            if not holders:
                self._holders.pop(place, None)
        return freed - {rule_id}


def _drop(index: dict[Any, Any], place: Any, what: Any) -> None:
    if place in index:
        index[place].discard(what)
        if not index[place]:
            del index[place]
