"""Each column of the overview of modules and AGVs by its rules, where the handed views leave one out."""

import json
from typing import Any

import msgspec
import pytest
from kaiser_factory_dialect.apply import apply
from kaiser_factory_dialect.intake import Intake
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted
from kaiser_factory_dialect.view import row
from kaiser_factory_dialect.world import Factory

AT = 1_771_000_000_000
Said = tuple[str, dict[str, Any]]
RUNNING = {"id": "a", "command": "PICK", "state": "RUNNING"}
FATAL = [{"errorType": "e", "errorLevel": "FATAL"}]
WARNING = [{"errorType": "w", "errorLevel": "WARNING"}]
LOAD = [{"loadType": "RED", "loadId": "04a", "loadPosition": "1"}]
PAIRED = "2026-02-02T03:00:05.000Z"


def state(nodered: bool = False, retained: bool = False, **fields: Any) -> Said:
    topic = f"module/v1/ff/{'NodeRed/' if nodered else ''}S1/state"
    return topic, {"serialNumber": "S1", "actionState": None, "errors": [], **fields, "_retained": retained}


def agv(**fields: Any) -> Said:
    return "fts/v1/ff/S1/state", {"serialNumber": "S1", "orderId": "", "lastNodeId": "1", "errors": [], **fields}


def connection(word: str, nodered: bool = False) -> Said:
    return f"module/v1/ff/{'NodeRed/' if nodered else ''}S1/connection", {"connectionState": word}


def node_red(word: str) -> Said:
    return "module/v1/ff/NodeRed/status", {"connectionState": word}


def pairing(part: str = "modules", **fields: Any) -> Said:
    return "ccu/pairing/state", {"modules": [], part: [{"serialNumber": "S1", **fields}]}


def factsheet(kind: str, nodered: bool = False) -> Said:
    topic = f"module/v1/ff/{'NodeRed/' if nodered else ''}S1/factsheet"
    return topic, {"serialNumber": "S1", "typeSpecification": {"seriesName": "x", "moduleClass": kind}}


