"""Routes of automation rules, in AutomationOne's form."""

from typing import Annotated

from fastapi import APIRouter, Query

from kaiser_gateway.api.compat.asking import Given, OldId, Own, PageNumber, PageSize
from kaiser_gateway.api.compat.own import refused
from kaiser_gateway.domain.compat import rules
from kaiser_gateway.domain.compat.common import Json, milliseconds

_ALL = "/logic/rules"


def router() -> APIRouter:
    """/compat/v1/logic."""
    routes = APIRouter(prefix="/compat/v1/logic")

    @routes.get("/rules")
    async def list_rules(
        own: Own, enabled: bool | None = None, page: PageNumber = 1, page_size: PageSize = 100
    ) -> Json:
        found = [rules.rule(one) for one in await own.every(_ALL, {"enabled": enabled})]
        shown = found[(page - 1) * page_size : page * page_size]
        return {"success": True, "items": shown, "total": len(found), "page": page, "page_size": page_size}

    @routes.get("/rules/{rule_id}")
    async def read_rule(rule_id: OldId, own: Own) -> Json:
        return rules.rule(await own.ask("GET", f"{_ALL}/{rule_id}"))

    @routes.patch("/rules/{rule_id}")
    @routes.put("/rules/{rule_id}")
    async def change_rule(rule_id: OldId, body: Given, own: Own) -> Json:
        found = await own.ask("GET", f"{_ALL}/{rule_id}")
        changed = await own.ask("PUT", f"{_ALL}/{rule_id}", body=rules.changed(found, body))
        return rules.rule(changed)

    @routes.delete("/rules/{rule_id}", status_code=204)
    async def delete_rule(rule_id: OldId, own: Own) -> None:
        await own.ask("DELETE", f"{_ALL}/{rule_id}")

    @routes.post("/rules/{rule_id}/toggle")
    async def toggle_rule(rule_id: OldId, body: Given, own: Own) -> Json:
        found = await own.ask("GET", f"{_ALL}/{rule_id}")
        enabled = bool(body.get("enabled", not found["enabled"]))
        await own.ask("PUT", f"{_ALL}/{rule_id}", body=rules.changed(found, {"enabled": enabled}))
        return {
            "success": True,
            "message": f"{found['name']} is {'enabled' if enabled else 'disabled'}",
            "rule_id": rule_id,
            "rule_name": found["name"],
            "enabled": enabled,
            "previous_state": found["enabled"],
        }

    @routes.post("/rules/{rule_id}/test")
    async def test_rule(rule_id: OldId, own: Own) -> Json:
        found = await own.ask("GET", f"{_ALL}/{rule_id}")
        return rules.tested(await own.ask("POST", f"{_ALL}/{rule_id}/test", body={}), found["name"])

    @routes.get("/execution_history")
    async def list_executions(
        own: Own,
        rule_id: str | None = None,
        success: bool | None = None,
        start_time: str | None = None,
        end_time: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    ) -> Json:
        try:
            span = {
                "from": milliseconds(start_time) if start_time else None,
                "to": milliseconds(end_time) if end_time else None,
            }
        except ValueError as error:
            raise refused(422, f"start_time and end_time are ISO 8601 times: {error}") from error
        page = await own.ask("GET", "/logic/executions", query={"rule_id": rule_id, **span, "limit": limit})
        found = [rules.execution(one) for one in page["items"] if one["outcome"] != "suppressed"]
        shown = [one for one in found if success in (None, one["success"])]
        return {"success": True, "items": shown, "total": len(shown)}

    return routes
