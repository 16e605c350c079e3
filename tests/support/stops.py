"""Ends the emergency stops that a test of a shared stack has raised."""

from typing import Any

import httpx
from harness import Stack, wait_until

_STOPS = "/api/v1/actuators/emergencies"


def end_stops(stack: Stack) -> None:
    """Clear every stop in force. A device that did not confirm its clear, because no test speaks for it any more, is
    removed first: one that is not registered need not confirm."""
    with stack.sign_in() as rest:
        wait_until(lambda: _are_ended(rest), "no stop is in force", 300.0)


def _are_ended(rest: httpx.Client) -> bool:
    stops: list[dict[str, Any]] = rest.get(_STOPS, params={"limit": 100}).raise_for_status().json()["items"]
    for stop in stops:
        if stop.get("not_cleared"):
            rest.delete(f"/api/v1/esp/devices/{stop['esp_id']}")
        target = {name: stop[name] for name in ("esp_id", "gpio") if stop.get(name) is not None} or {"all": True}
        rest.post("/api/v1/actuators/clear_emergency", json=target, timeout=60.0)
    return not stops
