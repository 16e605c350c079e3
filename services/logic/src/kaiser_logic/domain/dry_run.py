"""The dry run of a rule with given or current values, with reasons; pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from kaiser_common.contract.schemas.api.logic import Rule, TestRequest, TestResult
from kaiser_common.contract.schemas.api.rules import (
    Action,
    ActuatorAction,
    AlarmAction,
    Delay,
    Notification,
    RuleSettings,
    Sequence,
)

from kaiser_logic.domain.conditions import Evaluation, evaluate
from kaiser_logic.domain.engine import Engine
from kaiser_logic.domain.readings import ANY, Place, Readings, RuleInput
from kaiser_logic.domain.state import ConditionMemory, RuleState
from kaiser_logic.domain.view import ALWAYS_MS, View


def dry_run(
    engine: Engine, rule: Rule, request: TestRequest, now_ms: int, readings: Readings | None = None
) -> TestResult:
    """Evaluate with what the rule remembers now; nothing is changed and nothing is sent. readings: in place of those
    that the engine watches."""
    at_ms = now_ms if request.at is None else request.at
    state = engine.states.get(rule.rule_id) or RuleState(version=rule.version)
    view = engine.view if readings is None else replace(engine.view, readings=readings)
    found = _evaluated(view, rule, state.memory, request, at_ms)
    why = engine.blocked(rule, state, at_ms)
    if found.result is not True:
        reason = _not_true(found)
    elif not rule.enabled:
        reason = "the conditions are true, but the rule is disabled"
    elif why is not None:
        reason = f"the conditions are true, but: {why.text}"
    elif not state.armed:
        reason = "the conditions are true, and it has fired since they became so; mode edge fires once"
    else:
        reason = "the conditions are true and nothing keeps it from firing"
    fires = found.result is True and rule.enabled and why is None and state.armed
    return TestResult(
        rule_id=rule.rule_id,
        at=at_ms,
        result=found.result,
        would_fire=fires,
        reason=reason,
        conditions=found.reports,
        actions=[describe(action) for action in rule.actions],
    )


def unstored(settings: RuleSettings, now_ms: int) -> Rule:
    """A rule of these settings that no store has; its id is empty."""
    return Rule.model_validate(
        {**settings.model_dump(mode="json"), "rule_id": "", "created_at": now_ms, "updated_at": now_ms}
    )


def recalled(known: Iterable[RuleInput], places: Iterable[Place], now_ms: int, late_ms: int, known_ms: int) -> Readings:
    """The newest stored readings of places, as rules would see them. A value older than known_ms is unknown."""
    readings = Readings(late_ms)
    for place in places:
        readings.watch(place)
    for reading in known:
        readings.recall(reading, now_ms, known_ms)
    return readings


def _evaluated(
    view: View, rule: Rule, past: Mapping[str, ConditionMemory], request: TestRequest, at_ms: int
) -> Evaluation:
    """With given values these are looked at twice: when they are supposed to have come, and at the time of the test. At
    another time than now the newest values are supposed to be those of that time."""
    if request.at is not None:
        view = replace(view, known_ms=ALWAYS_MS, away={})
    if request.values:
        given = [
            RuleInput(
                value.esp_id,
                value.gpio,
                value.sensor_type or ANY,
                at_ms,
                value.value,
                value.quality,
                address=value.address,
            )
            for value in request.values
        ]
        view = replace(view, readings=view.readings.supposing(given, at_ms))
        past = evaluate(rule.conditions, past, view, at_ms - int(request.held_s * 1000)).memory
    return evaluate(rule.conditions, past, view, at_ms, explain=True)


def _not_true(found: Evaluation) -> str:
    wanted = "are false" if found.result is False else "are not known"
    for report in found.reports:
        if report.result is found.result and report.type != "compound":
            return f"the conditions {wanted}: {report.path} {report.detail}"
    return f"the conditions {wanted}"


def describe(action: Action) -> str:
    """An action in words."""
    match action:
        case ActuatorAction():
            value = f" {action.value:g}" if action.value is not None else ""
            duration = f" for {action.duration_s} s" if action.duration_s else ""
            return f"{action.command}{value} to {action.esp_id} gpio {action.gpio}{duration}"
        case Notification():
            webhook = f" and POST it to {action.webhook_url.host}" if action.webhook_url else ""
            return f"notify of {action.message!r} as {action.severity}{webhook}"
        case AlarmAction():
            ending = " until the conditions are false" if action.clear_when_false else ""
            severity = f" ({action.severity})" if action.do == "raise" else ""
            return f"{action.do} the alarm {action.name}{severity}{ending}"
        case Delay():
            return f"wait {action.seconds:g} s"
        case Sequence():
            ending = "" if action.abort_on_failure else ", going on after a failure"
            return f"in sequence{ending}: " + "; ".join(map(describe, action.actions))
