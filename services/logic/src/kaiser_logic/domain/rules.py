"""Whether a rule whose conditions are true may fire now, and what firing leaves behind; pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from kaiser_common.contract.schemas.api.logic import Rule
from kaiser_common.contract.schemas.api.rules import (
    ActuatorAction,
    AlarmAction,
    AlarmCondition,
    Delay,
    Notification,
    OfSensor,
    RuleSettings,
    Sequence,
    leaves,
)
from kaiser_common.contract.schemas.sensor import type_of

from kaiser_logic.domain.readings import Place
from kaiser_logic.domain.state import HOUR_MS, MINUTE_MS, Hold, RuleState
from kaiser_logic.domain.turns import Target

Reason = Literal["running", "loop", "backoff", "cooldown", "hourly_limit", "conflict"]


@dataclass(frozen=True, slots=True)
class Limits:
    """loop_fires: most firings of a rule within a minute, then it pauses. After a failed firing a rule waits
    backoff_first_ms, twice as long after each further failure, at most backoff_most_ms."""

    loop_fires: int = 20
    loop_pause_ms: int = 300_000
    backoff_first_ms: int = 5_000
    backoff_most_ms: int = 600_000


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why a rule may not fire; until (ms) where that is known. by: the rule that has the actuator."""

    reason: Reason
    text: str
    until: int | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class ActuatorHolder:
    """The holder of an actuator. at: since when (ms)."""

    rule_id: str
    name: str
    priority: int
    at: int
    hold: Hold


def blocked(
    rule: Rule, state: RuleState, holders: Mapping[Place, Iterable[ActuatorHolder]], limits: Limits, now_ms: int
) -> Blocked | None:
    """The reason that prevents a rule whose conditions are true from firing."""
    if state.running is not None:
        return Blocked("running", "its last execution has not ended")
    if state.paused_until is not None and now_ms < state.paused_until:
        return Blocked("loop", f"it fired {limits.loop_fires} times within a minute and pauses", state.paused_until)
    if state.backoff_until is not None and now_ms < state.backoff_until:
        return Blocked("backoff", f"its last {state.failures} executions failed", state.backoff_until)
    last = state.last_fired_at
    if last is not None and now_ms < last + rule.cooldown_s * 1000:
        until = last + int(rule.cooldown_s * 1000)
        return Blocked("cooldown", f"cooldown of {rule.cooldown_s:g} s since it last fired", until)
    most = rule.max_executions_per_hour
    if most is not None:
        within = [at for at in state.fired_at if at > now_ms - HOUR_MS]
        if len(within) >= most:
            return Blocked("hourly_limit", f"it fired {most} times within an hour", within[-most] + HOUR_MS)
    if _fires_too_often(state, limits, now_ms):
        text = f"it fired {limits.loop_fires} times within a minute and pauses"
        return Blocked("loop", text, now_ms + limits.loop_pause_ms)
    return _conflict(rule, holders, now_ms)


def _fires_too_often(state: RuleState, limits: Limits, now_ms: int) -> bool:
    return sum(at > now_ms - MINUTE_MS for at in state.fired_at) >= limits.loop_fires


def _conflict(rule: Rule, holders: Mapping[Place, Iterable[ActuatorHolder]], now_ms: int) -> Blocked | None:
    """A rule of higher priority, or one of the same that fired at this very time, has the actuator."""
    for place in actuators(rule):
        for holder in holders.get(place, ()):
            if holder.rule_id == rule.rule_id or (holder.hold.until is not None and now_ms >= holder.hold.until):
                continue
            if holder.priority > rule.priority or (holder.priority == rule.priority and holder.at == now_ms):
                who = f"rule {holder.name!r} of priority {holder.priority}"
                text = f"actuator {place[0]} gpio {place[1]} is held by {who}, this one has {rule.priority}"
                return Blocked("conflict", text, holder.hold.until, holder.rule_id)
    return None


def is_recorded(rule: Rule, why: Blocked) -> bool:
    """Whether a suppression is worth an entry: not what a rule does in its ordinary course."""
    return why.reason in ("loop", "hourly_limit", "conflict") or (why.reason == "cooldown" and rule.mode == "edge")


def fired(rule: Rule, state: RuleState, limits: Limits, now_ms: int) -> None:
    """Note in the state that the rule fires now."""
    keep = max(rule.max_executions_per_hour or 0, limits.loop_fires) - 1
    recent = [at for at in state.fired_at if at > now_ms - HOUR_MS]
    state.fired_at = [*recent[len(recent) - min(keep, len(recent)) :], now_ms]
    state.armed = rule.mode == "level"
    state.told = None
    state.holds = holds(rule, now_ms)
    state.raised = bool(self_clearing(rule))


