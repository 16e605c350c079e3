"""Templates: an example message for each command of the factory, with the serials of the default installation."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.steer_checks import FreshIds
from kaiser_factory_dialect.times import to_iso_ms
from kaiser_factory_dialect.topics import build

_DRILL, _MILL, _AIQS = "SVR4H76449", "SVR3QA2098", "SVR4H76530"
_HBW, _DPS, _AGV = "SVR3QA0022", "SVR4H73275", "5iO4"


class Template(NamedTuple):
    """A message and what it does."""

    name: str
    topic: str
    payload: Any


def templates(now_ms: int, fresh: FreshIds) -> tuple[Template, ...]:
    """Every template, its ids new and its time `now_ms`."""
    at = to_iso_ms(now_ms)

    def order(name: str, serial: str, command: str, source: Any = "device", **metadata: Any) -> Template:
        action = {"id": fresh.uuid(), "command": command, "metadata": metadata}
        payload = {
            "timestamp": at,
            "serialNumber": serial,
            "orderId": fresh.uuid(),
            "orderUpdateId": 1,
            "action": action,
        }
        return Template(name, build(FactoryKind.MODULE_ORDER, serial, source=source), payload)

    def instant(name: str, kind: FactoryKind, serial: str, action: str, **metadata: Any) -> Template:
        actions = [{"actionId": fresh.uuid(), "actionType": action, **({"metadata": metadata} if metadata else {})}]
        return Template(name, build(kind, serial), {"serialNumber": serial, "timestamp": at, "actions": actions})

    def setting(name: str, setting: str, payload: Mapping[str, Any]) -> Template:
        return Template(name, build(FactoryKind.CCU_SET, name=setting), dict(payload))

    request = build(FactoryKind.CCU_REQUEST)
    work = {"priority": "NORMAL", "timeout": 300, "type": "WHITE"}
    return (
        Template(
            "Order a workpiece",
            request,
            {"type": "WHITE", "timestamp": at, "orderType": "PRODUCTION", "requestId": f"kaiser-{fresh.uuid()}"},
        ),
        Template("Cancel an order", build(FactoryKind.CCU_CANCEL), [fresh.uuid()]),
        Template("Navigate an AGV one hop", build(FactoryKind.AGV_ORDER, _AGV), _hop(at, fresh)),
        order("DRILL: pick", _DRILL, "PICK", **work),
        order("DRILL: drill", _DRILL, "DRILL", **work, duration=5),
        order("DRILL: drop", _DRILL, "DROP", **work),
        order("MILL: mill", _MILL, "MILL", **work, duration=5),
        order("AIQS: check the quality", _AIQS, "CHECK_QUALITY", **work),
        order("HBW: pick", _HBW, "PICK", **work),
        order("HBW: drop", _HBW, "DROP", **work),
        order("DPS: pick", _DPS, "PICK", **work),
        order("DPS: read the colour", _DPS, "INPUT_RGB", "nodered"),
        instant("Module: ask for the factsheet", FactoryKind.MODULE_INSTANT, _DRILL, "factsheetRequest"),
        instant("Module: reset", FactoryKind.MODULE_INSTANT, _DRILL, "reset"),
        instant(
            "DPS: set the light",
            FactoryKind.MODULE_INSTANT,
            _DPS,
            "setStatusLED",
            red=False,
            yellow=True,
            green=False,
        ),
        instant("AGV: ask for the factsheet", FactoryKind.AGV_INSTANT, _AGV, "factsheetRequest"),
        instant("AGV: find the dock", FactoryKind.AGV_INSTANT, _AGV, "findInitialDockPosition", nodeId=_DPS),
        instant("AGV: stop charging", FactoryKind.AGV_INSTANT, _AGV, "stopCharging"),
        setting("Charge an AGV", "charge", {"serialNumber": _AGV, "charge": True}),
        setting("Park the factory", "park", {"timestamp": at}),
        setting("Reset the factory", "reset", {"timestamp": at, "withStorage": False}),
        Template("Pair an AGV", build(FactoryKind.CCU_PAIR), {"serialNumber": _AGV}),
        Template("Move the camera", "/j1/txt/1/o/ptu", {"ts": at, "cmd": "relmove_left", "degree": 10}),
    )


def _hop(at: str, fresh: FreshIds) -> dict[str, Any]:
    """An order from the store to intersection 1 and back to its place is the CCU's; this is one road of it."""
    edge = f"{_HBW}-1"
    dock = {"loadId": f"04{fresh.digits(12)}", "loadType": "WHITE", "loadPosition": "1"}
    return {
        "timestamp": at,
        "orderId": f"fts-navigation-{edge}-{fresh.digits(8)}",
        "orderUpdateId": 0,
        "serialNumber": _AGV,
        "nodes": [
            {"id": _HBW, "linkedEdges": [edge]},
            {"id": "1", "linkedEdges": [edge], "action": {"id": fresh.uuid(), "type": "DOCK", "metadata": dock}},
        ],
        "edges": [{"id": edge, "length": 380, "linkedNodes": [_HBW, "1"]}],
    }
