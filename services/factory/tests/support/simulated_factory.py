"""A small factory that answers on MQTT as the real one does: modules, one AGV and the central control."""

import json
import threading
from typing import Any

MODULE, STORE, AGV = "SVR3QA2098", "SVR3QA0022", "5iO4"
ONLINE = {"connectionState": "ONLINE"}


class SimulatedFactory:
    """Answers orders at once. muted: serials, and `ccu`, that say nothing; stuck: serials whose actions do not end."""

    def __init__(self, plant: Any) -> None:
        self.plant = plant
        self.orders: list[dict[str, Any]] = []
        self.muted: set[str] = set()
        self.stuck: set[str] = set()
        self.failing: set[str] = set()
        self._lock = threading.Lock()
        plant.on_message = self._on_message
        plant.subscribe(
            "module/v1/ff/+/order", "fts/v1/ff/+/order", "ccu/order/request", "ccu/set/+", "ccu/order/cancel"
        )
        for serial in (MODULE, STORE):
            plant.publish(f"module/v1/ff/{serial}/connection", {"serialNumber": serial, **ONLINE}, retain=True)
            self.state(serial, None)
        plant.publish(f"fts/v1/ff/{AGV}/connection", {"serialNumber": AGV, **ONLINE}, retain=True)
        self.agv(node="SVR4H73275")

    def agv(self, node: str, **fields: Any) -> None:
        """The AGV stands at a node."""
        state = {
            "serialNumber": AGV,
            "orderId": "",
            "lastNodeId": node,
            "driving": False,
            "waitingForLoadHandling": False,
            "paused": False,
            "errors": [],
            "load": [],
            "actionState": None,
        }
        self.plant.publish(f"fts/v1/ff/{AGV}/state", state | fields)

    def state(self, serial: str, action: dict[str, Any] | None, order: dict[str, Any] | None = None) -> None:
        named = {} if order is None else {"orderId": order["orderId"], "orderUpdateId": order["orderUpdateId"]}
        state = {
            "serialNumber": serial,
            "orderId": "",
            "paused": False,
            "errors": [],
            "loads": [],
            "actionState": action,
        }
        self.plant.publish(f"module/v1/ff/{serial}/state", state | named)

    def _on_message(self, topic: str, payload: bytes) -> None:
        with self._lock:
            value = json.loads(payload)
            levels = topic.split("/")
            self.orders.append({"topic": topic, **(value if isinstance(value, dict) else {"ids": value})})
            if levels[0] == "ccu":
                if "ccu" not in self.muted:
                    self._ccu(topic, value)
            elif levels[3] not in self.muted:
                self._machine(levels[0], levels[3], value)

    def _machine(self, root: str, serial: str, order: dict[str, Any]) -> None:
        if root == "fts":
            docked = order["nodes"][-1]
            done = {"id": docked["action"]["id"], "command": "DOCK", "state": "FINISHED"}
            named = {"orderId": order["orderId"], "orderUpdateId": order["orderUpdateId"]}
            self.agv(docked["id"], actionState=done, **named)
            return
        action = {"id": order["action"]["id"], "command": order["action"]["command"]}
        self.state(serial, {**action, "state": "RUNNING"}, order)
        if serial not in self.stuck:
            end = "FAILED" if serial in self.failing else "FINISHED"
            self.state(serial, {**action, "state": end, "result": "PASSED"}, order)

    def _ccu(self, topic: str, value: Any) -> None:
        if topic == "ccu/order/request":
            order = {
                "orderId": f"ccu-{value['requestId'][-12:]}",
                "type": value["type"],
                "orderType": value["orderType"],
                "requestId": value["requestId"],
                "state": "ENQUEUED",
                "productionSteps": [],
            }
            self.plant.publish("ccu/order/response", order)
            self.plant.publish("ccu/order/active", [order])
            self.plant.publish("ccu/order/completed", [{**order, "state": "COMPLETED"}])
            self.plant.publish("ccu/order/active", [])
        elif topic == "ccu/set/reset":
            self.plant.publish("ccu/global", {"type": "reset"})
