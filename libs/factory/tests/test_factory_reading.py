"""Reading: the handed vectors with every field of their expectation, and what holds for any topic and bytes."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.contract.errors import Rejected
from kaiser_factory_dialect import ccu, machines, quick, wire
from kaiser_factory_dialect.apply import apply
from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.fields import Fields
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted, FactoryIgnored, Verdict, read
from kaiser_factory_dialect.times import read_time
from kaiser_factory_dialect.topics import parse
from kaiser_factory_dialect.view import rows
from kaiser_factory_dialect.world import Factory

VECTORS = json.loads((Path(__file__).parents[3] / "tests/golden/factory-messages.json").read_text())["messages"]
RECEIVED = 1_771_000_000_000


def payload_of(vector: dict[str, Any]) -> bytes:
    text = vector["payload"]
    if (fill := vector.get("fill")) is not None:
        text = text.replace(fill["marker"], fill["character"] * fill["times"])
    return text.encode()


def verdict_of(vector: dict[str, Any], payload: bytes | None = None) -> Verdict:
    body = payload_of(vector) if payload is None else payload
    return read(Arrival(vector["topic"], body, RECEIVED, vector["qos"], vector["retain"]))


def differences(expected: Any, found: Any, path: str) -> list[str]:
    """Where `found` lacks a key of `expected` or differs in it; lists must be as long."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return [
            line
            for key, value in expected.items()
            for line in (
                differences(value, found[key], f"{path}.{key}") if key in found else [f"{path}.{key} is missing"]
            )
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return [
            line
            for at, (one, other) in enumerate(zip(expected, found, strict=True))
            for line in differences(one, other, f"{path}[{at}]")
        ]
    return [] if expected == found and type(expected) is not bool else compare_bool(expected, found, path)


