"""Evaluates a rule's conditions in three-valued logic: true, false, or unknown without a usable reading; pure.

An unknown condition never fires a rule and does not end a true one: timers continue, and the rule waits for a usable
reading.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kaiser_common.contract.schemas.api.logic import ConditionReport
from kaiser_common.contract.schemas.api.rules import (
    AlarmCondition,
    Compound,
    Condition,
    Hysteresis,
    OfSensor,
    SensorThreshold,
    Stale,
    TimeWindow,
)
from kaiser_common.contract.times import time_of

from kaiser_logic.domain.alarms import Alarms
from kaiser_logic.domain.readings import Away, Newest, Readings
from kaiser_logic.domain.state import ConditionMemory
from kaiser_logic.domain.windows import contains, look_again_at

Known = bool | None

_NOTHING = ConditionMemory()

ALWAYS_MS = 2**63
"""Longer than any age of a value."""


@dataclass(frozen=True, slots=True)
class View:
    """The inputs of conditions. listening_since (ms): silence before it is Kaiser's and not the sensors'; grace_ms: for
    this time after it no sensor is stale, unless its after_s is shorter. known_ms: an older value is unknown. away: by
    device, when it was last found offline: a value that came before is unknown. It is asked at each evaluation, so it
    counts at once, after a restart too, whichever comes first: the news or a reading from before it."""

    readings: Readings
    listening_since: int = 0
    grace_ms: int = 0
    known_ms: int = ALWAYS_MS
    alarms: Alarms = field(default_factory=Alarms)
    away: Mapping[str, Away] = field(default_factory=dict)


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
    results = [
        _evaluate(condition, str(place), past, view, now_ms, found, explain)
        for place, condition in enumerate(conditions)
    ]
    found.result = all_of(results)
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


def _evaluate(
    condition: Condition,
    path: str,
    past: Mapping[str, ConditionMemory],
    view: View,
    now_ms: int,
    found: Evaluation,
    explain: bool,
) -> Known:
    memory = past.get(path, _NOTHING)
    on, watched = memory.on, memory.watched
    place = len(found.reports)
    detail, until = "", None
    match condition:
        case Compound():
            results = [
                _evaluate(one, f"{path}.{index}", past, view, now_ms, found, explain)
                for index, one in enumerate(condition.conditions)
            ]
            result = _combined(condition, results)
            detail = f"{condition.operator} of {len(results)}"
        case SensorThreshold():
            newest = _newest(condition, view)
            value = _known_value(condition, newest, view, now_ms)
            result = None if value is None else compare(condition, value)
            if explain:
                detail, until = _explained(condition, newest, value, view, _limits(condition))
        case Hysteresis():
            newest = _newest(condition, view)
            value = _known_value(condition, newest, view, now_ms)
            result = None if value is None else crossed(condition, value, on)
            on = on if result is None else result
            if explain:
                detail, until = _explained(condition, newest, value, view, _hysteresis_limits(condition, on))
        case AlarmCondition():
            result = view.alarms.holds(condition)
            detail = _alarm_detail(condition, result)
        case TimeWindow():
            result = contains(condition, now_ms)
            found.wake(look_again_at(condition, now_ms))
            detail = f"{condition.start} to {condition.end} {condition.timezone}"
        case Stale():
            watched = now_ms if watched is None else watched
            newest = _newest(condition, view)
            last = watched if newest is None or newest.usable_at is None else newest.usable_at
            after_ms = int(condition.after_s * 1000)
            stale_at = max(last + after_ms, view.listening_since + min(after_ms, view.grace_ms))
            result = now_ms >= stale_at
            if not result:
                found.wake(stale_at)
            silent_s = (now_ms - last) / 1000
            detail = f"{_name(condition)}: {silent_s:g} s without a usable reading, stale after {condition.after_s:g} s"
    since = memory.since
    if condition.for_s:
        result, since, held = _held(result, since, int(condition.for_s * 1000), now_ms, found)
        detail += held
    new = ConditionMemory(on, since, watched)
    if new != _NOTHING:
        found.memory[path] = new
    if explain:
        report = ConditionReport(path=path, type=condition.type, result=result, detail=detail, known_until=until)
        found.reports.insert(place, report)
    return result


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


def _newest(condition: OfSensor, view: View) -> Newest | None:
    return view.readings.of((condition.esp_id, condition.gpio), condition.sensor_type, condition.address)


def _known_value(condition: OfSensor, newest: Newest | None, view: View, now_ms: int) -> float | None:
    if newest is None or not newest.known or newest.usable_at is None:
        return None
    if _away_since(condition, newest, view) is not None:
        return None
    return newest.value if now_ms - newest.usable_at <= view.known_ms else None


def _away_since(condition: OfSensor, newest: Newest, view: View) -> int | None:
    """Until when (ms) a value was known whose device has been found offline since it came; None for any other."""
    away = view.away.get(condition.esp_id)
    if away is None or away.at is None or newest.received_at > away.at:
        return None
    return max(newest.received_at, away.since or 0)


def _name(condition: OfSensor) -> str:
    address = f" address {condition.address}" if condition.address else ""
    return f"{condition.sensor_type or 'sensor'} of {condition.esp_id} gpio {condition.gpio}{address}"


def _ambiguity(condition: OfSensor, view: View) -> str:
    """The note in a report if a condition without an address matches several sensors."""
    if condition.address is not None:
        return ""
    count = view.readings.count((condition.esp_id, condition.gpio), condition.sensor_type)
    return f"; the newest of {count} sensors there: give an address to name one" if count > 1 else ""


def _explained(
    condition: OfSensor, newest: Newest | None, value: float | None, view: View, limits: str
) -> tuple[str, int | None]:
    """A condition in words, and until when (ms) its value was known, where that ended with its device going offline."""
    more = _ambiguity(condition, view)
    until = None if newest is None or newest.value is None else _away_since(condition, newest, view)
    if newest is None or newest.value is None or until is None:
        return _sensor_detail(condition, newest, value, limits) + more, None
    text = f"last known {newest.value:g}, not known since {time_of(until):%Y-%m-%d %H:%M:%S} UTC"
    return f"{_name(condition)}: {text}, when its device went offline, wants {limits}{more}", until


def _sensor_detail(condition: OfSensor, newest: Newest | None, value: float | None, limits: str) -> str:
    if newest is None:
        return f"{_name(condition)}: no reading yet, wants {limits}"
    if not newest.known:
        return f"{_name(condition)}: its newest reading is not usable, wants {limits}"
    if value is None:
        return f"{_name(condition)}: its newest reading is too old, wants {limits}"
    return f"{_name(condition)} is {value:g}, wants {limits}"


def _alarm_detail(condition: AlarmCondition, result: Known) -> str:
    of = f" of {condition.source}" if condition.source is not None else ""
    on = f" on {condition.esp_id}" if condition.esp_id is not None else ""
    worse = f", {condition.severity} or worse," if condition.severity is not None else ""
    found = {None: "its alarms are not known yet", True: "there is one", False: "there is none"}[result]
    return f"an alarm {condition.kind}{of}{on}{worse} {condition.state}: {found}"


def _limits(condition: SensorThreshold) -> str:
    if condition.operator == "between":
        return f"{condition.min:g} to {condition.max:g}"
    return f"{condition.operator} {condition.value:g}"


def _hysteresis_limits(condition: Hysteresis, on: bool) -> str:
    if condition.activate_above is not None:
        limits = f"> {condition.activate_above:g} until < {condition.deactivate_below:g}"
    else:
        limits = f"< {condition.activate_below:g} until > {condition.deactivate_above:g}"
    return f"{limits}, now {'on' if on else 'off'}"
