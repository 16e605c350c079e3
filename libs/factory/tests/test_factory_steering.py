"""Steering: the handed commands, each check in its order, and ways over any layout."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_factory_dialect.apply import apply
from kaiser_factory_dialect.ccu_messages import LayoutModule, LayoutRoad
from kaiser_factory_dialect.given import NOW, CountedIds, factory_given
from kaiser_factory_dialect.layout import DEFAULT_LAYOUT
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted, read
from kaiser_factory_dialect.routes import shortest_path, turn_at
from kaiser_factory_dialect.sequence import due_step, is_stopped
from kaiser_factory_dialect.steer_checks import Circumstances
from kaiser_factory_dialect.steering import Plan, plan
from msgspec.structs import replace

VECTORS = json.loads((Path(__file__).parents[3] / "tests/golden/factory-messages.json").read_text())["commands"]
FORMS = {
    "now": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
    "uuid": "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "hex8": "[0-9a-f]{8}",
    "hex12": "[0-9a-f]{12}",
}


def steer(request: Mapping[str, Any], given: Mapping[str, Any] | None = None, **more: Any) -> Plan:
    return plan(request, factory_given(given or {}), Circumstances(now=NOW, fresh=CountedIds(), **more))


def fill(expected: Any, found: Any, bound: dict[str, str]) -> Any:
    """The expected value with each `$name` replaced by what was found in its place, if that has the form."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return {key: fill(value, found.get(key), bound) for key, value in expected.items()}
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return [fill(one, other, bound) for one, other in zip(expected, found, strict=True)]
    if not isinstance(expected, str) or not isinstance(found, str):
        return expected
    names = re.findall(r"\$(\w+)(:\w+)?", expected)
    pattern = re.sub(r"\\\$(\w+)(:\w+)?", lambda name: f"({FORMS[name[1]]})", re.escape(expected))
    if not names or not (match := re.fullmatch(pattern, found)):
        return expected
    for (form, name), value in zip(names, match.groups(), strict=True):
        if form != "now" and bound.setdefault(form + name, value) != value:
            return expected
    return found


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_request_becomes_what_the_vector_says(vector: dict[str, Any]):
    situation, request = dict(vector.get("given", {})), dict(vector["request"])
    role = request.pop("role", "operator")
    made = steer(request, situation, env_kind=situation.get("env_kind", "live"), role=role)
    if vector["expect"] == "refuse":
        assert made.refusal is not None
        assert (made.refusal.status, made.refusal.code) == (vector["status"], vector["code"])
        assert made.messages == ()
        assert (made.checks[-1].ok, made.checks[-1].code) == (False, vector["code"])
        return
    assert made.refusal is None, made.refusal
    assert vector["status"] == 202
    found = [
        {
            "topic": one.topic,
            "payload": json.loads(one.payload),
            "after": f"FINISHED of {one.after}" if one.after else None,
        }
        for one in made.messages
    ]
    expected = [
        {"topic": one["topic"], "payload": one["payload"], "after": one.get("after")} for one in vector["messages"]
    ]
    bound: dict[str, str] = {}
    filled = fill(expected, found, bound)
    assert found == filled
    assert len(set(bound.values())) == len(bound)
    assert all((one["qos"], one["retain"]) == (1, False) for one in vector["messages"])


MILL, DPS, HBW = "SVR3QA2098", "SVR4H73275", "SVR3QA0022"
SEQUENCE = {"do": "sequence", "module": "MILL", "load_type": "WHITE"}
BUSY = {"id": "a", "command": "MILL", "state": "RUNNING"}


