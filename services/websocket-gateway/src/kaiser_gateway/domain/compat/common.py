"""Times, pages and problems as AutomationOne's frontend reads them."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]


def iso(time_ms: float | None) -> str | None:
    """A time in ms since 1970 as ISO 8601 in UTC."""
    if time_ms is None:
        return None
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(text: str) -> int:
    """An ISO 8601 time in ms since 1970; without an offset it is UTC. ValueError: it is none."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def paged(items: Sequence[Json], page: int, page_size: int) -> Json:
    """A page of a list, its number from 1, in both places in which the frontend looks for the totals."""
    total, pages = len(items), math.ceil(len(items) / page_size)
    begin = (page - 1) * page_size
    return {
        "success": True,
        "data": list(items[begin : begin + page_size]),
        "total": total,
        "page": page,
        "page_size": page_size,
        "total_pages": pages,
        "pagination": {
            "page": page,
            "page_size": page_size,
            "total": total,
            "total_items": total,
            "total_pages": pages,
        },
    }


def problem(document: Mapping[str, Any]) -> Json:
    """A problem: `detail` for the older frontend, `error.message` for the newer one."""
    detail = str(document.get("detail", "the request failed"))
    error = {"message": detail, "code": document.get("code"), "request_id": document.get("request_id")}
    return {"success": False, "detail": detail, "message": detail, "error": error}


def done(esp_id: str, command: str, **result: Any) -> Json:
    """The answer to a command to a mock."""
    return {"success": True, "esp_id": esp_id, "command": command, "result": result}
