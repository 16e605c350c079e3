"""Evaluates a rule's conditions in three-valued logic: true, false, or unknown without a usable reading; pure.

An unknown condition never fires a rule and does not end a true one: timers continue, and the rule waits for a usable
reading.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from kaiser_common.contract.schemas.api.logic import ConditionReport
from kaiser_common.contract.schemas.api.rules import (
    AlarmCondition,
    Compound,
    Condition,
    Hysteresis,
    SensorThreshold,
    Stale,
    TimeWindow,
)

from kaiser_logic.domain.condition_texts import (
    alarm_text,
    hysteresis_limits,
    sensor_text,
    stale_text,
    threshold_limits,
)
from kaiser_logic.domain.state import ConditionMemory
from kaiser_logic.domain.view import View
from kaiser_logic.domain.windows import contains, look_again_at

Known = bool | None

_NOTHING = ConditionMemory()


@dataclass(slots=True)
class Evaluation:
    """The result, what to remember, when to look again without a reading (ms), and why (where asked for)."""

    result: Known = None
    memory: dict[str, ConditionMemory] = field(default_factory=dict)
    wake_at: int | None = None
    reports: list[ConditionReport] = field(default_factory=list)

    def wake(self, at_ms: int) -> None:
        """Look again at a time, if not earlier."""
        if self.wake_at is None or at_ms < self.wake_at:
            self.wake_at = at_ms


def evaluate(
    conditions: Sequence[Condition],
    past: Mapping[str, ConditionMemory],
    view: View,
    now_ms: int,
    *,
    explain: bool = False,
) -> Evaluation:
    """Evaluate all conditions, each with what it remembers from the last time."""
    found = Evaluation()
    look = _Look(past, view, now_ms, explain, found)
    found.result = all_of([look.at(condition, str(place)) for place, condition in enumerate(conditions)])
    return found


def all_of(results: Iterable[Known]) -> Known:
    """False if one is false, else not known if one is not, else true."""
    known = True
    for result in results:
        if result is False:
            return False
        known = known and result is not None
    return True if known else None


def any_of(results: Iterable[Known]) -> Known:
    """True if one is true, else not known if one is not, else false."""
    return negated(all_of([negated(result) for result in results]))


def negated(result: Known) -> Known:
    """Unknown stays unknown."""
    return None if result is None else not result


def compare(condition: SensorThreshold, value: float) -> bool:
    """Whether a value satisfies a threshold."""
    if condition.operator == "between":
        return (condition.min or 0.0) <= value <= (condition.max or 0.0)
    limit = condition.value or 0.0
    match condition.operator:
        case ">":
            return value > limit
        case ">=":
            return value >= limit
        case "<":
            return value < limit
        case "<=":
            return value <= limit
        case "==":
            return value == limit
        case "!=":
            return value != limit


def crossed(condition: Hysteresis, value: float, on: bool) -> bool:
    """Whether a hysteresis is on after a value, given how it was."""
    if condition.activate_above is not None and condition.deactivate_below is not None:
        return value >= condition.deactivate_below if on else value > condition.activate_above
    if condition.activate_below is not None and condition.deactivate_above is not None:
        return value <= condition.deactivate_above if on else value < condition.activate_below
    raise AssertionError("a hysteresis has one pair of limits: the model sees to it")


class _Standing(NamedTuple):
    """How a condition stands, whatever its `for_s`. memory: what to remember of it; detail: why, where asked for;
    known_until: see ConditionReport."""

    result: Known
    memory: ConditionMemory
    detail: str = ""
    known_until: int | None = None


@dataclass(frozen=True, slots=True)
class _Look:
    """One evaluation: what it looks at, and what it has found so far."""

    past: Mapping[str, ConditionMemory]
    view: View
    now_ms: int
    explain: bool
    found: Evaluation

    def at(self, condition: Condition, path: str) -> Known:
        """The result of the condition at a path; what to remember of it and its report are added to `found`."""
        past = self.past.get(path, _NOTHING)
        place = len(self.found.reports)
        result, memory, detail, known_until = self._standing(condition, path, past)
        since = past.since
        if condition.for_s:
            result, since, held = _held(result, since, int(condition.for_s * 1000), self.now_ms, self.found)
            detail += held
        new = ConditionMemory(memory.on, since, memory.watched)
        if new != _NOTHING:
            self.found.memory[path] = new
        if self.explain:
            report = ConditionReport(
                path=path, type=condition.type, result=result, detail=detail, known_until=known_until
            )
            self.found.reports.insert(place, report)
        return result

    def _standing(self, condition: Condition, path: str, past: ConditionMemory) -> _Standing:
        match condition:
            case Compound():
                results = [self.at(one, f"{path}.{index}") for index, one in enumerate(condition.conditions)]
                return _Standing(_combined(condition, results), past, f"{condition.operator} of {len(results)}")
            case SensorThreshold():
                return self._threshold(condition, past)
            case Hysteresis():
                return self._hysteresis(condition, past)
            case AlarmCondition():
                result = self.view.alarms.holds(condition)
                return _Standing(result, past, alarm_text(condition, result))
            case TimeWindow():
                self.found.wake(look_again_at(condition, self.now_ms))
                detail = f"{condition.start} to {condition.end} {condition.timezone}"
                return _Standing(contains(condition, self.now_ms), past, detail)
            case Stale():
                return self._stale(condition, past)

    def _threshold(self, condition: SensorThreshold, past: ConditionMemory) -> _Standing:
        newest = self.view.newest(condition)
        value = self.view.known_value(condition, newest, self.now_ms)
        result = None if value is None else compare(condition, value)
        if not self.explain:
            return _Standing(result, past)
        return _Standing(result, past, *sensor_text(condition, newest, value, self.view, threshold_limits(condition)))

    def _hysteresis(self, condition: Hysteresis, past: ConditionMemory) -> _Standing:
        newest = self.view.newest(condition)
        value = self.view.known_value(condition, newest, self.now_ms)
        result = None if value is None else crossed(condition, value, past.on)
        on = past.on if result is None else result
        memory = replace(past, on=on)
        if not self.explain:
            return _Standing(result, memory)
        limits = hysteresis_limits(condition, on=on)
        return _Standing(result, memory, *sensor_text(condition, newest, value, self.view, limits))

    def _stale(self, condition: Stale, past: ConditionMemory) -> _Standing:
        watched = self.now_ms if past.watched is None else past.watched
        newest = self.view.newest(condition)
        last = watched if newest is None or newest.usable_at is None else newest.usable_at
        after_ms = int(condition.after_s * 1000)
        stale_at = max(last + after_ms, self.view.listening_since + min(after_ms, self.view.grace_ms))
        result = self.now_ms >= stale_at
        if not result:
            self.found.wake(stale_at)
        return _Standing(result, replace(past, watched=watched), stale_text(condition, self.now_ms - last))


def _combined(condition: Compound, results: list[Known]) -> Known:
    match condition.operator:
        case "AND":
            return all_of(results)
        case "OR":
            return any_of(results)
        case "NOT":
            return negated(results[0])


def _held(
    result: Known, since: int | None, for_ms: int, now_ms: int, found: Evaluation
) -> tuple[Known, int | None, str]:
    """The result of a condition that must hold for a time, since when it does, and that in words."""
    if result is None:
        return None, since, ""
    if not result:
        return False, None, ""
    since = now_ms if since is None else since
    due_at = since + for_ms
    text = f", for {(now_ms - since) / 1000:g} s of {for_ms / 1000:g} s"
    if now_ms >= due_at:
        return True, since, text
    found.wake(due_at)
    return False, since, text
