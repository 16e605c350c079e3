"""Automation rules."""

from kaiser_common.contract.schemas.api.logic import ExecutionsPage, Outcome, Rule, RulesPage, TestRequest, TestResult
from kaiser_common.contract.schemas.api.rules import RuleSettings

from kaiser_client.call import Call

_ALL = "/api/v1/logic/rules"
_ONE = f"{_ALL}/{{rule_id}}"


def list_rules(
    *,
    enabled: bool | None = None,
    esp_id: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[RulesPage]:
    """Rules by name; of a device those that name it."""
    return Call("GET", _ALL, RulesPage, query={"enabled": enabled, "esp_id": esp_id, "limit": limit, "cursor": cursor})


def create_rule(settings: RuleSettings) -> Call[Rule]:
    """Add a rule, in force immediately."""
    return Call("POST", _ALL, Rule, body=settings)


def read_rule(rule_id: str) -> Call[Rule]:
    """One rule."""
    return Call("GET", _ONE, Rule, {"rule_id": rule_id})


def put_rule(rule_id: str, settings: RuleSettings) -> Call[Rule]:
    """Replace a rule, in force immediately."""
    return Call("PUT", _ONE, Rule, {"rule_id": rule_id}, body=settings)


def delete_rule(rule_id: str) -> Call[None]:
    """Remove a rule; what it did stays recorded."""
    return Call("DELETE", _ONE, type(None), {"rule_id": rule_id})


def test_rule(rule_id: str, request: TestRequest) -> Call[TestResult]:
    """Dry run: nothing is sent."""
    return Call("POST", f"{_ONE}/test", TestResult, {"rule_id": rule_id}, body=request)


def list_executions(
    *,
    rule_id: str | None = None,
    outcome: Outcome | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[ExecutionsPage]:
    """Executions of rules, newest first."""
    query = {"rule_id": rule_id, "outcome": outcome, "from": from_ms, "to": to_ms, "limit": limit, "cursor": cursor}
    return Call("GET", "/api/v1/logic/executions", ExecutionsPage, query=query)
