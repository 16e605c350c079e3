"""The payloads of the central control (CCU), in the forms of the recorded ones."""

from typing import Any

from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.ccu_messages import FactoryLayout
from kaiser_factory_dialect.routes import roads_of, shortest_path, turn_at
from kaiser_factory_dialect.times import to_iso_ms
from kaiser_factory_dialect.topics import build

from kaiser_simulator.domain.plant import forms
from kaiser_simulator.domain.plant.saying import Turn
from kaiser_simulator.domain.plant.state import Agv, Module, Order, Plant, PlantLoad, PlantStep

CCU = "ccu"
BAY = "1"
"""The bay of AGVs that the CCU uses."""
CHARGE_BELOW_PERCENT = 10


def at_ccu(turn: Turn, at: int) -> str:
    """A time by the CCU's clock."""
    return to_iso_ms(at + forms.clock(turn, CCU) - turn.now)


def order_payload(turn: Turn, order: Order) -> dict[str, Any]:
    """An order with its plan."""
    said: dict[str, Any] = {
        "orderType": order.order_type,
        "type": order.type,
        "timestamp": at_ccu(turn, order.requested),
        "orderId": order.id,
        "productionSteps": [
            _step(turn, step, order.steps[place - 1].id if place else None) for place, step in enumerate(order.steps)
        ],
        "receivedAt": at_ccu(turn, order.received),
        "state": order.state,
    }
    optional = {
        "requestId": order.request_id,
        "workpieceId": order.workpiece_id,
        "startedAt": None if order.started is None else at_ccu(turn, order.started),
        "stoppedAt": None if order.stopped is None else at_ccu(turn, order.stopped),
    }
    return said | {name: value for name, value in optional.items() if value is not None}


def _step(turn: Turn, step: PlantStep, before: str | None) -> dict[str, Any]:
    said: dict[str, Any] = {"id": step.id, "type": step.type, "state": step.state}
    if step.type == "NAVIGATION":
        said |= {"source": step.source, "target": step.target}
    else:
        said |= {"command": step.command, "moduleType": step.module_type}
    if before is not None:
        said["dependentActionId"] = before
    if step.started is not None:
        said["startedAt"] = at_ccu(turn, step.started)
    if step.serial is not None and step.type == "MANUFACTURE":
        said["serialNumber"] = step.serial
    if step.stopped is not None:
        said["stoppedAt"] = at_ccu(turn, step.stopped)
    return said


def stock(turn: Turn) -> dict[str, Any]:
    """The bays of the store: empty ones without a workpiece, or with one of no type."""
    items = [
        {"hbw": module.serial, "location": at} | ({} if _is_bare(at) and not load.type else {"workpiece": _piece(load)})
        for module in turn.plant.modules.values()
        if module.type == "HBW"
        for at, load in sorted(module.bays.items())
    ]
    return {"ts": forms.iso(turn, CCU), "stockItems": items}


def _is_bare(location: str) -> bool:
    """Which empty bays come without a workpiece; the others come with one of no type."""
    return location in {"A2", "B3"}


def _piece(load: PlantLoad) -> dict[str, Any]:
    return {"id": load.id, "type": load.type, "state": "RESERVED" if load.reserved else "RAW"}


def layout(plant: Plant) -> dict[str, Any]:
    """Where everything stands."""
    setup = plant.setup
    return {
        "modules": [{"type": one.type, "serialNumber": one.serial, "placeholder": False} for one in setup.modules],
        "intersections": [{"id": one} for one in setup.intersections],
        "roads": [
            {"length": round(road.length), "from": road.start, "to": road.end, "direction": road.direction}
            for road in setup.roads
        ],
    }


def config(plant: Plant) -> dict[str, Any]:
    """The CCU's settings."""
    return {
        "productionDurations": {"WHITE": 300, "BLUE": 320, "RED": 280},
        "productionSettings": {"maxParallelOrders": plant.setup.parallel},
        "ftsSettings": {"chargeThresholdPercent": CHARGE_BELOW_PERCENT},
    }


def pairing(turn: Turn) -> dict[str, Any]:
    """Every module and AGV as the CCU sees it."""
    return {
        "modules": [_paired_module(turn, one.serial, one.type or "") for one in turn.plant.setup.modules],
        "transports": [_paired_agv(turn, agv) for agv in turn.plant.agvs.values()],
    }