@pytest.mark.parametrize(
    ("request_of", "situation", "more", "status", "code"),
    [
        ({"do": "fly"}, {}, {"env_kind": "replay"}, 409, 5405),
        ({"do": "fly"}, {}, {"role": "viewer"}, 403, 5405),
        ({"do": "fly"}, {}, {}, 422, 5206),
        ({}, {}, {}, 422, 5205),
        ({"do": "sequence", "module": "MILL"}, {}, {}, 422, 5205),
        ({"do": "sequence", "module": "OVEN", "load_type": "RED"}, {}, {}, 404, 5001),
        ({"do": "sequence", "module": "HBW", "load_type": "RED"}, {}, {}, 422, 5204),
        (
            {"do": "command", "serial": MILL, "command": "FLY"},
            {"modules": {MILL: {"connection": "OFFLINE"}}},
            {},
            409,
            5007,
        ),
        ({"do": "command", "serial": MILL, "command": "FLY", "order_id": "o"}, {}, {}, 422, 5204),
        ({"do": "command", "serial": MILL, "command": "PICK", "order_id": "o"}, {}, {}, 404, 5001),
        (
            {"do": "command", "serial": MILL, "command": "PICK", "order_id": "o"},
            {"orders": {"o": {"state": "IN_PROGRESS"}}, "modules": {MILL: {"action": BUSY}}},
            {},
            409,
            5405,
        ),
        (
            {"do": "command", "serial": MILL, "command": "PICK", "order_id": "o", "order_update_id": 2},
            {"modules": {MILL: {"action": BUSY}}},
            {"order_ids": {"o": 3}},
            409,
            5402,
        ),
        (
            {"do": "command", "serial": MILL, "command": "PICK", "order_id": "o", "order_update_id": 2},
            {},
            {"order_ids": {"o": 3}},
            409,
            5208,
        ),
        (SEQUENCE, {}, {"last_minute": 58}, 429, 5404),
        (SEQUENCE | {"retain": True}, {}, {}, 422, 5206),
        ({"do": "reset", "confirm": "reset"}, {}, {}, 422, 5207),
        ({"do": "instant", "serial": MILL, "type": "setStatusLED"}, {}, {}, 422, 5204),
        ({"do": "instant", "serial": "CHRG0", "type": "reset"}, {}, {}, 422, 5204),
        ({"do": "cancel", "order_ids": ["none"]}, {}, {}, 404, 5001),
        ({"do": "cancel", "order_ids": []}, {}, {}, 422, 5205),
        ({"do": "order", "type": "GREEN"}, {}, {}, 422, 5206),
        ({"do": "navigate", "route": "DPS-HBW", "load_position": "4"}, {}, {}, 422, 5207),
        ({"do": "navigate", "route": "HBW-HBW"}, {}, {}, 422, 5206),
        ({"do": "navigate", "route": "DPS-HBW", "agv": MILL}, {}, {}, 404, 5001),
        ({"do": "publish", "topic": "ccu/order/request", "payload": {}}, {}, {}, 422, 5205),
        ({"do": "publish", "topic": "ccu/set/+", "payload": {}}, {}, {"role": "admin"}, 409, 5405),
        ({"do": "publish", "topic": "omf/x", "payload": 1, "free": True}, {}, {}, 409, 5405),
        ({"do": "publish", "topic": "ccu/set/park", "payload": {"timestamp": "x"}, "qos": 2}, {}, {}, 422, 5207),
    ],
)
def test_the_first_check_that_fails_answers(
    request_of: dict[str, Any], situation: dict[str, Any], more: dict[str, Any], status: int, code: int
):
    made = steer(request_of, situation, **more)
    assert made.refusal is not None
    assert (made.refusal.status, made.refusal.code) == (status, code), made.refusal.text


