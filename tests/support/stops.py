"""Ends the emergency stops that a test of a shared stack has raised."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from harness import Stack, wait_until

_STOPS = "/api/v1/actuators/emergencies"
_AT_ONCE = 16
"""So many clears wait for their devices together, each for up to 22 s."""


def end_stops(stack: Stack) -> None:
    """Clear every stop in force. A device that is offline, or did not confirm its clear, because no test speaks for it
    any more, is removed first: one that is not registered need not confirm."""
    with stack.sign_in() as rest, ThreadPoolExecutor(_AT_ONCE) as pool:
        wait_until(lambda: _are_ended(stack, rest, pool), "no stop is in force", 300.0)


def _are_ended(stack: Stack, rest: httpx.Client, pool: ThreadPoolExecutor) -> bool:
    stops: list[dict[str, Any]] = rest.get(_STOPS, params={"limit": 100}).raise_for_status().json()["items"]
    silent = [stop["esp_id"] for stop in stops if stop.get("esp_id") and _is_silent(rest, stop)]
    for esp_id in silent:
        rest.delete(f"/api/v1/esp/devices/{esp_id}")
    if silent:
        stack.settle_registry()
    list(pool.map(lambda stop: _clear(rest, stop), stops))
    return not stops


def _is_silent(rest: httpx.Client, stop: dict[str, Any]) -> bool:
    """Whether nobody will confirm a clear of this stop."""
    device = rest.get(f"/api/v1/esp/devices/{stop['esp_id']}")
    return device.is_success and (bool(stop.get("not_cleared")) or not device.json()["online"])


def _clear(rest: httpx.Client, stop: dict[str, Any]) -> None:
    target = {name: stop[name] for name in ("esp_id", "gpio") if stop.get(name) is not None} or {"all": True}
    rest.post("/api/v1/actuators/clear_emergency", json=target, timeout=60.0)
