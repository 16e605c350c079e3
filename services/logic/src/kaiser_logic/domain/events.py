"""Events and records of the logic service, built from what happened; pure."""

from typing import Any

from kaiser_common.bus.connection import Outgoing
from kaiser_common.bus.events import system_event, to_event
from kaiser_common.contract.schemas.api.logic import ActionResult, Execution, Outcome, Rule
from kaiser_common.contract.schemas.api.rules import AlarmAction
from kaiser_common.contract.schemas.device import Severity
from kaiser_common.contract.schemas.event import LogicExecutionEvent
from kaiser_common.contract.subjects import execution_subject
from kaiser_common.contract.system_events import SystemEventName

from kaiser_logic.domain.effects import Suppressed
from kaiser_logic.domain.ends import RuleEnd
from kaiser_logic.domain.rules import alarming
from kaiser_logic.domain.state import Running


def execution(
    rule_name: str, rule_id: str, running: Running, outcome: Outcome, reason: str | None, now_ms: int | None
) -> Execution:
    """An execution as it stands; now_ms None while it runs."""
    return Execution(
        execution_id=running.execution_id,
        rule_id=rule_id,
        rule_name=rule_name,
        outcome=outcome,
        reason=reason,
        trigger=running.trigger,
        decisions=running.decisions,
        actions=running.results,
        started_at=running.started_at,
        ended_at=now_ms,
        duration_ms=None if now_ms is None else now_ms - running.started_at,
    )


def suppression(suppressed: Suppressed) -> Execution:
    """That a rule was kept from firing."""
    return Execution(
        execution_id=suppressed.execution_id,
        rule_id=suppressed.rule.rule_id,
        rule_name=suppressed.rule.name,
        outcome="suppressed",
        reason=suppressed.why.text,
        trigger=suppressed.trigger,
        decisions=suppressed.decisions,
        started_at=suppressed.at,
        ended_at=suppressed.at,
        duration_ms=0,
    )


def record(done: Execution) -> Outgoing:
    """For the table."""
    message_id = f"execution-{done.execution_id}-{done.outcome}"
    return Outgoing(execution_subject(done.rule_id), done.model_dump_json().encode(), message_id)


def event(done: Execution) -> Outgoing:
    """logic_execution, under the device of the trigger."""
    esp_id = done.trigger.get("esp_id")
    body = LogicExecutionEvent(
        rule_id=done.rule_id,
        rule_name=done.rule_name,
        execution_id=done.execution_id,
        success=done.outcome == "succeeded",
        outcome=done.outcome,
        esp_id=esp_id,
        gpio=done.trigger.get("gpio"),
        trigger=done.trigger,
        decisions=[report.model_dump() for report in done.decisions],
        actions=[action.model_dump(exclude_none=True) for action in done.actions],
        reason=done.reason,
        duration_ms=done.duration_ms,
        ts=done.started_at if done.ended_at is None else done.ended_at,
    )
    return to_event("logic_execution", esp_id, body, f"logic-{done.execution_id}")


def notification(rule: Rule, running: Running, path: str, message: str, severity: Severity, now_ms: int) -> Outgoing:
    """The system_event of a notification; `further` distinguishes its alarm from those of the rule's others."""
    details = {"rule_id": rule.rule_id, "rule_name": rule.name, "execution_id": running.execution_id}
    _, further = alarming(rule).get(path, (None, ""))
    if further:
        details["further"] = further
    return system_event(
        "rule_notification",
        message,
        now_ms,
        severity=severity,
        event_id=f"logic-{running.execution_id}-{path}",
        esp_id=running.trigger.get("esp_id"),
        details=details,
    )


def rule_alarm(rule: Rule, running: Running, path: str, action: AlarmAction, now_ms: int) -> Outgoing:
    """The system_event that raises or clears the alarm of a name."""
    name: SystemEventName = "rule_alarm_raised" if action.do == "raise" else "rule_alarm_cleared"
    message = action.message or f"rule {rule.name!r} clears the alarm {action.name}"
    details = {
        "name": action.name,
        "rule_id": rule.rule_id,
        "rule_name": rule.name,
        "execution_id": running.execution_id,
    }
    severity = action.severity if action.do == "raise" else "info"
    return system_event(
        name,
        message,
        now_ms,
        severity=severity,
        event_id=f"logic-{running.execution_id}-{path}",
        esp_id=running.trigger.get("esp_id"),
        details=details,
    )


def of_end(end: RuleEnd, now_ms: int) -> list[Outgoing]:
    """The system_events of a rule that is changed, disabled or removed: its alarms that no rule raises any more are
    over, and where it is not in force, it can neither fire nor fail."""
    details = {"rule_id": end.rule_id, "rule_name": end.rule_name}
    found = [_unraised(end, name, {"name": name, **details}, now_ms) for name in end.names]
    if end.withdrawn:
        message = f"rule {end.rule_name!r} is disabled or removed"
        event_id = f"logic-withdrawn-{end.rule_id}-{end.version}-{end.order}"
        found.append(system_event("rule_withdrawn", message, now_ms, event_id=event_id, details=details))
    return found


def _unraised(end: RuleEnd, name: str, details: dict[str, Any], now_ms: int) -> Outgoing:
    message = f"rule {end.rule_name!r}, which raised the alarm {name}, is changed, disabled or removed"
    event_id = f"logic-unraised-{end.rule_id}-{end.version}-{end.order}-{name}"
    return system_event("rule_alarm_cleared", message, now_ms, event_id=event_id, details=details)


def rule_alarm_over(rule: Rule, name: str, fired_at: int, now_ms: int) -> Outgoing:
    """The system_event that clears an alarm because the conditions that raised it, at fired_at, are false again."""
    message = f"the conditions of rule {rule.name!r} are false again"
    details = {"name": name, "rule_id": rule.rule_id, "rule_name": rule.name}
    event_id = f"logic-over-{rule.rule_id}-{fired_at}-{name}"
    return system_event("rule_alarm_cleared", message, now_ms, event_id=event_id, details=details)


def loop_suspected(suppressed: Suppressed) -> Outgoing:
    """The system_event of a rule that fired too often."""
    rule = suppressed.rule
    return system_event(
        "rule_loop_suspected",
        f"rule {rule.name!r}: {suppressed.why.text}",
        suppressed.at,
        severity="error",
        event_id=f"loop-{suppressed.execution_id}",
        esp_id=suppressed.trigger.get("esp_id"),
        details={"rule_id": rule.rule_id, "rule_name": rule.name, "until": suppressed.why.until},
    )


def webhook_body(rule: Rule, running: Running, message: str, severity: Severity, now_ms: int) -> dict[str, Any]:
    """The body that is posted to a webhook."""
    return {
        "rule_id": rule.rule_id,
        "rule_name": rule.name,
        "execution_id": running.execution_id,
        "message": message,
        "severity": severity,
        "trigger": running.trigger,
        "ts": now_ms,
    }


def first_failure(results: list[ActionResult]) -> str | None:
    """The first failure among results, in words."""
    for result in results:
        if result.state == "failed":
            return f"action {result.path}: {result.detail}"
    return None
