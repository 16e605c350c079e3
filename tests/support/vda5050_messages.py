"""Messages of VDA 5050 vehicles of 1.1, 2.0, 2.1 and 3.0, written after the published documents and schemas."""

from typing import Any

SERIAL = "AMR.0007"
NAMES = {"1.1": "v1", "2.0": "v2", "2.1": "v2", "3.0": "v3"}
VERSIONS = tuple(NAMES)


def topic(version: str, name: str, serial: str = SERIAL) -> str:
    """Where a vehicle says something."""
    return f"uagv/{NAMES[version]}/ACME/{serial}/{name}"


def header(version: str, serial: str = SERIAL) -> dict[str, Any]:
    """The header of each message."""
    at = {"headerId": 12, "timestamp": "2026-02-13T16:26:39.250Z", "version": f"{version}.0"}
    return at | {"manufacturer": "ACME", "serialNumber": serial}


def action(version: str, action_id: str, kind: str, state: str, result: str | None = None) -> dict[str, Any]:
    """The state of an action as the version writes it."""
    names = {"actionId": action_id, "actionType": kind}
    names["actionStatus"] = state.lower() if version == "1.1" else state
    return names if result is None else names | {"actionResult" if version == "3.0" else "resultDescription": result}


def state(version: str, serial: str = SERIAL, **changed: Any) -> dict[str, Any]:
    """A vehicle that stands at N1 and has no order, with every field that the version requires."""
    found = header(version, serial) | {
        "orderId": "",
        "orderUpdateId": 0,
        "lastNodeId": "N1",
        "lastNodeSequenceId": 0,
        "nodeStates": [],
        "edgeStates": [],
        "driving": False,
        "paused": False,
        "newBaseRequest": False,
        "loads": [{"loadId": "P-17", "loadPosition": "front", "weight": 12}],
        "actionStates": [],
        "operatingMode": "AUTOMATIC",
        "errors": [],
        "velocity": {"vx": 0, "vy": 0, "omega": 0},
    }
    where = {"x": 12.5, "y": -3.25, "theta": 1.57, "mapId": "hall"}
    if version == "3.0":
        found |= {"mobileRobotPosition": where | {"localized": True}, "instantActionStates": [], "zoneSets": []}
        found |= {"powerSupply": {"stateOfCharge": 63.5, "batteryVoltage": 48.2, "charging": False}}
        found |= {"safetyState": {"activeEmergencyStop": "NONE", "fieldViolation": False}}
    else:
        found |= {"agvPosition": where | {"positionInitialized": True}}
        found |= {"batteryState": {"batteryCharge": 63.5, "batteryVoltage": 48.2, "charging": False, "reach": 900}}
        found |= {"safetyState": {"eStop": "NONE", "fieldViolation": False}}
    return found | changed