@pytest.mark.parametrize(
    "request_of",
    [
        {"do": "command", "serial": MILL, "command": "PICK"},
        SEQUENCE,
        {"do": "sequence", "module": MILL, "load_type": "WHITE"},
    ],
)
def test_a_module_that_an_agvs_topic_names_is_refused_as_what_it_is_known_as(request_of: dict[str, Any]):
    factory = factory_given({})
    state = {"serialNumber": MILL, "lastNodeId": DPS, "driving": False}
    verdict = read(Arrival(f"fts/v1/ff/{MILL}/state", json.dumps(state).encode(), NOW))
    assert isinstance(verdict, FactoryAccepted)
    apply(factory, verdict.message)
    refusal = plan(request_of, factory, Circumstances(now=NOW, fresh=CountedIds())).refusal
    assert refusal is not None
    assert (refusal.status, refusal.code) == (404, 5001)
    assert f"{MILL} is known as an AGV, not as a module" in refusal.text


@pytest.mark.parametrize(
    ("request_of", "text"),
    [
        ({"do": "navigate", "route": "DPS-HBW", "agv": MILL}, f"{MILL} is known as a module, not as an AGV"),
        ({"do": "sequence", "module": "5iO4", "load_type": "RED"}, "5iO4 is known as an AGV, not as a module"),
        ({"do": "command", "serial": "SVR9", "command": "PICK"}, "there is no SVR9"),
        ({"do": "sequence", "module": "OVEN", "load_type": "RED"}, "there is no module OVEN"),
    ],
)
def test_a_serial_that_is_refused_is_said_to_be_of_the_other_kind_or_not_there(request_of: dict[str, Any], text: str):
    refusal = steer(request_of).refusal
    assert refusal is not None
    assert refusal.text.startswith(text), refusal.text


AGV = {"node": DPS, "loads": []}


@pytest.mark.parametrize(
    "agv",
    [
        {"driving": True},
        {"waiting": True},
        {"paused": True},
        {"node": "UNKNOWN"},
        {"node": HBW},
        {"loads": [{"position": one, "type": "RED", "id": f"r{one}"} for one in "123"]},
    ],
)
def test_an_agv_that_is_not_ready_does_not_drive(agv: dict[str, Any]):
    made = steer({"do": "navigate", "route": "DPS-HBW"}, {"agvs": {"A1": AGV | agv}})
    assert made.refusal is not None
    assert (made.refusal.status, made.refusal.code) == (409, 5402)


def test_an_agv_docks_with_what_it_carries():
    loads = [{"position": "1", "type": "RED", "id": "r"}, {"position": "3", "type": "WHITE", "id": "w"}]
    made = steer({"do": "navigate", "route": "DPS-HBW"}, {"agvs": {"A1": AGV | {"loads": loads}}})
    dock = json.loads(made.messages[0].payload)["nodes"][-1]["action"]["metadata"]
    assert dock == {"loadId": "w", "loadType": "WHITE", "loadPosition": "3"}


def test_the_agv_that_stands_there_drives():
    made = steer({"do": "navigate", "route": "DPS-HBW"}, {"agvs": {"A1": {"node": HBW}, "B2": {"node": DPS}}})
    assert made.messages[0].topic == "fts/v1/ff/B2/order"


def test_the_next_update_of_an_order_of_ours_follows():
    request = {"do": "command", "serial": MILL, "command": "DROP", "order_id": "o"}
    situation = {"modules": {MILL: {"order_id": "o", "action": BUSY}}}
    made = steer(request, situation, order_ids={"o": 7})
    assert json.loads(made.messages[0].payload)["orderUpdateId"] == 7
    assert made.messages[0].command.order_update_id == 7


def test_only_an_admin_may_force_an_order_of_the_ccu():
    request = {"do": "command", "serial": MILL, "command": "PICK", "order_id": "o", "force": True}
    situation = {"orders": {"o": {"state": "IN_PROGRESS"}}}
    refused = steer(request, situation).refusal
    assert refused is not None
    assert (refused.status, refused.code) == (409, 5405)
    assert steer(request | {"force": False}, situation, role="admin").refusal is not None
    assert [one.command.order_id for one in steer(request, situation, role="admin").messages] == ["o"]