def _paired_module(turn: Turn, serial: str, kind: str) -> dict[str, Any]:
    plant = turn.plant
    module = plant.modules.get(serial)
    online = serial not in plant.faults.offline
    assigned = serial in plant.reserved
    said: dict[str, Any] = {
        "serialNumber": serial,
        "type": "MODULE",
        "connected": online,
        "available": "BLOCKED" if not online or (module and module.errors) else "BUSY" if assigned else "READY",
        "subType": kind,
        "pairedSince": at_ccu(turn, plant.began),
        "assigned": assigned,
    }
    if module is None:
        return said
    if kind in {"DRILL", "MILL"}:
        said["productionDuration"] = 5
    return said | {
        "ip": module.ip,
        "version": forms.VERSION,
        "lastSeen": forms.iso(turn, CCU),
        "hasCalibration": kind in {"HBW", "DPS"},
    }


def _paired_agv(turn: Turn, agv: Agv) -> dict[str, Any]:
    plant = turn.plant
    online = agv.serial not in plant.faults.offline
    blocked = not online or agv.charging or agv.serial in plant.faults.node_unknown
    busy = forms.is_underway(agv) or any(order.agv == agv.serial for order in plant.active)
    module = agv.node if any(one.serial == agv.node for one in plant.setup.modules) else (agv.path or [agv.node])[-1]
    return {
        "serialNumber": agv.serial,
        "type": "FTS",
        "connected": online,
        "available": "BLOCKED" if blocked else "BUSY" if busy else "READY",
        "ip": agv.ip,
        "version": forms.AGV_VERSION,
        "lastSeen": forms.iso(turn, CCU),
        "charging": agv.charging,
        "batteryVoltage": forms.volts(agv),
        "batteryPercentage": forms.percent(agv),
        "lastNodeId": agv.node,
        "pairedSince": at_ccu(turn, plant.paired.get(agv.serial, plant.began)),
        "lastModuleSerialNumber": module,
        "lastLoadPosition": BAY,
    }


def module_order(turn: Turn, module: Module, order: Order, step: PlantStep) -> tuple[str, dict[str, Any]]:
    """Topic and payload of an order to a module."""
    metadata: dict[str, Any] = {"type": order.type}
    if module.type == "DPS":
        state = "RAW" if step.command == "DROP" else "PROCESSED"
        piece = {"workpieceId": order.workpiece_id, "type": order.type, "history": order.history, "state": state}
        metadata = {"workpiece": piece}
    elif step.command in {"DRILL", "MILL"}:
        metadata = {"duration": 5, "type": order.type}
    elif order.workpiece_id is not None:
        metadata["workpieceId"] = order.workpiece_id
    return build(FactoryKind.MODULE_ORDER, module.serial), {
        "timestamp": forms.iso(turn, CCU),
        "serialNumber": module.serial,
        "orderId": order.id,
        "orderUpdateId": order.at,
        "action": {"id": step.id, "command": step.command, "metadata": metadata},
    }


def way(plant: Plant, start: str, end: str) -> tuple[str, ...] | None:
    """The path of an AGV, None: there is none."""
    return (start,) if start == end else shortest_path(_layout(plant), start, end)


def agv_order(
    turn: Turn, agv: Agv, path: tuple[str, ...], order_id: str, update_id: int, dock_id: str, load: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Topic and payload of an order to an AGV: a way, with a turn or a pass at each node, and docking at its end."""
    found = _layout(turn.plant)
    nodes: list[dict[str, Any]] = []
    for place, node in enumerate(path):
        around = [f"{path[at]}-{path[at + 1]}" for at in (place - 1, place) if 0 <= at < len(path) - 1]
        one: dict[str, Any] = {"id": node, "linkedEdges": around}
        if place == len(path) - 1:
            one["action"] = {"type": "DOCK", "id": dock_id, "metadata": load}
        elif place:
            way_turns = turn_at(found, path[place - 1], node, path[place + 1])
            one["action"] = {
                "id": turn.uuid(),
                "type": "TURN" if way_turns else "PASS",
                "metadata": {"direction": way_turns} if way_turns else {},
            }
        nodes.append(one)
    edges = [
        {"id": f"{one}-{other}", "length": round(road.length), "linkedNodes": [one, other]}
        for one, other, road in zip(path, path[1:], roads_of(found, path), strict=False)
    ]
    return build(FactoryKind.AGV_ORDER, agv.serial), {
        "timestamp": forms.iso(turn, CCU),
        "orderId": order_id,
        "orderUpdateId": update_id,
        "nodes": nodes,
        "edges": edges,
        "serialNumber": agv.serial,
    }


def _layout(plant: Plant) -> FactoryLayout:
    setup = plant.setup
    return FactoryLayout(
        kind=FactoryKind.CCU_LAYOUT,
        topic="ccu/state/layout",
        ts=0,
        modules=tuple(setup.modules),
        intersections=tuple(setup.intersections),
        roads=tuple(setup.roads),
    )
