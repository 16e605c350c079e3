"""VDA 5050 vehicles of 1.1, 2.0, 2.1 and 3.0: read, shown and followed; those of 2.x are sent orders and actions.

The messages are those of tests/support/vda5050_messages.py. `SHAPES` has what the schemas of 2.0
and 2.1 require of messages to a vehicle.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.contract.errors import Rejected
from kaiser_factory_dialect.apply import apply
from kaiser_factory_dialect.given import NOW, CountedIds, factory_given
from kaiser_factory_dialect.journal import JournalEntry, expire, queue, sent, settle
from kaiser_factory_dialect.messages import AgvOrder, FactoryMessage, InstantActions, MachineState
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted, FactoryIgnored, read
from kaiser_factory_dialect.steer_checks import Circumstances
from kaiser_factory_dialect.steer_vda5050 import header_topics
from kaiser_factory_dialect.steering import Plan, plan
from kaiser_factory_dialect.view import MachineRow, row
from kaiser_factory_dialect.world import Factory
from vda5050_messages import SERIAL, VERSIONS, action, header, state, topic


def accepted(where: str, payload: dict[str, Any], at: int = NOW) -> FactoryAccepted:
    verdict = read(Arrival(where, json.dumps(payload).encode(), at))
    assert isinstance(verdict, FactoryAccepted), verdict
    return verdict


def message(where: str, payload: dict[str, Any], at: int = NOW) -> FactoryMessage:
    return accepted(where, payload, at).message


@pytest.mark.parametrize("version", VERSIONS)
def test_a_state_of_each_version_is_read_whole(version: str):
    actions = [
        action(version, "a1", "pick", "FINISHED", "ok"),
        action(version, "a2", "drop", "PAUSED"),
        action(version, "a3", "beep", "WAITING"),
    ]
    changed: dict[str, Any] = {"orderId": "o-1", "orderUpdateId": 2, "driving": True, "actionStates": actions}
    changed["nodeStates"] = [{"nodeId": "N2", "sequenceId": 2, "released": True}]
    references = [{"referenceKey": "orderId", "referenceValue": "o-0"}]
    changed["errors"] = [{"errorType": "orderError", "errorLevel": "WARNING", "errorReferences": references}]
    if version == "3.0":
        changed["operatingMode"] = "TEACH_IN"
        changed["instantActionStates"] = [action(version, "i1", "stateRequest", "RETRIABLE")]
    verdict = accepted(topic(version, "state"), state(version, **changed))
    found = verdict.message
    assert isinstance(found, MachineState)
    assert verdict.unknown == ()
    assert (found.kind, found.source, found.serial) == ("agv.state", "vda5050", SERIAL)
    assert (found.order_id, found.order_update_id, found.header_id, found.nodes_left) == ("o-1", 2, 12, 1)
    assert (found.node_id, found.node_sequence_id, found.driving) == ("N1", 0, True)
    read_actions = [(one.id, one.command, one.state, one.result) for one in found.actions]
    assert read_actions[:3] == [
        ("a1", "pick", "FINISHED", "ok"),
        ("a2", "drop", "PAUSED", None),
        ("a3", "beep", "WAITING", None),
    ]
    assert read_actions[3:] == ([("i1", "stateRequest", "PAUSED", None)] if version == "3.0" else [])
    assert found.action is not None
    assert found.action.id == "a2"
    assert found.loads is not None
    assert [(load.type, load.id, load.position) for load in found.loads] == [("UNKNOWN", "P-17", "front")]
    assert found.battery is not None
    assert (found.battery.percent, found.battery.voltage, found.battery.charging) == (63.5, 48.2, False)
    assert found.position is not None
    assert (found.position.x, found.position.y, found.position.theta, found.position.map) == (12.5, -3.25, 1.57, "hall")
    assert found.e_stop == "NONE"
    assert found.operating_mode == ("TEACHIN" if version == "3.0" else "AUTOMATIC")
    assert [(one.type, one.level, one.references) for one in found.errors] == [
        ("orderError", "WARNING", {"orderId": "o-0"})
    ]


@pytest.mark.parametrize(
    ("version", "word", "expected"),
    [
        *((version, word, word) for version in VERSIONS for word in ("ONLINE", "OFFLINE")),
        *((version, "CONNECTIONBROKEN", "CONNECTIONBROKEN") for version in ("1.1", "2.0", "2.1")),
        ("3.0", "CONNECTION_BROKEN", "CONNECTIONBROKEN"),
        ("3.0", "HIBERNATING", "OFFLINE"),
    ],
)
def test_a_connection_of_each_version_is_read(version: str, word: str, expected: str):
    found = message(topic(version, "connection"), header(version) | {"connectionState": word})
    assert getattr(found, "connection", None) == expected


@pytest.mark.parametrize(
    ("version", "kind", "actions"),
    [
        ("2.0", "agvClass", "agvActions"),
        ("2.1", "agvClass", "agvActions"),
        ("3.0", "mobileRobotClass", "mobileRobotActions"),
    ],
)
def test_a_factsheet_says_what_a_vehicle_can(version: str, kind: str, actions: str):
    sheet = header(version) | {
        "typeSpecification": {"seriesName": "AMR", kind: "CARRIER", "maxLoadMass": 0.5},
        "protocolFeatures": {"optionalParameters": [], actions: [{"actionType": "pick"}, {"actionType": "drop"}]},
        "loadSpecification": {"loadPositions": ["front"], "loadSets": [{"setName": "s", "loadType": "EUR"}]},
        "physicalParameters": {},
        "protocolLimits": {},
    }
    found = message(topic(version, "factsheet"), sheet)
    fields = {name: getattr(found, name) for name in ("series", "agv_class", "actions", "load_types")}
    assert fields == {"series": "AMR", "agv_class": "CARRIER", "actions": ("drop", "pick"), "load_types": ("EUR",)}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_visualization_is_kept_and_not_read(version: str):
    verdict = read(Arrival(topic(version, "visualization"), json.dumps(header(version)).encode(), NOW))
    assert verdict == FactoryIgnored("observed")


@pytest.mark.parametrize("version", ["1.1", "2.0", "2.1"])
def test_an_order_of_another_master_control_is_read(version: str):
    pick = {"actionId": "a1", "actionType": "pick", "blockingType": "HARD"}
    pick["actionParameters"] = [{"key": "height", "value": 0.4}]  # type: ignore[assignment]
    order = header(version) | {
        "orderId": "o-1",
        "orderUpdateId": 0,
        "nodes": [
            {"nodeId": "N1", "sequenceId": 0, "released": True, "actions": []},
            {"nodeId": "N2", "sequenceId": 2, "released": True, "actions": [pick]},
        ],
        "edges": [{"edgeId": "E1", "sequenceId": 1, "released": True, "startNodeId": "N1", "endNodeId": "N2"}],
    }
    found = message(topic(version, "order"), order)
    assert isinstance(found, AgvOrder)
    assert (found.path, found.final_action_id) == (("N1", "N2"), "a1")
    assert found.nodes[1].metadata == {"height": 0.4}


@pytest.mark.parametrize(
    ("version", "listed", "named"),
    [("1.1", "instantActions", "actionType"), ("2.0", "actions", "actionName"), ("2.1", "actions", "actionType")],
)
def test_instant_actions_of_each_version_are_read(version: str, listed: str, named: str):
    one = {"actionId": "i1", named: "initPosition", "blockingType": "HARD"}
    one["actionParameters"] = [{"key": "x", "value": 1.5}]  # type: ignore[assignment]
    found = message(topic(version, "instantActions"), header(version) | {listed: [one]})
    assert isinstance(found, InstantActions)
    assert [(each.id, each.type, each.metadata) for each in found.actions] == [("i1", "initPosition", {"x": 1.5})]


def test_what_is_no_state_of_a_vehicle_is_rejected_with_its_code():
    other = state("2.1") | {"serialNumber": "AMR.0008"}
    for changed, code in (({}, None), ({"serialNumber": None}, 5205), (other, 5211), ({"driving": "yes"}, 5206)):
        verdict = read(Arrival(topic("2.1", "state"), json.dumps(state("2.1") | changed).encode(), NOW))
        assert (verdict.code if isinstance(verdict, Rejected) else None) == code


# ---- shown


def factory_with(version: str, **changed: Any) -> Factory:
    factory = factory_given({})
    hear(factory, topic(version, "connection"), header(version) | {"connectionState": "ONLINE"})
    hear(factory, topic(version, "state"), state(version, **changed))
    return factory


def hear(factory: Factory, where: str, payload: dict[str, Any], at: int = NOW) -> None:
    apply(factory, message(where, payload, at))


def shown(factory: Factory) -> MachineRow:
    return row(factory, factory.machines[SERIAL], NOW)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_vehicle_of_each_version_has_a_row_like_an_agv(version: str):
    found = shown(factory_with(version))
    assert (found.kind, found.type, found.connection, found.availability) == ("agv", None, "ONLINE", "READY")
    assert (found.node, found.driving, found.battery_percent, found.charging) == ("N1", False, 63.5, False)
    assert [(load.id, load.type) for load in found.loads] == [("P-17", "UNKNOWN")]


@pytest.mark.parametrize(
    ("changed", "availability"),
    [
        ({"driving": True}, "BUSY"),
        ({"actionStates": [action("2.1", "a", "pick", "RUNNING")]}, "BUSY"),
        ({"paused": True}, "BLOCKED"),
        ({"operatingMode": "MANUAL"}, "BLOCKED"),
        ({"errors": [{"errorType": "lostError", "errorLevel": "FATAL"}]}, "BLOCKED"),
        ({"safetyState": {"eStop": "MANUAL", "fieldViolation": False}}, "BLOCKED"),
    ],
)
def test_the_availability_of_a_vehicle(changed: dict[str, Any], availability: str):
    assert shown(factory_with("2.1", **changed)).availability == availability


# ---- sent

HEADER = {"headerId": int, "timestamp": str, "version": str, "manufacturer": str, "serialNumber": str}
ACTION = {"actionId": str, "actionType": str, "blockingType": str, "actionParameters": [{"key": str, "value": object}]}
SHAPES: dict[str, dict[str, Any]] = {
    "order": HEADER
    | {
        "orderId": str,
        "orderUpdateId": int,
        "nodes": [{"nodeId": str, "sequenceId": int, "released": bool, "actions": [ACTION]}],
        "edges": [
            {
                "edgeId": str,
                "sequenceId": int,
                "released": bool,
                "startNodeId": str,
                "endNodeId": str,
                "actions": [ACTION],
            }
        ],
    },
    "instantActions": HEADER | {"actions": [ACTION | {"actionName": str}]},
}


def has_shape(value: Any, shape: Any) -> bool:
    """Whether a value has exactly these fields, of these types."""
    if isinstance(shape, dict):
        return (
            isinstance(value, dict)
            and value.keys() == shape.keys()
            and all(has_shape(value[name], kind) for name, kind in shape.items())
        )
    if isinstance(shape, list):
        return isinstance(value, list) and all(has_shape(one, shape[0]) for one in value)
    return shape is object or type(value) is shape


def steer(factory: Factory, request: dict[str, Any], **more: Any) -> Plan:
    return plan(request, factory, Circumstances(now=NOW, fresh=CountedIds(), **more))


DRIVE = {"do": "navigate", "agv": SERIAL, "path": ["N1", "N2", "N3"]}


def test_an_order_along_a_path_is_a_vda_5050_order():
    request = DRIVE | {"action": {"type": "drop", "parameters": {"height": 0.4}}}
    where = topic("2.1", "order")
    made = steer(factory_with("2.1"), request, header_ids={where: 41})
    [one] = made.messages
    payload = json.loads(one.payload)
    assert one.topic == where
    assert has_shape(payload, SHAPES["order"])
    assert (payload["headerId"], payload["version"], payload["manufacturer"]) == (41, "2.0.0", "ACME")
    assert one.header_id == 41
    assert payload["serialNumber"] == SERIAL
    assert [(each["nodeId"], each["sequenceId"], each["released"]) for each in payload["nodes"]] == [
        ("N1", 0, True),
        ("N2", 2, True),
        ("N3", 4, True),
    ]
    assert [(each["sequenceId"], each["startNodeId"], each["endNodeId"]) for each in payload["edges"]] == [
        (1, "N1", "N2"),
        (3, "N2", "N3"),
    ]
    assert [len(each["actions"]) for each in payload["nodes"]] == [0, 0, 1]
    last = payload["nodes"][2]["actions"][0]
    assert (last["actionType"], last["blockingType"]) == ("drop", "HARD")
    assert last["actionParameters"] == [{"key": "height", "value": 0.4}]
    assert one.command.path == ("N1", "N2", "N3")
    assert one.command.action_id == last["actionId"]


@pytest.mark.parametrize(
    "kind",
    [
        "startPause",
        "stopPause",
        "cancelOrder",
        "stateRequest",
        "factsheetRequest",
        "startCharging",
        "stopCharging",
    ],
)
def test_an_instant_action_to_a_vehicle(kind: str):
    made = steer(factory_with("2.0", driving=True), {"do": "instant", "serial": SERIAL, "type": kind})
    [one] = made.messages
    payload = json.loads(one.payload)
    assert one.topic == topic("2.0", "instantActions")
    assert has_shape(payload, SHAPES["instantActions"])
    assert payload["headerId"] == one.header_id == 1
    [sent_action] = payload["actions"]
    assert sent_action["actionType"] == sent_action["actionName"] == kind
    assert sent_action["blockingType"] in {"NONE", "SOFT", "HARD"}
    assert one.command.name == kind


POSITION = {"x": 1.5, "y": 2, "theta": 0.1, "mapId": "hall", "lastNodeId": "N1"}


def test_a_position_is_set_with_all_of_its_parameters():
    request = {"do": "instant", "serial": SERIAL, "type": "initPosition"}
    [one] = steer(factory_with("2.1"), request | {"metadata": POSITION}).messages
    [sent_action] = json.loads(one.payload)["actions"]
    assert {each["key"]: each["value"] for each in sent_action["actionParameters"]} == POSITION
    for name in POSITION:
        refused = steer(factory_with("2.1"), request | {"metadata": {**POSITION, name: None}}).refusal
        assert refused is not None
        assert (refused.status, refused.code, refused.field) == (422, 5205, f"metadata.{name}")


@pytest.mark.parametrize(
    ("request_", "changed", "status", "code"),
    [
        (DRIVE | {"path": []}, {}, 422, 5205),
        (DRIVE | {"path": ["N1", "N1"]}, {}, 422, 5207),
        (DRIVE | {"path": ["N1", 2]}, {}, 422, 5206),
        (DRIVE | {"agv": None}, {}, 422, 5205),
        (DRIVE | {"route": "DPS-HBW"}, {}, 422, 5206),
        (DRIVE | {"action": {"type": "drop", "blocking": "never"}}, {}, 422, 5206),
        (DRIVE | {"agv": "nobody"}, {}, 404, 5001),
        (DRIVE | {"agv": "5iO4"}, {}, 422, 5204),
        ({"do": "navigate", "agv": SERIAL, "route": "DPS-HBW"}, {}, 422, 5204),
        ({"do": "charge", "agv": SERIAL, "charge": True}, {}, 422, 5204),
        ({"do": "pair", "agv": SERIAL}, {}, 422, 5204),
        ({"do": "instant", "serial": SERIAL, "type": "reset"}, {}, 422, 5204),
        ({"do": "instant", "serial": SERIAL, "type": "initPosition"}, {}, 422, 5205),
        (DRIVE, {"lastNodeId": "N9"}, 409, 5402),
        (DRIVE, {"lastNodeId": ""}, 409, 5402),
        (DRIVE, {"driving": True}, 409, 5402),
        (DRIVE, {"paused": True}, 409, 5402),
        (DRIVE, {"operatingMode": "MANUAL"}, 409, 5402),
        (DRIVE, {"safetyState": {"eStop": "REMOTE", "fieldViolation": False}}, 409, 5402),
        (DRIVE, {"errors": [{"errorType": "x", "errorLevel": "FATAL"}]}, 409, 5402),
    ],
)
def test_a_request_to_a_vehicle_is_refused_with_its_code(
    request_: dict[str, Any], changed: dict[str, Any], status: int, code: int
):
    made = steer(factory_with("2.1", **changed), request_)
    assert made.messages == ()
    assert made.refusal is not None
    assert (made.refusal.status, made.refusal.code) == (status, code), made.refusal.text


@pytest.mark.parametrize("version", ["1.1", "3.0"])
@pytest.mark.parametrize("request_", [DRIVE, {"do": "instant", "serial": SERIAL, "type": "startPause"}])
def test_nothing_is_sent_to_a_vehicle_of_another_version(version: str, request_: dict[str, Any]):
    refused = steer(factory_with(version), request_).refusal
    assert refused is not None
    assert (refused.status, refused.code) == (422, 5204)


def test_a_vehicle_that_is_offline_is_sent_nothing():
    factory = factory_with("2.1")
    hear(factory, topic("2.1", "connection"), header("2.1") | {"connectionState": "OFFLINE"})
    refused = steer(factory, DRIVE).refusal
    assert refused is not None
    assert (refused.status, refused.code) == (409, 5007)


def test_an_action_that_the_factsheet_does_not_list_is_refused():
    factory = factory_with("2.1")
    features = {"protocolFeatures": {"agvActions": [{"actionType": "pick"}]}, "typeSpecification": {}}
    hear(factory, topic("2.1", "factsheet"), header("2.1") | features)
    assert steer(factory, DRIVE | {"action": {"type": "pick"}}).refusal is None
    refused = steer(factory, DRIVE | {"action": {"type": "drop"}}).refusal
    assert refused is not None
    assert (refused.status, refused.code) == (422, 5204)


def test_the_header_ids_of_a_vehicle_are_those_of_its_two_topics():
    factory = factory_with("2.1")
    assert header_topics(factory, SERIAL) == (topic("2.1", "order"), topic("2.1", "instantActions"))
    assert [header_topics(factory, one) for one in ("5iO4", "nobody", None, 7)] == [(), (), (), ()]


def test_a_vehicle_of_another_interface_is_sent_to_where_it_speaks():
    factory, where = factory_given({}), "fleet/v2/ACME/V1"
    for name, payload in (
        ("connection", {"connectionState": "ONLINE"}),
        ("state", state("2.1") | {"serialNumber": "V1"}),
    ):
        verdict = read(Arrival(f"{where}/{name}", json.dumps(payload).encode(), NOW), ["fleet"])
        assert isinstance(verdict, FactoryAccepted)
        apply(factory, verdict.message)
    request = {"do": "instant", "serial": "V1", "type": "startPause"}
    [one] = steer(factory, request, interfaces=("fleet",)).messages
    assert one.topic == f"{where}/instantActions"
    assert one.command.name == "startPause"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=300),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=140), children, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(["path", "action", "agv", "serial", "type", "metadata", "load_type"])
ACTIONS = st.fixed_dictionaries({"type": JSON}, optional={"blocking": JSON, "parameters": JSON})
PATHS = st.lists(st.sampled_from(["N1", "N2", "", "x" * 129]) | JSON, max_size=4)


@given(
    st.sampled_from([DRIVE, {"do": "instant", "serial": SERIAL, "type": "initPosition", "metadata": POSITION}]),
    st.dictionaries(FIELDS, JSON | ACTIONS | PATHS, max_size=3),
)
def test_no_request_to_a_vehicle_raises_and_what_is_sent_has_the_shape(
    request_: dict[str, Any], changed: dict[str, Any]
):
    made = steer(factory_with("2.1"), request_ | changed)
    assert (made.refusal is None) == bool(made.messages)
    for one in made.messages:
        assert has_shape(json.loads(one.payload), SHAPES[one.topic.rpartition("/")[2]])


# ---- followed


def followed(request: dict[str, Any], *states: dict[str, Any]) -> JournalEntry:
    """The journal after a vehicle's states, a second apart; in them `$order` and `$action` are the command's."""
    [one] = steer(factory_with("2.1"), request).messages
    entry = sent(queue(one.command, NOW), NOW)
    for number, changed in enumerate(states, start=1):
        text = json.dumps(state("2.1", **changed)).replace("$order", one.command.order_id or "")
        payload = json.loads(text.replace("$action", one.command.action_id or ""))
        entry = settle(entry, message(topic("2.1", "state"), payload, NOW + 1000 * number))
    return entry


LEFT = [{"nodeId": "N3", "sequenceId": 4, "released": True}]
ON_THE_WAY = {"orderId": "$order", "nodeStates": LEFT, "driving": True}
THERE = {"orderId": "$order", "lastNodeId": "N3", "lastNodeSequenceId": 4}
DROPPING = DRIVE | {"action": {"type": "drop"}}


@pytest.mark.parametrize(
    ("request_", "states", "expected"),
    [
        (DRIVE, [], "sent"),
        (DRIVE, [{}], "sent"),
        (DRIVE, [ON_THE_WAY], "accepted"),
        (DRIVE, [ON_THE_WAY, THERE | {"driving": True}], "accepted"),
        (DRIVE, [ON_THE_WAY, THERE], "finished"),
        (DRIVE, [ON_THE_WAY, {"orderId": "$order", "lastNodeId": "N2", "lastNodeSequenceId": 2}], "failed"),
        (DROPPING, [ON_THE_WAY, THERE], "accepted"),
        (DROPPING, [THERE | {"actionStates": [action("2.1", "$action", "drop", "RUNNING")]}], "accepted"),
        (DROPPING, [THERE | {"actionStates": [action("2.1", "$action", "drop", "FINISHED", "ok")]}], "finished"),
        (DROPPING, [ON_THE_WAY | {"actionStates": [action("2.1", "$action", "drop", "FAILED")]}], "failed"),
    ],
)
def test_an_order_is_followed_to_its_end(request_: dict[str, Any], states: list[dict[str, Any]], expected: str):
    assert followed(request_, *states).state == expected


def test_an_order_with_an_action_has_its_result():
    ended = action("2.1", "$action", "drop", "FINISHED", "ok")
    assert followed(DROPPING, ON_THE_WAY, THERE | {"actionStates": [ended]}).result == "ok"


@pytest.mark.parametrize(
    ("request_", "error", "references", "expected"),
    [
        (DRIVE, "orderError", {"orderId": "$order"}, "refused"),
        (DRIVE, "noRouteError", {"orderId": "$order", "orderUpdateId": "0"}, "refused"),
        (DRIVE, "validationError", {"orderId": "$order", "orderUpdateId": "1"}, "sent"),
        (DRIVE, "orderError", {"orderId": "another"}, "sent"),
        (DRIVE, "batteryWarning", {"orderId": "$order"}, "sent"),
        (
            {"do": "instant", "serial": SERIAL, "type": "cancelOrder"},
            "noOrderToCancel",
            {"actionId": "$action"},
            "refused",
        ),
        ({"do": "instant", "serial": SERIAL, "type": "cancelOrder"}, "noOrderToCancel", {"actionId": "x"}, "sent"),
    ],
)
def test_a_vehicle_refuses_by_an_error_that_names_the_command(
    request_: dict[str, Any], error: str, references: dict[str, str], expected: str
):
    listed = [{"referenceKey": key, "referenceValue": value} for key, value in references.items()]
    said = {"errorType": error, "errorLevel": "WARNING", "errorReferences": listed}
    assert followed(request_, {"errors": [said]}).state == expected


def test_an_instant_action_ends_with_its_action_state():
    request = {"do": "instant", "serial": SERIAL, "type": "startPause"}
    assert followed(request, {"actionStates": [action("2.1", "$action", "startPause", "RUNNING")]}).state == "accepted"
    assert followed(request, {"actionStates": [action("2.1", "$action", "startPause", "FINISHED")]}).state == "finished"
    assert followed(request, {"actionStates": [action("2.1", "$action", "startPause", "FAILED")]}).state == "failed"


def test_a_vehicle_that_never_answers_has_not_answered():
    assert expire(followed(DRIVE, {}), NOW + 10_000).state == "no_answer"
    assert expire(followed(DRIVE, ON_THE_WAY), NOW + 90_000).state == "timed_out"
