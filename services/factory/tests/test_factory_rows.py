"""The rows that messages make, and the memory of earlier ones: enough to know a change, and no more; pure."""

import json
from typing import Any

from kaiser_factory.domain.rows import Past, Rows, rows_of
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted, read

AT_MS = 1_770_000_000_000
PICTURE = "data:image/png;base64,iVBORw0KGgo="
STEP = {"id": "s1", "type": "NAVIGATION", "state": "FINISHED", "target": "HBW"}


def said(past: Past, topic: str, state: str, at: int) -> Rows:
    """The rows of what the CCU says of one order, as they are stored."""
    order = {"orderId": "o1", "orderType": "PRODUCTION", "type": "WHITE", "state": state, "productionSteps": [STEP]}
    found = read(Arrival(topic, json.dumps([order]).encode(), AT_MS + at), ())
    assert isinstance(found, FactoryAccepted)
    rows = rows_of("live", [found.message], past)
    assert [len(each.order.steps) for each in rows.orders.values()] == [1] * len(rows.orders)
    past.shorten(rows.orders.values())
    return rows


def test_the_steps_of_an_open_order_are_kept_and_those_of_an_ended_one_are_not() -> None:
    past = Past()
    assert said(past, "ccu/order/active", "IN_PROGRESS", 0).orders.keys() == {"o1"}
    assert len(past.factory.orders["o1"].order.steps) == 1
    assert said(past, "ccu/order/completed", "FINISHED", 1).orders.keys() == {"o1"}
    assert past.factory.orders["o1"].order.steps == ()
    assert said(past, "ccu/order/active", "IN_PROGRESS", 2).orders == {}  # late: the row with its steps stays
    assert said(past, "ccu/order/completed", "FINISHED", 3).orders == {}


def rows(past: Past, *messages: tuple[str, Any], retained: bool = False) -> Rows:
    """The rows of some messages, 1 s apart."""
    found = []
    for number, (topic, payload) in enumerate(messages):
        verdict = read(Arrival(topic, json.dumps(payload).encode(), AT_MS + number * 1000, 1, retained), ("uagv",))
        assert isinstance(verdict, FactoryAccepted), verdict
        found.append(verdict.message)
    return rows_of("live", found, past)


def module(state: str) -> tuple[str, Any]:
    action = {"id": "a1", "command": "PICK", "state": state}
    return "module/v1/ff/S1/state", {"serialNumber": "S1", "actionState": action}


def agv(node: str, state: str) -> tuple[str, Any]:
    action = {"id": "d1", "command": "DOCK", "state": state}
    return "fts/v1/ff/A1/state", {"serialNumber": "A1", "lastNodeId": node, "orderId": "o", "actionState": action}


def connection(word: str) -> tuple[str, Any]:
    return "module/v1/ff/S1/connection", {"connectionState": word}


CHECK = ("/j1/txt/1/i/quality_check", {"ts": "2026-02-02T04:10:00.000Z", "num": 1, "result": "PASSED", "data": PICTURE})
ORDER = (
    "module/v1/ff/S1/order",
    {"orderId": "o", "orderUpdateId": 1, "serialNumber": "S1", "action": {"id": "a1", "command": "PICK"}},
)


def test_what_the_broker_had_kept_makes_no_transition_step_or_check() -> None:
    said = [module("FINISHED"), agv("2", "FINISHED"), connection("ONLINE"), CHECK]
    kept = rows(Past(), *said, retained=True)
    assert (kept.transitions, kept.steps, kept.quality) == ([], {}, [])
    live = rows(Past(), *said)
    assert (len(live.transitions), len(live.steps), len(live.quality)) == (4, 2, 1)


def test_a_connection_is_a_transition_when_it_changes() -> None:
    found = rows(Past(), connection("ONLINE"), connection("ONLINE"), connection("OFFLINE"), connection("ONLINE"))
    assert [value for _, _, _, what, value, *_ in found.transitions if what == "connection"] == [
        "ONLINE",
        "OFFLINE",
        "ONLINE",
    ]


def test_a_step_of_a_module_runs_from_its_first_running_and_that_of_an_agv_has_no_such_time() -> None:
    found = rows(Past(), ORDER, module("RUNNING"), module("RUNNING"), module("FINISHED"), agv("2", "RUNNING"))
    step, way = found.steps["a1"], found.steps["d1"]
    assert step.running_at is not None
    assert step.finished_at is not None
    assert (step.finished_at - step.running_at).total_seconds() == 2
    assert (step.command, way.running_at) == ("PICK", None)


def test_an_agv_reaches_a_node_once_with_the_length_of_the_road_to_it() -> None:
    found = rows(Past(), agv("2", "RUNNING"), agv("2", "RUNNING"), agv("1", "RUNNING"))
    assert [(value, length) for _, _, _, what, value, *_, length in found.transitions if what == "node"] == [
        ("2", None),
        ("1", 360),
    ]


def test_the_length_of_a_road_is_always_a_fraction_so_that_one_statement_takes_all() -> None:
    found = rows(Past(), *(agv(node, "FINISHED") for node in ("1", "2", "3"))).transitions
    lengths = [each[-1] for each in found if each[3] == "node" and each[-1] is not None]
    assert lengths
    assert {type(each) for each in lengths} == {float}


def vehicle(*actions: tuple[str, str]) -> tuple[str, Any]:
    """A state of a VDA 5050 vehicle, which lists every action of its order."""
    listed = [{"actionId": one, "actionType": "pick", "actionStatus": state} for one, state in actions]
    payload = {"serialNumber": "V1", "orderId": "o", "nodeStates": [], "edgeStates": [], "errors": []}
    return "uagv/v2/acme/V1/state", payload | {"driving": False, "actionStates": listed}


def reported(found: Rows) -> list[tuple[str, str]]:
    return [(each[5], each[4]) for each in found.transitions if each[3] == "action"]


def test_a_long_list_of_actions_that_each_state_repeats_makes_each_transition_once() -> None:
    past, ids = Past(), [f"a{number}" for number in range(40)]
    waiting = [(each, "WAITING") for each in ids]
    assert reported(rows(past, *[vehicle(*waiting)] * 4)) == waiting
    done: list[tuple[str, str]] = []
    for number, each in enumerate(ids):
        done.append((each, "FINISHED"))
        assert reported(rows(past, *[vehicle(*done, *waiting[number + 1 :])] * 2)) == [(each, "FINISHED")]
    assert reported(rows(past, *[vehicle(*done)] * 4)) == []


def test_of_actions_that_are_no_longer_listed_the_last_eight_are_remembered() -> None:
    past = Past()
    for number in range(20):
        rows(past, vehicle((f"a{number}", "FINISHED")))
    assert reported(rows(past, vehicle(*[(f"a{number}", "FINISHED") for number in range(12, 20)]))) == []
    assert reported(rows(past, vehicle(("a3", "FINISHED")))) == [("a3", "FINISHED")]


def test_what_two_sources_list_of_one_machine_is_remembered_of_both() -> None:
    past, ids = Past(), [f"a{number}" for number in range(12)]
    listed = {"serialNumber": "S1", "actionStates": [{"id": each, "state": "RUNNING"} for each in ids]}
    other = {"serialNumber": "S1", "actionState": {"id": "n", "state": "RUNNING"}}
    said = [("module/v1/ff/S1/state", listed), ("module/v1/ff/NodeRed/S1/state", other)]
    assert len(reported(rows(past, *said))) == 13
    assert reported(rows(past, *said * 3)) == []