def compare_bool(expected: Any, found: Any, path: str) -> list[str]:
    """True is not 1 here."""
    return [] if expected is found else [f"{path}: expected {expected!r}, found {found!r}"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_message_is_read_as_the_vector_says(vector: dict[str, Any]):
    verdict = verdict_of(vector)
    match vector["expect"]:
        case "accept":
            assert isinstance(verdict, FactoryAccepted), verdict
            found = msgspec.json.decode(wire.encode(verdict.message))
            assert found["kind"] == vector["kind"]
            assert differences(vector["normalised"], found, "") == []
        case "reject":
            assert isinstance(verdict, Rejected), verdict
            assert verdict.code == vector["code"]
            assert verdict.field == vector.get("field", verdict.field)
        case "ignore":
            assert isinstance(verdict, FactoryIgnored), verdict
            assert verdict.reason == vector["reason"]


def test_every_kind_is_in_the_vectors_or_read_here():
    heard = {vector["kind"] for vector in VECTORS if vector["expect"] == "accept"}
    assert set(FactoryKind) - heard == {
        *(FactoryKind.AGV_INSTANT, FactoryKind.CCU_CONFIG, FactoryKind.CCU_LAYOUT, FactoryKind.CCU_PAIR),
        *(FactoryKind.GATEWAY_REQUEST, FactoryKind.OBSERVED),
    }


SAMPLES = {vector["topic"]: vector for vector in VECTORS}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(st.text(max_size=60), st.binary(max_size=200), st.booleans())
def test_no_topic_and_no_bytes_raise(topic: str, payload: bytes, retained: bool):
    read(Arrival(topic, payload, RECEIVED, 0, retained))


@given(st.sampled_from(sorted(SAMPLES)), st.binary(max_size=200) | JSON.map(msgspec.json.encode))
def test_no_bytes_raise_on_a_topic_of_the_catalogue(topic: str, payload: bytes):
    read(Arrival(topic, payload, RECEIVED))


def changed(vector: dict[str, Any], at: int, value: Any) -> tuple[dict[str, Any], bytes]:
    """The vector's payload with one of its values, at any depth, replaced."""
    tree = json.loads(vector["payload"])
    places = list(walk(tree))
    holder, key = places[at % len(places)]
    holder[key] = value
    return vector, msgspec.json.encode(tree)


def walk(tree: Any) -> Any:
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield tree, key
        yield from walk(value)


GOOD = [vector for vector in VECTORS if vector["expect"] == "accept" and len(vector["payload"]) > 20]


@given(st.builds(changed, st.sampled_from(GOOD), st.integers(0, 400), JSON))
def test_what_is_accepted_comes_back_from_the_bus(case: tuple[dict[str, Any], bytes]):
    verdict = verdict_of(*case)
    if isinstance(verdict, FactoryAccepted):
        message = verdict.message
        text = wire.encode(message)
        again = wire.decode(message.kind, text)
        assert again == message
        assert wire.from_line(wire.to_line(text, "1f.ab")) == message
        beside = wire.to_line(wire.encode(message, ("odd one",), ('"}',)), "1f.ab")
        head = wire.head_of_line(beside)
        assert wire.from_line(beside) == message
        assert (head.odd, head.unknown, head.delivery) == (("odd one",), ('"}',), "1f.ab")
        assert (head.topic, head.ts, head.env, head.epoch) == (message.topic, message.ts, message.env, message.epoch)
        assert type(again) is type(message)


@pytest.mark.parametrize("vector", GOOD, ids=lambda vector: vector["name"])
def test_every_good_vector_comes_back_from_the_bus(vector: dict[str, Any]):
    verdict = verdict_of(vector)
    assert isinstance(verdict, FactoryAccepted)
    assert wire.decode(verdict.message.kind, wire.encode(verdict.message)) == verdict.message


STATE = '{"serialNumber":"S1","actionState":{"id":"a","command":"PICK","state":"RUNNING"}%s}'


def state(rest: str) -> Verdict:
    return read(Arrival("module/v1/ff/S1/state", (STATE % rest).encode(), RECEIVED))


@pytest.mark.parametrize(
    ("rest", "code", "field"),
    [
        (',"operatingMode":"\\u0000"', 5207, None),
        (',"operatingMode":"%s"' % ("x" * 257), 5207, "operatingMode"),
        (',"orderId":"%s"' % ("x" * 129), 5207, "orderId"),
        (',"errors":[' + ",".join(["{}"] * 1001) + "]", 5207, "errors"),
        (',"paused":1', 5206, "paused"),
        (',"headerId":1.5', 5206, "headerId"),
        (',"loads":[1]', 5206, "loads[0]"),
        (',"batteryState":{"percentage":"80"}', 5206, "batteryState.percentage"),
        ("} x", 5209, None),
        (',"a":"\\ud800"', 5209, None),
        (',"a":1e999', 5209, None),
        (',"serial\\u004eumber":"S1"', 5209, None),
    ],
)
def test_a_fault_has_its_code_and_field(rest: str, code: int, field: str | None):
    verdict = state(rest)
    assert isinstance(verdict, Rejected)
    assert (verdict.code, verdict.field) == (code, field)


KNOWN = ',"orderId":"o","orderUpdateId":1'
MODULE, AGV, ORDER = "module/v1/ff/S1/state", "fts/v1/ff/S1/state", "module/v1/ff/S1/order"
ACTIVE, STOCK, PAIRING = "ccu/order/active", "ccu/state/stock", "ccu/pairing/state"
RUNNING = '"actionState":{"id":"a","command":"PICK","state":"RUNNING"}'
TOLERATED: list[tuple[str, str, tuple[str, ...]]] = [
    (MODULE, '{"serialNumber":"S1",' + RUNNING + ',"orderId":"o","orderUpdateId":1}', ()),
    *[
        (MODULE, '{"serialNumber":"S1",' + RUNNING + ',"orderUpdateId":1' + rest + "}", (name,))
        for rest, name in [
            (',"orderId":0', "order_id_zero"),
            (',"orderId":"0"', "order_id_zero"),
            (',"orderId":""', "order_id_empty"),
            (',"orderId":null', "order_id_empty"),
            ("", "order_id_missing"),
            (',"orderId":"a"', "order_id_of_action"),
        ]
    ],
    *[
        (MODULE, '{"serialNumber":"S1",' + RUNNING + ',"orderId":"o"' + rest + "}", (name,))
        for rest, name in [
            (',"orderUpdateId":"0"', "update_id_text"),
            (',"orderUpdateId":7.0', "whole_number_as_float"),
            (',"orderUpdateId":-1', "update_id_negative"),
            (',"orderUpdateId":null', "update_id_missing"),
            ("", "update_id_missing"),
        ]
    ],
    *[
        (MODULE, '{"serialNumber":"S1","actionState":' + action + KNOWN + "}", names)
        for action, names in [
            ("null", ("action_missing",)),
            ("{}", ("action_empty",)),
            ('{"id":"a","command":"PICK","state":"WAITIING"}', ("action_state_odd",)),
            ('{"id":"a","command":"PICK","state":"PENDING"}', ("action_state_odd",)),
            ('{"id":"a","command":"PICK","state":"ENQUEUED"}', ("action_state_odd",)),
            ('{"id":"a","command":"PICK","state":"IN_PROGRESS"}', ("action_state_odd",)),
            ('{"id":"a","command":"PICK","state":"running"}', ("action_state_odd",)),
            ('{"id":"a","command":"PICK","state":"DREAMING"}', ("action_state_odd",)),
            ('{"id":"a","state":"RUNNING"}', ("action_without_command",)),
            ('{"actionId":"a","command":"PICK","state":"RUNNING"}', ("vda_names",)),
            ('{"id":"a","actionType":"PICK","state":"RUNNING"}', ("vda_names",)),
            ('{"id":"a","command":"PICK","actionStatus":"RUNNING"}', ("vda_names",)),
            ('{"id":"a","command":"PICK","state":"RUNNING","resultDescription":"PASSED"}', ("vda_names",)),
        ]
    ],
    (MODULE, '{"serialNumber":"S1"' + KNOWN + "}", ("action_missing",)),
    *[
        (MODULE, '{"serialNumber":"S1",' + RUNNING + KNOWN + "," + rest + "}", names)
        for rest, names in [
            ('"errors":[{}]', ("error_empty",)),
            ('"errors":[{"errorType":"x","errorLevel":"bad"}]', ("error_level_odd",)),
            ('"errors":[{"errorType":"x","errorLevel":"CRITICAL"}]', ("error_level_odd",)),
            ('"errors":[{"errorType":"x"}]', ("error_level_odd",)),
            ('"errors":[{"errorType":"x","errorLevel":"FATAL"}]', ()),
            (
                '"errors":[{"errorLevel":"FATAL","errorReferences":[{"referenceKey":"orderId","referenceValue":"o"}]}]',
                (),
            ),
            (
                '"errors":[{"errorLevel":"FATAL","errorReferences":[{"referenceKey":"n","referenceValue":7}]}]',
                ("reference_no_text",),
            ),
            (
                '"errors":[{"errorLevel":"FATAL","errorReferences":[{"referenceKey":"n","referenceValue":null}]}]',
                ("reference_no_text",),
            ),
            ('"errors":[{"errorLevel":"FATAL","errorReferences":[{"topic":"t"}]}]', ("references_by_name",)),
            ('"loads":[{"loadType":"RED","loadId":"4"}]', ()),
            ('"loads":[{"type":"RED"}]', ("load_under_type",)),
            ('"loads":[{"loadType":""}]', ("load_without_type",)),
            ('"loads":[{"loadType":null}]', ("load_without_type",)),
            ('"loads":[{"loadType":"UNKNOWN"}]', ("load_unknown",)),
            ('"loads":[{"loadType":"RED","loadId":""}]', ("load_id_empty",)),
            ('"loads":[{"loadType":"RED","loadTimestamp":0}]', ("load_time_zero",)),
            ('"load":[{"loadType":"RED"}]', ("load_for_loads",)),
            ('"batteryState":{}', ("battery_empty",)),
            ('"batteryState":{"percentage":131}', ("battery_percent_clamped",)),
            ('"batteryState":{"percentage":-3}', ("battery_percent_clamped",)),
            ('"headerId":3.0', ("whole_number_as_float",)),
            ('"timestamp":"yesterday"', ("time_unreadable",)),
            (
                '"timestamp":"yesterday","errors":[{},{}],"headerId":3.0',
                ("time_unreadable", "whole_number_as_float", "error_empty"),
            ),
        ]
    ],
    (AGV, '{"serialNumber":"S1","lastNodeId":"1",' + RUNNING + KNOWN + "}", ()),
    (ORDER, '{"orderId":"o","orderUpdateId":1,"action":{"id":"a","command":"PICK"}}', ("order_without_serial",)),
    *[
        (
            "module/v1/ff/S1/connection",
            '{"serialNumber":"S1","connectionState":"ONLINE","ip":"' + ip + '"}',
            ("ip_none",),
        )
        for ip in ("", "-1")
    ],
    *[(PAIRING, '{"modules":[{"serialNumber":"S1","ip":"' + ip + '"}]}', ("ip_none",)) for ip in ("", "-1")],
    (PAIRING, '{"modules":[{"serialNumber":"S1","ip":"10.0.0.1"}]}', ()),
    *[
        (STOCK, '{"stockItems":[{"hbw":"S1","location":"A1"' + rest + "}]}", names)
        for rest, names in [
            ("", ("bay_empty",)),
            (',"workpiece":null', ("bay_empty",)),
            (',"workpiece":{"type":""}', ("bay_empty",)),
            (',"workpiece":{"type":"RED"}', ()),
        ]
    ],
    *[
        (ACTIVE, '{"orderId":"o",' + state + ',"productionSteps":[{"id":"s","state":"FINISHED"}]}', names)
        for state, names in [
            ('"state":"FINISHED"', ()),
            ('"state":"COMPLETED"', ("order_state_odd",)),
            ('"state":"CANCELED"', ("order_state_odd",)),
            ('"state":"FAILED"', ("order_state_odd",)),
            ('"state":"DREAMING"', ("order_state_odd",)),
            ('"status":"FINISHED"', ("order_status_for_state",)),
        ]
    ],
    (
        ACTIVE,
        '{"orderId":"o","state":"FINISHED","productionSteps":[{"id":"s","status":"FINISHED"}]}',
        ("order_status_for_state",),
    ),
]
"""Each line of the table of tolerances, with its name; a form that is no oddity has none."""


@pytest.mark.parametrize(("topic", "payload", "oddities"), TOLERATED)
def test_what_is_tolerated_is_counted_once_a_message(topic: str, payload: str, oddities: tuple[str, ...]):
    verdict = read(Arrival(topic, payload.encode(), RECEIVED))
    assert isinstance(verdict, FactoryAccepted)
    assert sorted(verdict.oddities) == sorted(oddities)


def test_every_oddity_is_documented():
    page = (Path(__file__).parents[3] / "docs/factory-dialect.md").read_text()
    table = page.partition("## Tolerance")[2].partition("\n## ")[0]
    named = {
        name.strip() for line in table.splitlines() if line.startswith("| ") for name in line.split("|")[3].split(",")
    }
    assert {name for _, _, names in TOLERATED for name in names} == named - {"name"}


@pytest.mark.parametrize(
    ("topic", "payload", "field"),
    [
        (PAIRING, {"modules": [{"serialNumber": "S1"}, {"serialNumber": "S1"}], "transports": []}, "modules"),
        (
            PAIRING,
            {"modules": [], "transports": [{"serialNumber": "5iO4", "batteryPercentage": 8.5}] * 2},
            "transports",
        ),
        (
            "ccu/state/layout",
            {"modules": [{"serialNumber": "S1"}] * 2, "intersections": [], "roads": []},
            "modules",
        ),
    ],
)
def test_a_serial_that_a_list_has_twice_is_rejected(topic: str, payload: dict[str, Any], field: str):
    verdict = read(Arrival(topic, json.dumps(payload).encode(), RECEIVED))
    assert isinstance(verdict, Rejected)
    assert (verdict.code, verdict.field) == (5208, field)


def test_a_serial_among_the_modules_and_among_the_transports_is_an_agv():
    listed = {"modules": [{"serialNumber": "S1"}], "transports": [{"serialNumber": "S1"}]}
    verdict = read(Arrival(PAIRING, json.dumps(listed).encode(), RECEIVED))
    assert isinstance(verdict, FactoryAccepted)
    factory = Factory()
    apply(factory, verdict.message)
    assert [(row.serial, row.kind) for row in rows(factory, RECEIVED) if row.serial == "S1"] == [("S1", "agv")]


def test_fields_that_nothing_reads_are_named():
    verdict = state(',"orderId":"o","colour":1')
    assert isinstance(verdict, FactoryAccepted)
    assert verdict.unknown == ("colour",)


def test_a_colon_written_as_an_escape_is_no_second_key():
    verdict = state(',"orderId":"o","operatingMode":"a\\u003ab"')
    assert isinstance(verdict, FactoryAccepted)
    assert verdict.message.operating_mode == "a:b"


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        ("2026-02-02T04:10:00.250Z", 1770005400250),
        ("2026-02-02T04:10:00.123999999", 1770005400123),
        ("2026-02-02 04:10:00", 1770005400000),
        ("2026-02-02T05:10:00+01:00", 1770005400000),
        (1770005400, 1770005400000),
        (1770005400.25, 1770005400250),
        (1770005400250, 1770005400250),
        (0, None),
        (-5, None),
        (True, None),
        (1e300, None),
        ("2026-13-02T04:10:00Z", None),
        ("2026-02-02", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("", None),
        ({}, None),
    ],
)
def test_a_time_is_read(value: Any, ms: int | None):
    assert read_time(value) == ms