CASES: list[tuple[list[Said], dict[str, Any]]] = [
    ([state()], {"kind": "module", "paired": None, "connection": "UNKNOWN", "availability": "READY"}),
    ([pairing()], {"paired": False, "availability": "UNKNOWN", "last_seen": None}),
    ([pairing(pairedSince=PAIRED)], {"paired": True}),
    ([pairing("transports")], {"kind": "agv", "type": None}),
    ([pairing("transports"), state()], {"kind": "agv"}),
    ([factsheet("MILL24")], {"type": "MILL"}),
    ([factsheet("MILL24"), factsheet("DRILL", nodered=True)], {"type": "MILL"}),
    ([factsheet("DRILL", nodered=True), factsheet("MILL24")], {"type": "MILL"}),
    ([factsheet("MILL24"), pairing(subType="OVEN")], {"type": "OVEN"}),
    # The worst of its connections; Node-RED's own status counts where it has a connection topic.
    ([connection("ONLINE"), connection("OFFLINE", nodered=True)], {"connection": "OFFLINE"}),
    ([connection("CONNECTIONBROKEN"), connection("OFFLINE", nodered=True)], {"connection": "CONNECTIONBROKEN"}),
    ([connection("ONLINE"), node_red("OFFLINE")], {"connection": "CONNECTIONBROKEN", "availability": "BLOCKED"}),
    ([connection("ONLINE"), node_red("OFFLINE"), node_red("ONLINE")], {"connection": "ONLINE"}),
    ([state(), node_red("OFFLINE")], {"connection": "UNKNOWN", "availability": "READY"}),
    ([pairing(connected=False)], {"connection": "OFFLINE", "availability": "BLOCKED"}),
    ([connection("ONLINE"), pairing(connected=False)], {"connection": "ONLINE"}),
    # Availability: the first rule that applies.
    ([state(errors=FATAL), pairing(available="READY")], {"availability": "READY"}),
    ([state(errors=FATAL)], {"availability": "BLOCKED"}),
    ([state(errors=WARNING)], {"availability": "READY"}),
    ([state(paused=True)], {"availability": "BLOCKED"}),
    ([state(paused=True), state(paused=False)], {"availability": "READY"}),
    ([state(operatingMode="TEACHIN")], {"availability": "BLOCKED"}),
    ([state(actionState={**RUNNING, "state": "FAILED"})], {"availability": "BLOCKED"}),
    ([state(actionState=RUNNING)], {"availability": "BUSY"}),
    ([state(actionState={**RUNNING, "state": "FINISHED"})], {"availability": "READY"}),
    ([state(actionState={**RUNNING, "state": "PONDERING"})], {"availability": "BUSY"}),
    ([agv(lastNodeId="UNKNOWN")], {"availability": "BLOCKED"}),
    ([agv(batteryState={"percentage": 40, "charging": True})], {"availability": "BLOCKED", "charging": True}),
    ([agv(driving=True)], {"availability": "BUSY", "driving": True}),
    ([agv(waitingForLoadHandling=True)], {"availability": "BUSY"}),
    ([agv()], {"availability": "READY"}),
    # Two streams: null clears, and an empty list of Node-RED replaces, only what came from the same one.
    ([state(actionState=RUNNING), state(nodered=True)], {"availability": "BUSY"}),
    ([state(actionState=RUNNING), state()], {"action": None}),
    ([state(orderId="o"), state(nodered=True)], {"order_id": "o"}),
    ([state(orderId="o"), state()], {"order_id": None}),
    ([state(orderId="o"), state(nodered=True, orderId="p")], {"order_id": "p"}),
    ([state(loads=LOAD), state(nodered=True, loads=[])], {"loads": 1}),
    ([state(loads=LOAD), state(loads=[])], {"loads": 0}),
    ([state(nodered=True, loads=LOAD)], {"loads": 1}),
    ([state(errors=WARNING), state(nodered=True, errors=FATAL)], {"errors": 2, "availability": "BLOCKED"}),
    ([state(errors=WARNING), state(nodered=True, errors=WARNING)], {"errors": 1}),
    ([state(errors=WARNING), state()], {"errors": 0}),
    # Of an AGV its own word, else the CCU's.
    ([pairing("transports", batteryPercentage=131)], {"battery_percent": 100}),
    (
        [pairing("transports", batteryPercentage=50), agv(batteryState={"percentage": 40, "currentVoltage": 8.5})],
        {"battery_percent": 40, "battery_voltage": 8.5},
    ),
    ([pairing("transports", lastNodeId="2")], {"node": "2"}),
    ([pairing("transports", lastNodeId="2"), agv(lastNodeId="3")], {"node": "3"}),
    ([pairing("transports", charging=True)], {"charging": True}),
    ([pairing("transports", batteryVoltage=8.7)], {"battery_voltage": 8.7}),
    ([pairing("transports", assigned=True)], {"assigned": True}),
    ([agv(lastNodeId="SVR4H73275"), agv(lastNodeId="2", driving=True)], {"node": "2", "at": "SVR4H73275"}),
    ([pairing("transports", lastModuleSerialNumber="SVR3QA0022")], {"at": "SVR3QA0022"}),
    ([agv(lastNodeId="SVR4H73275"), pairing("transports", lastModuleSerialNumber="SVR3QA0022")], {"at": "SVR4H73275"}),
    # By the CCU's clock, which is wrong as long as no message of its own says by how much.
    ([("ccu/state/stock", {"ts": PAIRED, "stockItems": []}), pairing(lastSeen=PAIRED)], {"last_seen": AT}),
    ([pairing(lastSeen=PAIRED)], {"last_seen": None}),
    # What the broker had kept says nothing of when.
    ([state(retained=True)], {"last_seen": None}),
    ([state(), state(retained=True, orderId="o")], {"last_seen": AT, "order_id": "o"}),
]


@pytest.mark.parametrize(("said", "expected"), CASES, ids=[str(number) for number in range(len(CASES))])
def test_a_column_is_the_first_rule_that_applies(said: list[Said], expected: dict[str, Any]):
    factory, intake = Factory(), Intake()
    for number, (topic, fields) in enumerate(said):
        payload = json.dumps({name: value for name, value in fields.items() if name != "_retained"}).encode()
        verdict = intake.take(Arrival(topic, payload, AT + number, 1, fields.get("_retained", False)))
        assert isinstance(verdict, FactoryAccepted), verdict
        apply(factory, verdict.message)
    found = msgspec.to_builtins(row(factory, factory.machines["S1"], AT + len(said)))
    found["loads"], found["errors"] = len(found["loads"]), len(found["errors"])
    assert {name: found[name] for name in expected} == expected