def test_an_admin_may_send_to_any_topic_but_those_of_esp32s():
    free = {"do": "publish", "topic": "omf/x", "payload": {"a": 1}, "free": True}
    made = steer(free, role="admin")
    assert [(one.topic, one.payload, one.free) for one in made.messages] == [("omf/x", b'{"a":1}', True)]
    assert made.messages[0].command.what == "free"
    assert steer(free | {"topic": "kaiser/x"}, role="admin").refusal is not None


@pytest.mark.parametrize(
    ("payload", "field"),
    [({"type": 1}, "type"), ({}, "type"), ("text", "payload"), ([1], "payload"), (None, "payload")],
)
def test_a_payload_that_is_wrong_is_refused_with_its_field(payload: Any, field: str):
    made = steer({"do": "publish", "topic": "ccu/order/request", "payload": payload})
    assert made.refusal is not None
    assert (made.refusal.status, made.refusal.field) == (422, field)


def test_a_message_that_is_published_is_followed_like_any_other():
    payload = {"orderId": "o", "orderUpdateId": 1, "action": {"id": "a", "command": "MILL"}}
    made = steer({"do": "publish", "topic": f"module/v1/ff/{MILL}/order", "payload": payload})
    assert made.messages[0].command.action_id == "a"


def test_a_factsheet_says_what_a_module_can():
    factory = factory_given({})
    sheet = {
        "serialNumber": MILL,
        "typeSpecification": {"moduleClass": "MILL"},
        "protocolFeatures": {"moduleActions": [{"actionType": "POLISH"}]},
    }
    verdict = read(Arrival(f"module/v1/ff/{MILL}/factsheet", json.dumps(sheet).encode(), NOW))
    assert isinstance(verdict, FactoryAccepted)
    apply(factory, verdict.message)
    at = Circumstances(now=NOW, fresh=CountedIds())
    assert plan({"do": "command", "serial": MILL, "command": "POLISH"}, factory, at).refusal is None
    assert plan({"do": "command", "serial": MILL, "command": "PICK"}, factory, at).refusal is not None


IDLE = factory_given({})


def steer_idle(request: Mapping[str, Any], role: Any = "operator") -> Plan:
    return plan(request, IDLE, Circumstances(now=NOW, fresh=CountedIds(), role=role))


@given(st.dictionaries(st.text(max_size=12), st.none() | st.booleans() | st.integers() | st.text(max_size=12)))
def test_no_request_raises(more: dict[str, Any]):
    for do in ("navigate", "sequence", "command", "instant", "order", "cancel", "reset", "park", "charge", "pair"):
        made = steer_idle({"do": do, **more})
        assert (made.refusal is None) == bool(made.messages)
    for do in ("camera", "sensor_period", "publish"):
        steer_idle({"do": do, **more}, role="admin")


VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.lists(st.text(max_size=3), max_size=2)
NAMES = st.sampled_from(
    [
        *("route", "from", "to", "agv", "load_type", "load_id", "load_position", "module", "serial", "command"),
        *("metadata", "duration", "workpiece_id", "type", "order_type", "order_ids", "confirm", "with_storage"),
        *("charge", "cmd", "degree", "topic", "payload", "payload_base64", "sensor", "period", "on", "fps", "txt"),
        *("order_id", "order_update_id", "force"),
    ]
)


@given(
    st.sampled_from([*sorted({vector["request"]["do"] for vector in VECTORS}), "sensor_period", "fly"]),
    st.dictionaries(NAMES, VALUES),
    st.sampled_from(["viewer", "operator", "admin"]),
)
def test_no_values_raise_and_a_refusal_sends_nothing(do: str, more: dict[str, Any], role: str):
    made = steer_idle({"do": do, **more}, role=role)
    assert (made.refusal is None) == bool(made.messages)
    assert role != "viewer" or made.refusal is not None


