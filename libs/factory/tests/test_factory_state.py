"""The state of the factory: the handed views, and what holds whatever messages come in whatever order."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_factory_dialect import world
from kaiser_factory_dialect.apply import apply
from kaiser_factory_dialect.facts import ActionChanged, ConnectionChanged, NodeReached, OrderChanged
from kaiser_factory_dialect.intake import Intake
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted, read
from kaiser_factory_dialect.timeline import order_rows
from kaiser_factory_dialect.view import MachineRow, row, rows, stock_of
from kaiser_factory_dialect.world import Factory

DATA = Path(__file__).parents[3] / "tests/golden"
VECTORS = json.loads((DATA / "factory-messages.json").read_text())
AT = 1_771_000_000_000


def feed(factory: Factory, messages: list[dict[str, Any]]) -> list[Any]:
    intake, facts = Intake(), []
    for one in messages:
        verdict = intake.take(
            Arrival(one["topic"], one["payload"].encode(), one["at"], one.get("qos", 1), one.get("retain", False))
        )
        assert isinstance(verdict, FactoryAccepted), verdict
        facts += apply(factory, verdict.message)
    return facts


def plain(one: MachineRow) -> dict[str, Any]:
    """A row as the vectors write it."""
    found = msgspec.to_builtins(one)
    if (action := found["action"]) is not None:
        found["action"] = {name: action[name] for name in ("id", "command", "state", "result")}
    found["loads"] = [[load["position"], load["type"], load["id"]] for load in found["loads"]]
    found["errors"] = [[error["type"], error["level"]] for error in found["errors"]]
    return found


@pytest.mark.parametrize("vector", VECTORS["views"], ids=lambda vector: vector["name"])
def test_the_factory_looks_as_the_vector_says(vector: dict[str, Any]):
    factory = Factory()
    feed(factory, vector["messages"])
    expected, now, compared = vector["expect"], vector["at"], 0
    machines = {one.serial: plain(one) for one in rows(factory, now)}
    for serial, columns in expected.get("modules", {}).items():
        for name, value in columns.items():
            assert machines[serial][name] == value, name
            compared += 1
    orders = {one.order_id: msgspec.to_builtins(one) for one in order_rows(factory, now)}
    for order_id, columns in expected.get("orders", {}).items():
        for name, value in columns.items():
            assert orders[order_id][name] == (tuple(value) if isinstance(value, list) else value), name
            compared += 1
    for hbw, bays in expected.get("stock", {}).items():
        found = stock_of(factory)[hbw]
        for at, bay in bays.items():
            assert [found[at].type, found[at].id, found[at].state] == (bay or [None, None, None])
            compared += 1
    assert compared == sum(len(columns) for part in expected.values() for columns in part.values())


def say(topic: str, at: int = AT, retain: bool = False, **payload: Any) -> dict[str, Any]:
    return {"topic": topic, "payload": json.dumps(payload), "at": at, "retain": retain}


def agv(at: int, node: str, driving: bool = False, **more: Any) -> dict[str, Any]:
    return say("fts/v1/ff/A1/state", at, serialNumber="A1", lastNodeId=node, driving=driving, orderId="", **more)


def state(at: int, identity: str | None, word: str = "RUNNING", nodered: bool = False, **more: Any) -> dict[str, Any]:
    action = None if identity is None else {"id": identity, "command": "PICK", "state": word}
    topic = f"module/v1/ff/{'NodeRed/' if nodered else ''}S1/state"
    return say(topic, at, serialNumber="S1", actionState=action, **more)


def machine_row(factory: Factory, serial: str = "S1", now: int = AT) -> MachineRow:
    return row(factory, factory.machines[serial], now)


def test_a_finished_action_that_is_reported_once_more_does_not_come_back():
    factory = Factory()
    feed(factory, [state(AT, "a", "FINISHED"), state(AT + 1, "b"), state(AT + 2, "a", "FINISHED", nodered=True)])
    action = machine_row(factory).action
    assert action is not None
    assert (action.id, action.state) == ("b", "RUNNING")


def test_an_action_is_told_once_for_each_of_its_states():
    facts = feed(Factory(), [state(AT, "a"), state(AT + 1, "a"), state(AT + 2, "a", "FINISHED"), state(AT + 3, None)])
    told = [(one.after and one.after.state, one.at) for one in facts if isinstance(one, ActionChanged)]
    assert told == [("RUNNING", AT), ("FINISHED", AT + 2), (None, AT + 3)]


def test_a_retained_state_makes_no_time_of_an_action():
    factory = Factory()
    message = state(AT, "a", "FINISHED") | {"retain": True}
    facts = feed(factory, [message])
    assert [one.retained for one in facts if isinstance(one, ActionChanged)] == [True]
    assert "a" not in factory.progress
    assert machine_row(factory).last_seen is None


def test_an_agv_that_drives_tells_each_node_with_the_length_of_the_road():
    facts = feed(Factory(), [agv(AT, "SVR4H73275"), agv(AT + 1, "2", True), agv(AT + 2, "2", True), agv(AT + 3, "1")])
    nodes = [(one.before, one.after, one.length) for one in facts if isinstance(one, NodeReached)]
    assert nodes == [("SVR4H73275", "2", 380), ("2", "1", 360)]


def test_an_agv_that_was_lost_has_not_driven_there():
    facts = feed(Factory(), [agv(AT, "2"), agv(AT + 1, "UNKNOWN"), agv(AT + 2, "1")])
    assert not [one for one in facts if isinstance(one, NodeReached)]


def test_the_last_module_of_an_agv_stays_while_it_drives():
    factory = Factory()
    feed(factory, [agv(AT, "SVR4H73275"), agv(AT + 1, "2", True)])
    found = machine_row(factory, "A1")
    assert (found.node, found.at, found.availability) == ("2", "SVR4H73275", "BUSY")


@pytest.mark.parametrize(("gap", "silent"), [(15_000, True), (300_000, False)])
def test_only_a_module_with_a_heartbeat_can_be_silent(gap: int, silent: bool):
    factory = Factory()
    online = [say("module/v1/ff/S1/connection", AT + n * gap, connectionState="ONLINE") for n in range(3)]
    feed(factory, online)
    assert machine_row(factory, now=AT + 2 * gap + 45_000).silent is False
    assert machine_row(factory, now=AT + 2 * gap + 45_001).silent is silent


def test_a_module_that_the_ccu_no_longer_lists_is_not_paired():
    factory = Factory()
    listed = {"serialNumber": "S1", "pairedSince": "2026-02-02T03:00:05.000Z", "connected": True}
    messages = [say("ccu/pairing/state", AT, modules=[listed]), say("ccu/pairing/state", AT + 1, modules=[])]
    facts = feed(factory, messages)
    assert machine_row(factory).paired is False
    changes = [(one.before, one.after) for one in facts if isinstance(one, ConnectionChanged)]
    assert changes == [(None, "ONLINE"), ("ONLINE", None)]


def order(state: str, **more: Any) -> dict[str, Any]:
    return {"orderId": "o1", "type": "RED", "state": state, **more}


def says(topic: str, at: int, orders: list[dict[str, Any]]) -> dict[str, Any]:
    return {"topic": f"ccu/order/{topic}", "payload": json.dumps(orders), "at": at}


def test_a_reset_is_corrected_by_what_is_completed_later_and_by_nothing_else():
    factory = Factory()
    reset = say("ccu/global", AT + 1, type="reset")
    feed(factory, [says("active", AT, [order("IN_PROGRESS")]), reset])
    feed(factory, [says("active", AT + 2, [order("IN_PROGRESS")])])
    assert factory.orders["o1"].order.state == "CANCELLED"
    facts = feed(factory, [says("completed", AT + 3, [order("FINISHED")])])
    assert (factory.orders["o1"].order.state, factory.orders["o1"].reason) == ("FINISHED", None)
    assert facts == [OrderChanged("o1", "CANCELLED", "FINISHED", AT + 3)]


def test_a_reset_that_the_broker_had_kept_cancels_nothing():
    factory = Factory()
    facts = feed(
        factory,
        [says("active", AT, [order("IN_PROGRESS")]), say("ccu/global", AT + 1, retain=True, type="reset")],
    )
    assert factory.orders["o1"].order.state == "IN_PROGRESS"
    assert [one for one in facts if not isinstance(one, OrderChanged)] == []


def test_a_missing_order_is_lost_after_15_minutes():
    factory = Factory()
    feed(factory, [says("active", AT, [order("IN_PROGRESS")]), says("active", AT + 1, [])])
    assert [one.lost for one in order_rows(factory, AT + 1 + 15 * 60_000)] == [False]
    assert [one.lost for one in order_rows(factory, AT + 2 + 15 * 60_000)] == [True]


def test_an_order_that_the_ccu_forgot_to_name_its_workpiece_keeps_it():
    factory = Factory()
    feed(factory, [says("active", AT, [order("ENQUEUED", workpieceId="w")])])
    feed(factory, [says("active", AT, [order("IN_PROGRESS")])])
    assert factory.orders["o1"].order.workpiece_id == "w"


def test_the_same_snapshot_again_changes_no_order():
    factory = Factory()
    messages = [says("active", AT, [order("IN_PROGRESS")])]
    assert len(feed(factory, messages)) == 1
    assert feed(factory, messages) == []


def test_an_order_that_nobody_requested_replaces_the_one_that_failed():
    again = {"orderId": "o2", "type": "RED", "state": "ENQUEUED"}
    request = say("ccu/order/request", AT + 2, type="RED")
    cases = {
        "o1": [says("active", AT + 5_000, [again])],
        None: [says("active", AT + 5_001, [again])],
        "": [request, says("active", AT + 3, [again])],
    }
    for replaces, later in cases.items():
        factory = Factory()
        feed(factory, [says("completed", AT, [order("ERROR")]), *later])
        assert factory.orders["o2"].replaces == (replaces or None)


def test_a_state_without_a_command_has_that_of_its_order():
    factory = Factory()
    asked = say(
        "module/v1/ff/S1/order", AT, orderId="o", orderUpdateId=1, action={"id": "a", "command": "DROP", "metadata": {}}
    )
    told = say("module/v1/ff/S1/state", AT + 1, serialNumber="S1", actionState={"id": "a", "state": "RUNNING"})
    feed(factory, [asked, told])
    action = machine_row(factory).action
    assert action is not None
    assert action.command == "DROP"


def test_machines_that_only_pairing_lists_and_stores_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kaiser_factory_dialect.world_machines.MAX_MACHINES", 2)
    monkeypatch.setattr("kaiser_factory_dialect.world_orders.MAX_STORES", 2)
    factory = Factory()
    for n in range(4):
        item = {"hbw": f"H{n}", "location": "A1"}
        modules = [{"serialNumber": f"P{n}"}]
        feed(factory, [say("ccu/pairing/state", AT, modules=modules), say("ccu/state/stock", AT, stockItems=[item])])
    assert sorted(factory.machines) == ["P0", "P1"]
    assert sorted(factory.stock) == ["H2", "H3"]


def test_orders_are_bounded_and_the_ended_ones_go_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kaiser_factory_dialect.world_orders.MAX_ORDERS", 2)
    factory = Factory()
    some = [{"orderId": f"o{n}", "state": "FINISHED" if n == 1 else "ENQUEUED"} for n in range(4)]
    feed(factory, [says("active", AT, some)])
    assert sorted(factory.orders) == ["o2", "o3"]


def test_progress_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kaiser_factory_dialect.world_machines.MAX_PROGRESS", 2)
    factory = Factory()
    feed(factory, [state(AT + n, f"a{n}") for n in range(4)])
    assert sorted(factory.progress) == ["a2", "a3"]


def test_a_clock_is_corrected_by_the_least_of_its_last_50_differences():
    factory = Factory()
    iso = "2026-02-13T16:26:40.000Z"
    feed(factory, [say("module/v1/ff/S1/state", AT + n, serialNumber="S1", timestamp=iso) for n in range(60)])
    assert factory.clocks.skew_ms("S1") == 10
    assert factory.clocks.corrected("S1", AT) == AT + 10
    assert factory.clocks.corrected("S2", AT) is None
    kept = [
        say("module/v1/ff/S1/state", AT - n, retain=True, serialNumber="S1", timestamp=iso, orderId=f"{n}")
        for n in range(60)
    ]
    feed(factory, kept)  # what the broker had kept was delayed by nobody knows how long
    assert factory.clocks.skew_ms("S1") == 10


SOME = [
    accepted.message
    for section in ("views", "journal")
    for vector in VECTORS[section]
    for one in vector["messages"]
    if isinstance(
        accepted := read(Arrival(one["topic"], one["payload"].encode(), AT, 1, one["retain"])), FactoryAccepted
    )
] + [
    accepted.message
    for one in VECTORS["messages"]
    if isinstance(
        accepted := read(Arrival(one["topic"], one["payload"].encode(), AT, 1, one["retain"])), FactoryAccepted
    )
]


@given(st.lists(st.tuples(st.sampled_from(SOME), st.integers(0, 60_000), st.booleans()), max_size=30))
def test_no_order_of_messages_raises_or_brings_an_end_back(steps: list[tuple[Any, int, bool]]):
    factory, ended = Factory(), dict[str, str]()
    for message, later, retained in steps:
        apply(factory, msgspec.structs.replace(message, ts=AT + later, retained=retained))
        for one in rows(factory, AT + 60_000):
            assert one.battery_percent is None or 0 <= one.battery_percent <= 100
        for order_id, record in factory.orders.items():
            if order_id in ended:
                assert record.order.state == ended[order_id]
            if record.settled:
                ended[order_id] = record.order.state
    for machine in factory.machines.values():
        assert len(machine.recent) <= world.REPEATS
    order_rows(factory, AT)
    stock_of(factory)
