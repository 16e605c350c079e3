"""The messages that bring a factory into the state from which a vector of commands starts."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kaiser_factory_dialect.layout import DEFAULT_AGVS, DEFAULT_LAYOUT

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden/factory-messages.json").read_text())
DPS = next(module.serial for module in DEFAULT_LAYOUT.modules if module.type == "DPS")


def messages_given(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Topic and payload of each, in order: the default installation with what `given` says of modules, AGVs, orders."""
    modules, agvs = given.get("modules", {}), given.get("agvs", {})
    for module in DEFAULT_LAYOUT.modules:
        if module.type != "CHRG":
            yield from _machine("module", module.serial, modules.get(module.serial, {}), {"loads": []})
    for serial in agvs or DEFAULT_AGVS:
        one = agvs.get(serial, {})
        loads = [
            {"loadPosition": each.get("position"), "loadType": each.get("type"), "loadId": each.get("id")}
            for each in one.get("loads", ())
        ]
        stands = {"lastNodeId": one.get("node", DPS), "driving": False, "waitingForLoadHandling": False, "load": loads}
        yield from _machine("fts", serial, one, stands)
    orders = [{"orderId": order_id, **one} for order_id, one in given.get("orders", {}).items()]
    yield "ccu/order/active", orders


def _machine(root: str, serial: str, given: Mapping[str, Any], more: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield f"{root}/v1/ff/{serial}/connection", {"connectionState": given.get("connection", "ONLINE")}
    state = {"serialNumber": serial, "orderId": given.get("order_id") or "", "actionState": given.get("action")}
    yield f"{root}/v1/ff/{serial}/state", {**state, "errors": [], "paused": False, **more}