def test_a_path_leads_through_no_module_and_is_the_smallest_of_equal_ones():
    assert shortest_path(DEFAULT_LAYOUT, DPS, "SVR4H76449") == (DPS, "2", "1", "3", "SVR4H76449")
    assert shortest_path(DEFAULT_LAYOUT, DPS, DPS) == (DPS,)
    assert shortest_path(DEFAULT_LAYOUT, DPS, "nowhere") is None
    through = replace(DEFAULT_LAYOUT, roads=(LayoutRoad(DPS, MILL, 1, "EAST"), LayoutRoad(MILL, HBW, 1, "EAST")))
    assert shortest_path(through, DPS, HBW) is None


@pytest.mark.parametrize(
    ("three", "turn"),
    [
        ((HBW, "1", "2"), None),
        ((HBW, "1", "3"), "RIGHT"),
        ((HBW, "1", MILL), "LEFT"),
        (("1", "2", "1"), "BACK"),
        (("3", "1", HBW), "LEFT"),
    ],
)
def test_an_agv_turns_as_the_roads_lead(three: tuple[str, str, str], turn: str | None):
    assert turn_at(DEFAULT_LAYOUT, *three) == turn


ROADS = st.lists(
    st.builds(
        LayoutRoad,
        st.sampled_from("abcd"),
        st.sampled_from("abcd"),
        st.integers(1, 9),
        st.sampled_from(["NORTH", "EAST", "SOUTH", "WEST"]),
    ),
    max_size=8,
)


@given(ROADS)
def test_no_other_way_is_shorter(roads: list[LayoutRoad]):
    layout = replace(
        DEFAULT_LAYOUT, modules=(LayoutModule("d", "MILL"),), intersections=("a", "b", "c"), roads=tuple(roads)
    )
    ways = {("a",): 0.0}
    for _ in range(3):
        for way, length in list(ways.items()):
            for road in roads:
                for one, other in ((road.start, road.end), (road.end, road.start)):
                    if one == way[-1] != "d" and other not in way:
                        ways[*way, other] = min(length + road.length, ways.get((*way, other), 99))
    best = min(((length, way) for way, length in ways.items() if way[-1] == "d"), default=None)
    assert shortest_path(layout, "a", "d") == (best[1] if best is not None else None)


def test_a_step_goes_when_the_one_before_is_finished():
    steps = steer(SEQUENCE).messages
    ids = [one.command.action_id for one in steps]
    assert due_step(steps, {}) is steps[0]
    assert due_step(steps, {ids[0]: "accepted"}) is None
    assert due_step(steps, {ids[0]: "finished"}) is steps[1]
    assert due_step(steps, {ids[0]: "finished", ids[1]: "sent"}) is None
    assert due_step(steps, dict.fromkeys(ids, "finished")) is None


@pytest.mark.parametrize("end", ["failed", "refused", "no_answer", "timed_out", "expired", "abandoned"])
def test_any_other_end_of_a_step_stops_the_sequence(end: str):
    steps = steer(SEQUENCE).messages
    first = steps[0].command.action_id
    assert is_stopped(steps, {first: end})
    assert due_step(steps, {first: end}) is None
    assert not is_stopped(steps, {first: "finished"})
    assert not is_stopped(steps, {first: "unconfirmed"})


@pytest.mark.parametrize(
    ("vector", "field"),
    [(vector, field) for vector in VECTORS if vector["expect"] != "refuse" for field in ("agvs", "rout", "Type")],
    ids=lambda one: one if isinstance(one, str) else one["name"],
)
def test_a_misspelt_field_is_refused(vector: dict[str, Any], field: str):
    """Ignored, it would let the wrong AGV move."""
    situation, request = dict(vector.get("given", {})), dict(vector["request"])
    role = request.pop("role", "operator")
    made = steer({**request, field: "x"}, situation, env_kind=situation.get("env_kind", "live"), role=role)
    assert made.messages == ()
    assert made.refusal is not None
    assert (made.refusal.status, made.refusal.field) == (422, field)
