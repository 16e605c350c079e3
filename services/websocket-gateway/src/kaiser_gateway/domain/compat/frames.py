"""The WebSocket in AutomationOne's words: the frames its frontend sends and receives."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from kaiser_common.contract.schemas.event import EventType

from kaiser_gateway.domain.compat.common import Json, iso
from kaiser_gateway.domain.filters import is_topic_filter

_KNOWN = frozenset(get_args(EventType))
_UNHEARD = frozenset({"alarm"})
_CONFIG_STATUS = {"applied": "success", "partial": "partial_success", "failed": "error", "timeout": "error"}
_ZONE_STATUS = {"assigned": "zone_assigned", "removed": "zone_removed", "failed": "error", "timeout": "error"}
_NOTHING = json.dumps({"action": "unsubscribe", "filters": None})
_EVERYTHING = json.dumps({"action": "subscribe", "filters": {}})


def said(text: str) -> str | None:
    """A message of the frontend in Kaiser's words; None for one that asks for nothing. Unknown types are left out, and
    `unsubscribe` without filters means everything again."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(message, dict):
        return text
    filters = message.get("filters")
    match message.get("action"):
        case "subscribe":
            return _subscribe(filters if isinstance(filters, dict) else {})
        case "unsubscribe":
            return _EVERYTHING
        case "ping" | "resume":
            return text
        case _:
            return None


def _subscribe(filters: Mapping[str, Any]) -> str:
    asked = _texts(filters.get("types"))
    types = [one for one in asked if one in _KNOWN]
    if asked and not types:
        return _NOTHING
    pattern = filters.get("topicPattern") or filters.get("topic_pattern")
    topics = [pattern] if isinstance(pattern, str) and is_topic_filter(pattern) else []
    wanted = {
        "types": types,
        "esp_ids": _texts(filters.get("esp_ids")),
        "sensor_types": _texts(filters.get("sensor_types")),
        "topics": topics,
    }
    return json.dumps({"action": "subscribe", "filters": wanted})


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def told(frame: str) -> Iterator[str]:
    """A frame in AutomationOne's form: none for what its frontend has no word for, one for each action of a rule."""
    message = json.loads(frame)
    kind, data = message["type"], message["data"]
    if kind in _UNHEARD or kind.startswith("factory_"):
        return
    if data.get("replayed"):  # it would be taken for a report of now
        return
    for body in _bodies(kind, data):
        yield json.dumps({"type": kind, "timestamp": message["timestamp"], "data": body}, ensure_ascii=False)


def _bodies(kind: str, data: Json) -> list[Json]:
    if kind not in _KNOWN:
        return [data]
    common = {**data, "timestamp": data["ts"] // 1000 if isinstance(data.get("ts"), int) else None}
    if data.get("esp_id") is not None:
        common["device_id"] = data["esp_id"]
    match kind:
        case "sensor_data":
            return [{**common, **_addresses(str(data.get("address") or "")), "config_id": None}]
        case "actuator_status":
            return [{**common, "state": _state(data), "success": data.get("error") is None}]
        case "esp_health":
            return [{**common, "last_seen": iso(data.get("last_seen"))}]
        case "config_response":
            return _config(common)
        case "zone_assignment":
            status = _ZONE_STATUS.get(str(data["status"]))
            return [{**common, "status": status}] if status else []
        case "logic_execution":
            return _execution(common)
        case _:
            return [common]


def _addresses(address: str) -> Json:
    is_rom = len(address) == 16
    return {
        "onewire_address": address if is_rom else None,
        "i2c_address": int(address) if address.isdigit() and not is_rom else None,
    }


def _state(data: Json) -> str:
    if not data.get("state"):
        return "off"
    return "pwm" if 0 < data.get("value", 1.0) < 1 else "on"


def _config(common: Json) -> list[Json]:
    """A push that is under way has no word: the frontend would show an error."""
    status = _CONFIG_STATUS.get(str(common["status"]))
    if status is None:
        return []
    failures = common.get("failures") or []
    first = failures[0] if failures and isinstance(failures[0], dict) else {}
    return [
        {
            **common,
            "status": status,
            "config_type": first.get("type") or "sensor",
            "count": 0 if status == "error" else 1,
            "failed_count": len(failures),
            "message": common.get("message") or "",
            "error_code": None if status == "success" else str(first.get("error") or "CONFIG_ERROR"),
            "correlation_id": common.get("config_id"),
        }
    ]


def _execution(common: Json) -> list[Json]:
    message = common.get("reason") or f"{common['rule_name']} fired"
    return [
        {
            "rule_id": common["rule_id"],
            "rule_name": common["rule_name"],
            "trigger": common.get("trigger", {}),
            "action": action,
            "success": action.get("state", "done") == "done",
            "message": action.get("detail") or message,
            "timestamp": common["timestamp"],
        }
        for action in common.get("actions", [])
    ]
