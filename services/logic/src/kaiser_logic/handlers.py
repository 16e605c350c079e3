"""The table of contents of logic: which RPC method goes to which function."""

from typing import Any

from kaiser_common.bus.rpc import Method
from kaiser_common.contract.schemas.api.logic import CreateRule, ExecutionsQuery, PutRule, RuleId, RulesQuery, TestRule

from kaiser_logic.api.rules import LogicApi


def methods(rules: LogicApi) -> dict[str, Method[Any, Any]]:
    """By the name of the method."""
    return {
        "list": Method(RulesQuery, rules.page),
        "read": Method(RuleId, rules.read),
        "create": Method(CreateRule, rules.create, least="operator"),
        "put": Method(PutRule, rules.put, least="operator"),
        "delete": Method(RuleId, rules.delete, least="operator"),
        "test": Method(TestRule, rules.test, least="operator"),
        "executions": Method(ExecutionsQuery, rules.executions),
    }