@given(JSON | st.text() | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?([+-]\d\d:\d\d)?", fullmatch=True))
def test_no_time_raises(value: Any):
    at = read_time(value)
    assert at is None or 0 < at < 253_402_300_800_000


VALUES = JSON | st.sampled_from(
    [
        "",
        "x",
        "S1",
        "NodeRed",
        "S1\n",
        "a b",
        "x" * 129,
        "x" * 257,
        "FINISHED",
        "2026-02-02T04:10:00Z",
        71,
        8.5,
        3.0,
        2**53 + 1,
    ]
)
STEP = {"id": "s", "state": "FINISHED", "startedAt": "2026-02-02T04:10:00Z", "serialNumber": "S1", "moduleType": "MILL"}
PAIRED = {"serialNumber": "S1", "batteryVoltage": 8.7, "batteryPercentage": 71, "connected": True, "lastSeen": 5}


def objects_like(model: type[msgspec.Struct], base: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A good object with some of the model's fields replaced by anything."""
    return st.dictionaries(st.sampled_from(model.__struct_encode_fields__), VALUES, max_size=3).map(
        lambda some: base | some
    )


def read_both(quick: Callable[[Fields], Any], slow: Callable[[Fields], Any], values: dict[str, Any]) -> list[Any]:
    found = []
    for reader in (quick, slow):
        odd: list[str] = []
        try:
            found.append((reader(Fields(values, odd)), sorted(odd)))
        except Rejected as rejected:
            found.append((rejected.code, rejected.field))
    return found


@given(objects_like(quick.StepFields, STEP))
def test_a_step_is_read_the_same_at_once_and_field_by_field(values: dict[str, Any]):
    at_once, by_field = read_both(lambda one: ccu._step(3, one), lambda one: ccu.slow_step(3, one), values)
    assert at_once == by_field


@given(objects_like(quick.PairedFields, PAIRED))
def test_a_paired_machine_is_read_the_same_at_once_and_field_by_field(values: dict[str, Any]):
    at_once, by_field = read_both(ccu._paired, ccu.slow_paired, values)
    assert at_once == by_field


def mixed(base: dict[str, Any], *values: Any) -> st.SearchStrategy[dict[str, Any]]:
    """A good object with some of its fields, or others, replaced by anything."""
    names = st.sampled_from([*base, "other"])
    return st.dictionaries(names, VALUES | st.sampled_from([None, {}, [], [{}], *values]), max_size=3).map(
        lambda some: base | some
    )


ACTION = {"id": "a", "command": "PICK", "state": "RUNNING", "timestamp": "2026-02-02T04:10:00.5Z"}
ACTION |= {
    "result": None,
    "resultDescription": None,
    "actionResult": None,
    "metadata": {"slot": "A1", "deep": {"n": 1}},
}
LOAD = {"loadType": "WHITE", "type": None, "loadId": "04", "loadPosition": "1", "loadTimestamp": 0}
BATTERY = {"percentage": 71, "currentVoltage": 8.7, "batteryCharge": 70, "batteryVoltage": 9, "charging": False}
STATE_FIELDS = {
    **{"serialNumber": "S1", "headerId": 5, "timestamp": "2026-02-02T04:10:00Z", "orderId": "o", "orderUpdateId": 3},
    **{"paused": False, "operatingMode": "AUTOMATIC", "lastNodeId": "1", "lastNodeSequenceId": 0, "driving": True},
    **{"waitingForLoadHandling": False, "instantActionStates": None, "metadata": {"opcuaState": "connected"}},
    **{"powerSupply": None, "agvPosition": None, "mobileRobotPosition": None, "safetyState": None, "errors": []},
}


@st.composite
def states(draw: st.DrawFn) -> dict[str, Any]:
    """A state with any of its parts at fault."""
    parts = {
        "actionState": draw(mixed(ACTION)),
        "actionStates": [draw(mixed(ACTION)), ACTION],
        "loads": draw(st.sampled_from([None, [draw(mixed(LOAD)), LOAD]])),
        "load": [draw(mixed(LOAD))],
        "batteryState": draw(mixed(BATTERY, 131, -3)),
    }
    state = draw(mixed(STATE_FIELDS | parts, "0", 0, "7", 7.0, 7.5, [ACTION], ACTION, [{"errorType": "x"}]))
    missing = draw(st.sets(st.sampled_from(sorted(STATE_FIELDS | parts))))
    return {name: value for name, value in state.items() if name not in missing or name == "serialNumber"}


COMMON: dict[str, Any] = {"topic": "t", "ts": RECEIVED}


@pytest.mark.parametrize("topic", ["module/v1/ff/S1/state", "module/v1/ff/NodeRed/S1/state", "fts/v1/ff/S1/state"])
@given(values=states())
def test_a_state_is_read_the_same_at_once_and_field_by_field(topic: str, values: dict[str, Any]):
    where = parse(topic)
    assert where is not None
    common = COMMON | {"kind": where.kind, "serial": where.serial}
    at_once, by_field = read_both(
        lambda one: machines.read_state(where, one, common), lambda one: machines.slow_state(where, one, common), values
    )
    assert at_once == by_field


INSTANT = {
    "actionId": "a",
    "actionType": "reset",
    "actionName": None,
    "actionParameters": None,
    "metadata": {"red": True},
}


@given(st.lists(mixed(INSTANT), max_size=2), mixed({"actions": None, "instantActions": None}))
def test_instant_actions_are_read_the_same_at_once_and_field_by_field(
    actions: list[dict[str, Any]], values: dict[str, Any]
):
    where = parse("module/v1/ff/S1/instantAction")
    assert where is not None
    common = COMMON | {"kind": where.kind, "serial": where.serial}
    at_once, by_field = read_both(
        lambda one: machines.read_instant(where, one, common).actions,
        lambda one: machines.slow_instants(where, one),
        {"actions": actions} | {name: value for name, value in values.items() if value is not None},
    )
    assert at_once == by_field


@given(st.lists(mixed(STEP), max_size=3) | VALUES)
def test_a_plan_is_read_the_same_at_once_and_step_by_step(steps: Any):
    at_once, by_step = read_both(
        ccu._steps,
        lambda one: tuple(ccu.slow_step(n, step) for n, step in enumerate(one.objects("productionSteps"))),
        {"productionSteps": steps},
    )
    assert at_once == by_step


def read_by_machine(fields: Fields) -> tuple[Any, ...]:
    modules = tuple(ccu.slow_paired(each) for each in fields.needed_objects("modules"))
    transports = tuple(ccu.slow_paired(each) for each in fields.objects("transports"))
    ccu.each_once(modules, "modules")
    ccu.each_once(transports, "transports")
    return modules, transports


@given(st.lists(mixed(PAIRED), max_size=3) | VALUES, st.lists(mixed(PAIRED), max_size=2) | VALUES)
def test_a_pairing_is_read_the_same_at_once_and_machine_by_machine(modules: Any, transports: Any):
    where = parse("ccu/pairing/state")
    assert where is not None
    at_once, by_machine = read_both(
        lambda one: (
            (found := ccu.read_pairing(where, one, COMMON | {"kind": where.kind})).modules,
            found.transports,
        ),
        read_by_machine,
        {"modules": modules, "transports": transports},
    )
    assert at_once == by_machine


@given(st.integers(86_400, 253_402_128_000), st.integers(0, 999_999), st.sampled_from(["T", " "]), st.integers(0, 6))
def test_a_time_is_that_of_the_standard_library(second: int, us: int, separator: str, digits: int):
    at = datetime.fromtimestamp(second, UTC).replace(microsecond=us, tzinfo=None)
    text = at.isoformat(separator, timespec="microseconds")[: 20 + digits if digits else 19]
    for zone, offset in (("Z", 0), ("", 0), ("+05:30", 19_800), ("-0100", -3600)):
        found = datetime.fromisoformat(text).replace(tzinfo=UTC) - timedelta(seconds=offset)
        assert read_time(text + zone) == (found - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def test_words_that_many_steps_have_are_in_memory_once_also_where_they_come_from_the_bus():
    step = {"type": "MANUFACTURE", "command": "PICK", "moduleType": "DRILL", "serialNumber": "SVR4H76449"}
    steps = [{**step, "id": f"s{number}", "source": "HBW", "target": "DRILL"} for number in range(2)]
    order = {"orderId": "o1", "orderType": "PRODUCTION", "type": "WHITE", "state": "IN_PROGRESS"}
    payload = json.dumps([{**order, "productionSteps": steps}]).encode()
    verdict = read(Arrival("ccu/order/active", payload, 1_771_000_000_000), ())
    assert isinstance(verdict, FactoryAccepted)
    again = wire.from_line(wire.to_line(wire.encode(verdict.message), "1f.ab"))
    assert again == verdict.message
    ((first, second),) = (one.steps for one in again.orders)  # type: ignore[attr-defined]
    for name in ("type", "command", "module_type", "source", "target", "serial"):
        assert getattr(first, name) is getattr(second, name) is not None
