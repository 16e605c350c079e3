"""Automation rules, answered by logic."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.devices import ESP_ID
from kaiser_common.contract.schemas.api.logic import (
    RULE_ID,
    CreateRule,
    ExecutionsPage,
    ExecutionsQuery,
    Outcome,
    PatchRule,
    PutRule,
    Rule,
    RuleId,
    RulesPage,
    RulesQuery,
    TestRequest,
    TestResult,
    TestRule,
    TestSettings,
)
from kaiser_common.contract.schemas.api.rules import RulePatch, RuleSettings
from kaiser_common.contract.schemas.api.times import Milliseconds

from kaiser_gateway.api.expected import Expected
from kaiser_gateway.api.rule_names import check_names
from kaiser_gateway.http.auth import Guard

RuleIdPath = Annotated[str, Path(pattern=RULE_ID, examples=["4f1c9a7e2b3d5a60"])]


def router(bus: Bus, guard: Guard) -> APIRouter:
    """/api/v1/logic."""
    routes = APIRouter(prefix="/api/v1/logic", tags=["logic"])
    viewer, operator = guard.needs("viewer"), guard.needs("operator")

    @routes.get("/rules")
    async def list_rules(
        enabled: bool | None = None,
        esp_id: Annotated[str | None, Query(pattern=ESP_ID)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[str | None, Query(max_length=300)] = None,
        caller: Caller = viewer,
    ) -> RulesPage:
        """Rules by name; with esp_id only those that name the device in a condition or an action."""
        query = RulesQuery(enabled=enabled, esp_id=esp_id, limit=limit, cursor=cursor)
        return await call(bus, "logic", "list", query, RulesPage, caller=caller)

    @routes.post("/rules", status_code=201)
    async def create_rule(body: RuleSettings, caller: Caller = operator) -> Rule:
        """Add a rule, in force immediately. 422 names the rules with which it would form a loop, a device that is not
        registered, a gpio with several sensors, or an actuator that is not set up."""
        await check_names(bus, caller, body)
        return await call(bus, "logic", "create", CreateRule(settings=body), Rule, caller=caller)

    @routes.get("/rules/{rule_id}")
    async def read_rule(rule_id: RuleIdPath, caller: Caller = viewer) -> Rule:
        """One rule."""
        return await call(bus, "logic", "read", RuleId(rule_id=rule_id), Rule, caller=caller)

    @routes.put("/rules/{rule_id}")
    async def put_rule(
        rule_id: RuleIdPath, body: RuleSettings, expected: Expected = None, caller: Caller = operator
    ) -> Rule:
        """Replace a rule, in force immediately; its running execution is ended. 422 as for a new one."""
        await check_names(bus, caller, body)
        request = PutRule(rule_id=rule_id, settings=body, expected=expected)
        return await call(bus, "logic", "put", request, Rule, caller=caller)

    @routes.patch("/rules/{rule_id}")
    async def change_rule(
        rule_id: RuleIdPath, body: RulePatch, expected: Expected = None, caller: Caller = operator
    ) -> Rule:
        """Change some settings of a rule; the others stay as they are, and a list is replaced as a whole. In force
        immediately; its running execution is ended. 422 as for a new one."""
        if body.model_fields_set & {"conditions", "actions", "enabled"}:
            known = await call(bus, "logic", "read", RuleId(rule_id=rule_id), Rule, caller=caller)
            given: dict[str, Any] = {name: getattr(body, name) for name in body.model_fields_set}
            await check_names(bus, caller, known.model_copy(update=given))
        request = PatchRule(rule_id=rule_id, patch=body, expected=expected)
        return await call(bus, "logic", "patch", request, Rule, caller=caller)

    @routes.delete("/rules/{rule_id}", status_code=204)
    async def delete_rule(rule_id: RuleIdPath, caller: Caller = operator) -> None:
        """Remove a rule; its running execution is ended, past executions stay recorded."""
        await call(bus, "logic", "delete", RuleId(rule_id=rule_id), Nothing, caller=caller)

    @routes.post("/test")
    async def test_unstored_rule(body: TestSettings, caller: Caller = operator) -> TestResult:
        """Dry run of a rule before it is stored, with the values of now or given ones; nothing is sent. 422 as for a
        new rule."""
        await check_names(bus, caller, body.settings)
        return await call(bus, "logic", "test_settings", body, TestResult, caller=caller)

    @routes.post("/rules/{rule_id}/test")
    async def test_rule(rule_id: RuleIdPath, body: TestRequest | None = None, caller: Caller = operator) -> TestResult:
        """Dry run: the actions of the rule now, or with given values, with the result of each condition. Nothing is
        sent."""
        request = TestRule(rule_id=rule_id, request=body or TestRequest())
        return await call(bus, "logic", "test", request, TestResult, caller=caller)

    @routes.get("/executions")
    async def list_executions(
        rule_id: Annotated[str | None, Query(pattern=RULE_ID)] = None,
        outcome: Outcome | None = None,
        from_: Annotated[Milliseconds | None, Query(alias="from", description="ms since 1970")] = None,
        to: Annotated[Milliseconds | None, Query(description="ms since 1970, not included")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
        caller: Caller = viewer,
    ) -> ExecutionsPage:
        """Executions and suppressions of rules, newest first."""
        query = ExecutionsQuery(rule_id=rule_id, outcome=outcome, from_ms=from_, to_ms=to, limit=limit, cursor=cursor)
        return await call(bus, "logic", "executions", query, ExecutionsPage, caller=caller)

    return routes