def failed(state: RuleState, limits: Limits, now_ms: int) -> None:
    """Record that the rule's commands failed: it releases its actuators and tries again later."""
    state.failures += 1
    wait_ms = min(limits.backoff_first_ms * 2 ** min(state.failures - 1, 20), limits.backoff_most_ms)
    state.backoff_until = now_ms + wait_ms
    state.armed = True
    state.holds = []


def holds(rule: RuleSettings, now_ms: int) -> list[Hold]:
    """The actuators that a rule holds once it has fired: for the duration that it gave, or while it is true."""
    found: dict[Place, Hold] = {}
    delayed_ms = 0
    for action in flat(rule):
        if isinstance(action, Delay):
            delayed_ms += int(action.seconds * 1000)
        elif isinstance(action, ActuatorAction):
            until = now_ms + delayed_ms + action.duration_s * 1000 if action.duration_s else None
            found[action.esp_id, action.gpio] = Hold(action.esp_id, action.gpio, until)
    return list(found.values())


def steps(rule: RuleSettings) -> Iterator[tuple[str, object]]:
    """A rule's actions, those of sequences in their place, each with its path."""
    for index, action in enumerate(rule.actions):
        if isinstance(action, Sequence):
            yield from ((f"{index}.{place}", step) for place, step in enumerate(action.actions))
        else:
            yield str(index), action


def flat(rule: RuleSettings) -> Iterator[object]:
    """A rule's actions, those of sequences in their place."""
    return (action for _, action in steps(rule))


def alarming(rule: RuleSettings) -> Mapping[str, tuple[Notification, str]]:
    """By its path, each notification that raises an alarm, and what distinguishes this from the alarms of the rule's
    others: "" for the first, whose alarm is identified by the rule alone, else its path."""
    found: dict[str, tuple[Notification, str]] = {}
    for path, action in steps(rule):
        if isinstance(action, Notification) and action.severity != "info":
            found[path] = (action, path if found else "")
    return found


def prompt_actions(rule: RuleSettings) -> dict[str, Target]:
    """By its path, what each action acts on that comes without a delay, so by the values that the rule fired by."""
    found: dict[str, Target] = {}
    for path, action in steps(rule):
        if isinstance(action, Delay):
            break
        if isinstance(action, ActuatorAction | AlarmAction):
            found[path] = target_of(action)
    return found


def is_vital(action: ActuatorAction | AlarmAction) -> bool:
    """Whether it must not be lost by a newer one that is refused: it switches off, or raises an alarm."""
    if isinstance(action, AlarmAction):
        return action.do == "raise"
    return action.command == "OFF" or (action.command == "PWM" and action.value == 0.0)


def target_of(action: ActuatorAction | AlarmAction) -> Target:
    """The target of an action."""
    return action.name if isinstance(action, AlarmAction) else (action.esp_id, action.gpio)


def actuators(rule: RuleSettings) -> set[Place]:
    """The actuators that a rule commands."""
    return {(action.esp_id, action.gpio) for action in flat(rule) if isinstance(action, ActuatorAction)}


def sensors(rule: RuleSettings) -> set[tuple[Place, str | None, str | None]]:
    """The sensors that a rule names: place, type (no alias, lower case) and address, None for any."""
    return {
        ((leaf.esp_id, leaf.gpio), type_of(leaf.sensor_type) if leaf.sensor_type else None, leaf.address)
        for condition in rule.conditions
        for leaf in leaves(condition)
        if isinstance(leaf, OfSensor)
    }


def alarm_kinds(rule: RuleSettings) -> set[str]:
    """The kinds of alarms that a rule's conditions name."""
    return {
        leaf.kind for condition in rule.conditions for leaf in leaves(condition) if isinstance(leaf, AlarmCondition)
    }


def self_clearing(rule: RuleSettings) -> set[str]:
    """The names of the alarms that a rule raises, and that are over when its conditions are false."""
    return {action.name for action in flat(rule) if isinstance(action, AlarmAction) and action.clear_when_false}


def raised_names(rule: RuleSettings) -> set[str]:
    """The names of the alarms that a rule raises."""
    return {action.name for action in flat(rule) if isinstance(action, AlarmAction) and action.do == "raise"}


def cleared_names(rule: RuleSettings) -> set[str]:
    """The names of the alarms that a rule clears."""
    return {action.name for action in flat(rule) if isinstance(action, AlarmAction) and action.do == "clear"}
