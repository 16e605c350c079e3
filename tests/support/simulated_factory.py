"""A small factory that answers on MQTT as the real one does: modules, one AGV and the central control."""

import json
import threading
from typing import Any

MODULE, STORE, AGV = "SVR3QA2098", "SVR3QA0022", "5iO4"
ONLINE = {"connectionState": "ONLINE"}


class SimulatedFactory:
    """Answers orders at once, in the odd forms that the recordings have. muted: serials, and `ccu`, that say nothing;
    stuck: serials whose actions do not end; holding: orders that are requested stay ENQUEUED."""

    def __init__(self, plant: Any) -> None:
        self.plant = plant
        self.orders: list[dict[str, Any]] = []
        self.muted: set[str] = set()
        self.stuck: set[str] = set()
        self.failing: set[str] = set()
        self.holding = False
        self._enqueued: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        plant.on_message = self._on_message
        plant.subscribe(
            "module/v1/ff/+/order",
            "fts/v1/ff/+/order",
            "ccu/order/request",
            "ccu/set/+",
            "ccu/order/cancel",
            "ccu/pairing/pair_fts",
            "/j1/txt/+/o/ptu",
            "/j1/txt/+/c/+",
        )

    def stand(self) -> None:
        """Every machine says that it is there and does nothing, as machines do again and again."""
        for serial in (MODULE, STORE):
            self.connection(serial, "ONLINE")
            self.state(serial, None)
        self.plant.publish(f"fts/v1/ff/{AGV}/connection", {"serialNumber": AGV, **ONLINE}, retain=True)
        self.agv(node="SVR4H73275")

    def connection(self, serial: str, word: str) -> None:
        """A module comes, or its will says that it is gone."""
        said = {"serialNumber": serial, "connectionState": word}
        self.plant.publish(f"module/v1/ff/{serial}/connection", said, retain=True)

    def pairing(self, **of_the_agv: Any) -> None:
        """The CCU's pairing entry of the AGV."""
        agv = {"serialNumber": AGV, "type": "FTS", "connected": True, "available": "READY", "lastSeen": ""}
        self.plant.publish("ccu/pairing/state", {"modules": [], "transports": [agv | of_the_agv]})

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
            "errors": [{}],
            "loads": [{"loadType": "", "loadId": ""}],
            "actionState": action,
            "batteryState": {},
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
            elif levels[1] != "j1" and levels[3] not in self.muted:
                self._machine(levels[0], levels[3], value)

    def _machine(self, root: str, serial: str, order: dict[str, Any]) -> None:
        if root == "fts":
            docked = order["nodes"][-1]
            done = {"id": docked["action"]["id"], "command": "DOCK", "state": "FINISHED"}
            named = {"orderId": order["orderId"], "orderUpdateId": order["orderUpdateId"]}
            self.agv(docked["id"], actionState=done, **named)
            return
        action = {"id": order["action"]["id"], "command": order["action"]["command"]}
        self.state(serial, {**action, "state": "WAITIING"}, {**order, "orderUpdateId": 0})
        self.state(serial, {"id": action["id"], "state": "RUNNING"}, {**order, "orderUpdateId": 0})
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
            if self.holding:
                self._enqueued.append(order)
                return
            self.plant.publish("ccu/order/completed", [{**order, "state": "COMPLETED"}])
            self.plant.publish("ccu/order/active", [])
        elif topic == "ccu/order/cancel":
            cancelled = [each for each in self._enqueued if each["orderId"] in value]
            self.plant.publish("ccu/order/active", [each for each in self._enqueued if each not in cancelled])
            self.plant.publish("ccu/order/completed", [{**each, "state": "CANCELED"} for each in cancelled])
        elif topic == "ccu/set/charge":
            self.pairing(charging=value["charge"], pairedSince="2026-02-02T03:00:09.000Z")
        elif topic == "ccu/pairing/pair_fts":
            self.pairing(charging=False, pairedSince="2026-02-02T03:00:09.000Z")
        elif topic == "ccu/set/reset":
            self.plant.publish("ccu/global", {"type": "reset"})
