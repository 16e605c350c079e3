"""Requests to logic: rules and executions."""

from functools import partial

from kaiser_common.contract.rpc import Audited, Nothing, RpcMethod
from kaiser_common.contract.schemas.api.logic import (
    CreateRule,
    ExecutionsPage,
    ExecutionsQuery,
    PatchRule,
    PutRule,
    Rule,
    RuleId,
    RulesPage,
    RulesQuery,
    TestResult,
    TestRule,
    TestSettings,
)

_method = partial(RpcMethod, "logic")

METHODS: tuple[RpcMethod, ...] = (
    _method("list", RulesQuery, RulesPage),
    _method("read", RuleId, Rule),
    _method("create", CreateRule, Rule, least="operator", audited=Audited("create_rule", ("rule_id",))),
    _method("put", PutRule, Rule, least="operator", audited=Audited("set_rule", ("rule_id",), before="read")),
    _method("patch", PatchRule, Rule, least="operator", audited=Audited("change_rule", ("rule_id",), before="read")),
    _method("delete", RuleId, Nothing, least="operator", audited=Audited("delete_rule", ("rule_id",), before="read")),
    _method("test", TestRule, TestResult, least="operator"),
    _method("test_settings", TestSettings, TestResult, least="operator"),
    _method("executions", ExecutionsQuery, ExecutionsPage),
)
