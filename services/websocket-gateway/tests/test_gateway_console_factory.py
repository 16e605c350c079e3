"""The console's factory pages, by pure functions: the map, the store, Gantt charts; tables of cases."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console_module import called, node

pytestmark = pytest.mark.servers  # they start node

NOW = 1_800_000_000_000


@pytest.fixture
def ask(missing: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """`ask([function, *arguments], …)` of core/factory.js."""
    if node() is None:
        missing("node", "node is not installed")
    return lambda *calls: called("factory.js", [list(call) for call in calls], tmp_path)


def row(serial: str, ts: int, **fields: Any) -> dict[str, Any]:
    return {"serial": serial, "kind": "module", "ts": ts, **fields}


def test_roads_say_where_everything_stands(ask):
    """Only roads and box can be seen as JSON: the box holds all, with a margin of 130 mm."""
    roads = [
        {"start": "1", "end": "2", "length": 360, "direction": "EAST"},
        {"start": "3", "end": "1", "length": 360, "direction": "NORTH"},
        {"start": "HBW", "end": "1", "length": 380, "direction": "EAST"},
    ]
    layout = {"modules": [{"serial": "HBW", "type": "HBW"}], "intersections": ["1", "2", "3"], "roads": roads}
    lone = {
        "modules": [{"serial": "A", "type": "MILL"}, {"serial": "B", "type": "DPS"}],
        "intersections": [],
        "roads": [],
    }
    none = {"modules": [], "intersections": [], "roads": []}
    away = {**none, "roads": roads}
    places, apart, empty, left_out = ask(*(["placesOf", one] for one in (layout, lone, none, away)))
    assert places["box"] == [-380 - 130, -130, 740 + 260, 360 + 260]
    assert len(places["roads"]) == 3
    assert apart["box"][2] >= 260
    assert empty["box"] == [0, 0, 260, 260]
    assert left_out["roads"] == []


def test_an_agv_at_a_node_that_no_layout_knows_is_on_the_map(ask):
    layout = {"modules": [{"serial": "A", "type": "MILL"}], "intersections": ["1"], "roads": []}
    nodes = {"V1": "N7", "V2": "N7", "V3": "dock", "5iO4": "1", "lost": "UNKNOWN", "new": None}
    agvs = [{"kind": "agv", "serial": serial, "node": node} for serial, node in nodes.items()]
    (whole, same) = ask(
        ["withNodesOf", layout, agvs], ["withNodesOf", layout, [{"kind": "module", "serial": "A", "node": "N9"}]]
    )
    assert whole["intersections"] == ["1", "N7", "dock"]
    assert same == layout
    crowd = [{"kind": "agv", "serial": f"V{n}", "node": f"N{n}"} for n in range(40)]
    (crowded,) = ask(["withNodesOf", layout, crowd])
    (places,) = ask(["placesOf", crowded])
    width, height = places["box"][2:]
    assert len(crowded["intersections"]) == 25
    assert width < 4 * 260 + 260 + 1  # in rows, not in one line
    assert height > 5 * 260


def test_where_an_agv_is_in_words(ask):
    cases = [
        ({"node": "HBW1", "at": "HBW1", "driving": False}, "at HBW"),
        ({"node": "2", "at": "HBW1", "driving": True}, "driving, last at HBW"),
        ({"node": "2", "at": "HBW1", "driving": False}, "at 2"),
        ({"node": "2", "at": None, "driving": True}, "driving, last at 2"),
        ({"node": "UNKNOWN", "at": "HBW1", "driving": False}, "lost, last at HBW"),
        ({"node": "UNKNOWN", "at": None, "driving": None}, "lost"),
        ({"node": None, "at": "HBW1", "driving": False}, "–"),
    ]
    assert ask(*(["whereIs", row, {"HBW1": "HBW"}] for row, _ in cases)) == [text for _, text in cases]


def test_an_event_replaces_a_row_unless_it_is_older(ask):
    before = [row("A", 10, availability="READY"), row("B", 10, availability="READY")]
    events = [
        {"type": "factory_module", "data": row("A", 9, availability="BLOCKED")},
        {"type": "factory_module", "data": row("B", 11, availability="BUSY")},
        {"type": "factory_module", "data": row("C", 1, availability="READY")},
        {"type": "sensor_data", "data": {"value": 1}},
    ]
    (rows,) = ask(["withModules", before, events])
    assert [(one["serial"], one["availability"]) for one in rows] == [("A", "READY"), ("B", "BUSY"), ("C", "READY")]


def test_orders_are_newest_first_and_bounded(ask):
    events = [
        {"type": "factory_order", "data": {"order_id": f"o{number}", "received": NOW + number, "ts": number}}
        for number in range(300)
    ]
    (orders,) = ask(["withOrders", [], events])
    assert [one["order_id"] for one in orders[:2]] == ["o299", "o298"]
    assert len(orders) == 200


def test_the_bays_of_a_store_are_three_by_three(ask):
    bays = [{"location": "B2", "type": "RED"}, {"location": "X9", "type": "BLUE"}]
    (grid,) = ask(["gridOf", {"bays": bays}])
    assert [[bay["location"] for bay in line] for line in grid["rows"]] == [
        ["A1", "A2", "A3"],
        ["B1", "B2", "B3"],
        ["C1", "C2", "C3"],
    ]
    assert grid["rows"][1][1]["type"] == "RED"
    assert [bay["location"] for bay in grid["rest"]] == ["X9"]


def step(started: int | None, stopped: int | None, waiting_ms: int | None = None) -> dict[str, Any]:
    return {"id": f"{started}", "started": started, "stopped": stopped, "waiting_ms": waiting_ms}


def test_a_gantt_chart_shows_what_ran_what_waits_and_what_has_not_begun(ask):
    steps = [step(NOW, NOW + 40_000), step(NOW + 50_000, None, 10_000), step(None, None)]
    order = {"started": NOW, "stopped": None}
    chart, span, none = ask(
        ["ganttOf", {"order": order, "steps": steps}, NOW + 100_000],
        ["spanOf", [{"order": order, "steps": steps}], NOW + 100_000],
        ["spanOf", [{"order": {"started": None, "stopped": None}, "steps": []}], NOW],
    )
    assert [(bar["left"], bar["width"], bar["waitLeft"], bar["waitWidth"]) for bar in chart["bars"]] == [
        (0, 40, 0, 0),
        (50, 50, 40, 10),
        (None, 0, 0, 0),
    ]
    assert span == [NOW, NOW + 100_000]
    assert none == [NOW - 1000, NOW]


def test_the_way_of_an_agv_has_parts(ask):
    parts = [
        {"command": "PASS", "started": NOW, "stopped": NOW + 10_000},
        {"command": "DOCK", "started": NOW + 10_000, "stopped": NOW + 40_400},
    ]
    way = step(NOW, NOW + 40_000) | {"parts": parts}
    order = {"started": NOW, "stopped": NOW + 100_000}
    chart, words, none = ask(
        ["ganttOf", {"order": order, "steps": [way, step(None, None)]}, NOW],
        ["partsOf", way],
        ["partsOf", step(None, None)],
    )
    assert [[(part["command"], part["left"]) for part in bar["parts"]] for bar in chart["bars"]] == [
        [("PASS", 0), ("DOCK", 10)],
        [],
    ]
    assert (words, none) == ("PASS 10 s, DOCK 30 s", "")


def test_figures_are_of_modules_and_of_agvs(ask):
    machines = [{"serial": "A", "oee": 0.5}, {"serial": "B", "driving": 0.25}, {"serial": "gone", "oee": None}]
    rows = [row("A", 1, type="MILL"), row("B", 1, kind="agv", type=None)]
    found, half, none = ask(["figuresByKind", machines, rows], ["percent", 0.9345], ["percent", None])
    assert [(one["serial"], one["type"]) for one in found["modules"]] == [("A", "MILL"), ("gone", None)]
    assert [(one["serial"], one["type"], one["driving"]) for one in found["agvs"]] == [("B", "AGV", 0.25)]
    assert (half, none) == ("93.5 %", "–")


def test_a_step_is_named_by_what_it_does(ask):
    steps = [
        ({"type": "NAVIGATION", "source": "HBW", "target": "MILL"}, "HBW → MILL"),
        ({"type": "MANUFACTURE", "module_type": "MILL", "command": "PICK"}, "MILL PICK"),
        ({}, "step"),
    ]
    assert ask(*(["stepName", one] for one, _ in steps)) == [name for _, name in steps]


def test_waiting_between_steps_adds_up(ask):
    assert ask(["waitedSeconds", [step(1, 2, None), step(3, 4, 1500), step(5, 6, 2500)]]) == [4]
