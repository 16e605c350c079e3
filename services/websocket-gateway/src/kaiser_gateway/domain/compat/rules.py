"""Translates rules, their dry runs and executions between AutomationOne's form and Kaiser's."""

from collections.abc import Mapping
from typing import Any

from kaiser_gateway.domain.compat.common import Json, iso

_SHOWN = ("esp_id", "gpio", "sensor_type", "operator", "value", "min", "max")


def rule(found: Json) -> Json:
    """A rule. Conditions that the frontend has no form for are passed with Kaiser's own fields."""
    return {
        "id": found["rule_id"],
        "name": found["name"],
        "description": found.get("description") or "",
        "enabled": found["enabled"],
        "conditions": [_condition(one) for one in found["conditions"]],
        "logic_operator": "AND",
        "actions": [_action(one) for one in found["actions"]],
        "priority": found["priority"],
        "cooldown_seconds": found["cooldown_s"],
        "max_executions_per_hour": found.get("max_executions_per_hour"),
        "last_triggered": iso(found.get("last_executed_at")),
        "trigger_count": 0,
        "created_at": iso(found["created_at"]),
        "updated_at": iso(found["updated_at"]),
    }


def _condition(found: Json) -> Json:
    match found["type"]:
        case "sensor_threshold":
            return {"type": "sensor_threshold", **{name: found[name] for name in _SHOWN if found.get(name) is not None}}
        case "time_window":
            days = found.get("days_of_week")
            return {
                "type": "time_window",
                "start_hour": int(found["start"][:2]),
                "end_hour": int(found["end"][:2]),
                **({"days_of_week": sorted((day + 1) % 7 for day in days)} if days else {}),
            }
        case "compound":
            return {
                "type": "compound",
                "logic": found["operator"],
                "conditions": [_condition(one) for one in found["conditions"]],
            }
        case _:
            return found


def _action(found: Json) -> Json:
    match found["type"]:
        case "actuator_command":
            return {
                "type": "actuator_command",
                "esp_id": found["esp_id"],
                "gpio": found["gpio"],
                "command": found["command"],
                **({"value": found["value"]} if found.get("value") is not None else {}),
                "duration": found["duration_s"],
            }
        case "notification":
            target = str(found.get("webhook_url") or "")
            return {
                "type": "notification",
                "channel": "webhook" if target else "websocket",
                "target": target,
                "message_template": found["message"],
            }
        case _:
            return found


def changed(found: Json, body: Mapping[str, Any]) -> Json:
    """Kaiser's settings of a rule with those fields of the frontend's update that mean the same: conditions and actions
    are edited in Kaiser's console."""
    names = {
        "name": "name",
        "description": "description",
        "enabled": "enabled",
        "priority": "priority",
        "cooldown_seconds": "cooldown_s",
        "max_executions_per_hour": "max_executions_per_hour",
    }
    own = {"rule_id", "version", "created_at", "updated_at", "last_executed_at", "last_outcome"}
    kept = {name: value for name, value in found.items() if name not in own}
    given = {ours: body[theirs] for theirs, ours in names.items() if body.get(theirs) is not None}
    return {**kept, **{name: value for name, value in given.items() if name in kept}}


def tested(found: Json, name: str) -> Json:
    """A dry run."""
    return {
        "success": True,
        "rule_id": found["rule_id"],
        "rule_name": name,
        "would_trigger": found["would_fire"],
        "condition_results": [
            {
                "condition_index": number,
                "condition_type": one["type"],
                "result": bool(one["result"]),
                "details": one["detail"],
                "actual_value": None,
            }
            for number, one in enumerate(found["conditions"])
        ],
        "action_results": [
            {
                "action_index": number,
                "action_type": "actuator_command",
                "would_execute": found["would_fire"],
                "details": text,
                "dry_run": True,
            }
            for number, text in enumerate(found["actions"])
        ],
        "dry_run": True,
    }


def execution(found: Json) -> Json:
    """An execution in AutomationOne's form."""
    success = found["outcome"] in ("succeeded", "running")
    return {
        "id": found["execution_id"],
        "logic_rule_id": found["rule_id"],
        "rule_name": found["rule_name"],
        "trigger_data": found["trigger"],
        "actions_executed": found["actions"],
        "success": success,
        "error_message": None if success else found.get("reason"),
        "execution_time_ms": found.get("duration_ms") or 0,
        "timestamp": iso(found["started_at"]),
    }
