"""Which stops the console clears with one request: those that were not confirmed, from all pages of the list."""

from collections.abc import Callable
from typing import Any

import pytest
from console_module import node, printed

UNCONFIRMED = """
import { openEmergencies } from "./core/emergencies.js";
const asked = [];
const api = { get: async (path, query) => {
  asked.push([path, query]);
  return given.pages[query.cursor ?? ""];
} };
const { unconfirmed } = openEmergencies({ api, feed: { on: () => null } });
console.log(JSON.stringify([(await unconfirmed()).map((stop) => stop.emergency_id), asked]));
"""
RELOADED = """
import { openEmergencies } from "./core/emergencies.js";
const api = { get: async () => given.page };
const { current, total, notConfirmed, reload } = openEmergencies({ api, feed: { on: () => null } });
await reload();
console.log(JSON.stringify([current.get().length, total.get(), notConfirmed.get()]));
"""
PATH = "/api/v1/actuators/emergencies"


def stop(number: int, not_cleared: str | None = "no confirmation", clearing: dict[str, Any] | None = None):
    return {"emergency_id": f"e{number}", "esp_id": f"ESP_{number}", "not_cleared": not_cleared, "clearing": clearing}


@pytest.fixture
def answered(missing: Callable[..., Any]) -> Callable[..., Any]:
    if node() is None:
        missing("node", "node is not installed")
    return printed


def test_only_stops_whose_clear_was_not_confirmed_and_is_not_under_way_are_taken_from_all_pages(
    answered: Callable[..., Any],
):
    pages = {
        "": {"items": [stop(1), stop(2, None)], "next_cursor": "1 2 e2"},
        "1 2 e2": {"items": [stop(3, clearing={"by": "ada", "asked_at": 1}), stop(4)], "next_cursor": None},
    }
    ids, asked = answered(UNCONFIRMED, pages=pages)
    assert ids == ["e1", "e4"]
    assert asked == [[PATH, {"limit": 1000, "cursor": None}], [PATH, {"limit": 1000, "cursor": "1 2 e2"}]]


def test_as_many_are_taken_as_a_request_may_name(answered: Callable[..., Any]):
    items = [stop(number) for number in range(1200)]
    pages = {
        "": {"items": items[:1000], "next_cursor": "1 999 e999"},
        "1 999 e999": {"items": items[1000:], "next_cursor": None},
    }
    ids, _ = answered(UNCONFIRMED, pages=pages)
    assert ids == [each["emergency_id"] for each in items[:1000]]


@pytest.mark.parametrize(
    ("items", "counted", "known"),
    [
        ([stop(1, None)], {"total": 300, "unconfirmed": 200}, [1, 300, 200]),
        ([stop(1), stop(2, None)], {"total": 2, "unconfirmed": 1}, [2, 2, 1]),
        ([stop(1), stop(2, clearing={"by": "ada", "asked_at": 1})], {"total": 2}, [2, 2, 1]),
    ],
    ids=["beyond those that are shown", "among those that are shown", "an actuator service that does not count"],
)
def test_stops_that_were_not_confirmed_are_known_beyond_those_that_are_shown(
    answered: Callable[..., Any], items: list[dict[str, Any]], counted: dict[str, int], known: list[int]
):
    assert answered(RELOADED, page={"items": items, **counted}) == known
