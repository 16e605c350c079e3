"""A VDA 5050 vehicle of version 2.1 that drives each order to its end at once."""

import json
from typing import Any

VEHICLE = "AMR.0007"
_ROOT = f"uagv/v2/ACME/{VEHICLE}"


class SimulatedVehicle:
    """Answers orders and instant actions. heard: topic and payload of each. refusing: it takes no order."""

    def __init__(self, plant: Any) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.refusing = False
        self._plant = plant
        self._node = "N1"
        self._sequence = 0
        self._order: dict[str, Any] = {}
        plant.on_message = self._on_message
        plant.subscribe(f"{_ROOT}/order", f"{_ROOT}/instantActions")

    def stand(self) -> None:
        """The vehicle is online and reports its state."""
        self._plant.publish(f"{_ROOT}/connection", self._header() | {"connectionState": "ONLINE"}, retain=True)
        self._state()

    def _header(self) -> dict[str, Any]:
        at = {"headerId": 1, "timestamp": "2026-02-13T16:26:39.000Z", "version": "2.1.0"}
        return at | {"manufacturer": "ACME", "serialNumber": VEHICLE}

    def _state(self, **changed: Any) -> None:
        state = {
            "orderId": self._order.get("orderId", ""),
            "orderUpdateId": self._order.get("orderUpdateId", 0),
            "lastNodeId": self._node,
            "lastNodeSequenceId": self._sequence,
            "nodeStates": [],
            "edgeStates": [],
            "driving": False,
            "actionStates": [],
            "batteryState": {"batteryCharge": 80.0, "charging": False},
            "operatingMode": "AUTOMATIC",
            "errors": [],
            "safetyState": {"eStop": "NONE", "fieldViolation": False},
        }
        self._plant.publish(f"{_ROOT}/state", self._header() | state | changed)

    def _on_message(self, topic: str, payload: bytes) -> None:
        message = json.loads(payload)
        self.heard.append((topic, message))
        if topic.endswith("/instantActions"):
            self._state(actionStates=[_state_of(each, "FINISHED") for each in message["actions"]])
        elif self.refusing:
            references = [{"referenceKey": "orderId", "referenceValue": message["orderId"]}]
            error = {"errorType": "orderError", "errorLevel": "WARNING", "errorReferences": references}
            self._state(errors=[error])
        else:
            self._drive(message)

    def _drive(self, order: dict[str, Any]) -> None:
        self._order = order
        nodes = order["nodes"]
        for place, node in enumerate(nodes):
            self._node, self._sequence = node["nodeId"], node["sequenceId"]
            left = [{"nodeId": one["nodeId"], "sequenceId": one["sequenceId"]} for one in nodes[place + 1 :]]
            self._state(nodeStates=left, driving=bool(left))
        self._state(actionStates=[_state_of(each, "FINISHED", "dropped") for each in nodes[-1]["actions"]])


def _state_of(action: dict[str, Any], state: str, result: str = "") -> dict[str, Any]:
    return {
        "actionId": action["actionId"],
        "actionType": action["actionType"],
        "actionStatus": state,
        "resultDescription": result,
    }
