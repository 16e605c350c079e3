"""Reads the audit over REST."""

from typing import Any

import httpx
from harness import wait_until


def audited(rest: httpx.Client, action: str, target: str) -> dict[str, Any]:
    """The newest entry of an action on a target, once its outcome is known."""

    def ended() -> dict[str, Any] | None:
        query = {"action": action, "target": target}
        items = rest.get("/api/v1/audit", params=query).raise_for_status().json()["items"]
        return next((one for one in items if one["outcome"] != "begun"), None)

    return dict(wait_until(ended, f"the audit has {action} of {target}"))
