"""The central control (CCU): it takes requests and commands, plans orders, and carries each to its end.

An order has one AGV from its first step to its last. A module works for one order at a time, from the way there to its
DROP; an order that waits for the next module holds none, so two orders never wait for each other.
"""

from collections.abc import Iterable
from typing import Any

from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.ccu_messages import CcuSetting, OrderRequest
from kaiser_factory_dialect.topics import build

from kaiser_simulator.domain.plant import agvs, ccu_dispatch, ccu_forms, ccu_saying, forms, modules
from kaiser_simulator.domain.plant.ccu_forms import BAY, CCU
from kaiser_simulator.domain.plant.saying import End, Turn
from kaiser_simulator.domain.plant.state import (
    MOST_ACTIVE,
    MOST_COMPLETED,
    Agv,
    Module,
    Order,
    Plant,
    PlantLoad,
    PlantStep,
)

COMPLETED_AFTER_S = 4.0
"""The time between an order's leaving the active ones and its appearance among the completed ones."""
COLOURS = ("WHITE", "RED", "BLUE")
_PROCESS = {"AIQS": "CHECK_QUALITY", "OVEN": "FIRE"}
"""The action of a module between PICK and DROP, if its name is not that of the type."""
_STATIONS = {
    ("DPS", "DROP"): 100,
    ("AIQS", "CHECK_QUALITY"): 200,
    ("HBW", "PICK"): 300,
    ("HBW", "DROP"): 400,
    ("OVEN", "FIRE"): 500,
    ("MILL", "MILL"): 600,
    ("DRILL", "DRILL"): 700,
}
"""The numbers that a workpiece's tag gets."""


def on_request(turn: Turn, request: OrderRequest) -> None:
    """A request for an order. A request that cannot be fulfilled gets no answer, as from the real CCU."""
    plant = turn.plant
    if plant.faults.ccu_mute or len(plant.active) >= MOST_ACTIVE or request.type not in COLOURS:
        return
    storage = request.order_type == "STORAGE"
    if storage:
        waiting = sum(order.order_type == "STORAGE" for order in plant.active)
        possible = request.workpiece_id is not None and waiting < sum(not load.type for load in _bays(plant))
    else:
        free = [load for load in _bays(plant) if load.type == request.type and not load.reserved]
        possible = bool(free)
        if free:
            free[0].reserved = True
    if not possible:
        return
    order = Order(
        id=turn.uuid(),
        type=request.type,
        order_type="STORAGE" if storage else "PRODUCTION",
        requested=turn.now,
        received=turn.now,
        request_id=request.request_id,
        workpiece_id=request.workpiece_id if storage else None,
    )
    order.steps = _plan(turn, order)
    plant.active.append(order)
    turn.changed = True
    ccu_dispatch.dispatch(turn)
    ccu_saying.say_active(turn)
    ccu_saying.say(turn, build(FactoryKind.CCU_RESPONSE), ccu_forms.order_payload(turn, order))
    ccu_saying.say_stock(turn)


def _plan(turn: Turn, order: Order) -> list[PlantStep]:
    """The steps of an order: ways between stations, and at each PICK, process, DROP."""
    if order.order_type == "STORAGE":
        stations: list[tuple[str, tuple[str, ...]]] = [("DPS", ("DROP",)), ("HBW", ("PICK",))]
    else:
        flow = turn.plant.setup.flows.get(order.type, [])
        between = [(kind, ("PICK", _PROCESS.get(kind, kind), "DROP")) for kind in flow]
        stations = [("HBW", ("DROP",)), *between, ("DPS", ("PICK",))]
    steps: list[PlantStep] = []
    before = "START"
    for kind, commands in stations:
        steps.append(PlantStep(id=turn.uuid(), type="NAVIGATION", source=before, target=kind))
        steps += [
            PlantStep(id=turn.uuid(), type="MANUFACTURE", command=command, module_type=kind) for command in commands
        ]
        before = kind
    return steps


def on_end(turn: Turn, end: End) -> None:
    """An action of a module or an AGV has ended: the next step, or the end of the order."""
    plant = turn.plant
    order = next(
        (one for one in plant.active if one.state == "IN_PROGRESS" and one.steps[one.at].id == end.action_id), None
    )
    if order is None:
        if end.state == "FAILED":
            _release(plant, end.serial)  # on its way to the charger
        ccu_dispatch.dispatch(turn)
        return
    step = order.steps[order.at]
    step.stopped = turn.now
    failed = end.state == "FAILED" or end.result == "FAILED"
    step.state = "ERROR" if failed else "FINISHED"
    if step.type == "MANUFACTURE":
        _after_manufacture(turn, order, step, end, failed=failed)
    if failed:
        _finish(turn, order, "ERROR")
    elif order.at == len(order.steps) - 1:
        _finish(turn, order, "FINISHED")
    else:
        order.at += 1
        ccu_dispatch.dispatch(turn)


def _after_manufacture(turn: Turn, order: Order, step: PlantStep, end: End, *, failed: bool) -> None:
    """Apply a finished step at a module to the load of the AGV, the stock and the history of the workpiece."""
    plant = turn.plant
    if not failed:
        code = _STATIONS.get((step.module_type or "", step.command or ""))
        if code is not None:
            order.history.append({"ts": turn.now, "code": code})
    if step.module_type == "HBW" and step.command == "DROP" and end.result:
        order.workpiece_id = end.result
    agv = plant.agvs.get(order.agv or "")
    if agv is not None and step.command in {"DROP", "PICK"}:
        _clear_load(turn, agv, order, dropped=step.command == "PICK" or failed)
    if step.module_type == "HBW":
        ccu_saying.say_stock(turn)
    if step.command == "DROP" or failed:
        _release(plant, order.id)


def _clear_load(turn: Turn, agv: Agv, order: Order, *, dropped: bool) -> None:
    """Inform an AGV that its load was taken from it, or put on it."""
    metadata = {
        "loadDropped": dropped,
        "loadType": order.type,
        "loadId": order.workpiece_id,
        "loadPosition": BAY,
    }
    _instant(turn, agv, "clearLoadHandler", metadata)


def _instant(turn: Turn, agv: Agv, kind: str, metadata: dict[str, Any] | None) -> None:
    action: dict[str, Any] = {"actionId": turn.uuid(), "actionType": kind}
    turn.say(
        build(FactoryKind.AGV_INSTANT, agv.serial),
        {
            "serialNumber": agv.serial,
            "timestamp": forms.iso(turn, CCU),
            "actions": [action | ({} if metadata is None else {"metadata": metadata})],
        },
    )


def _release(plant: Plant, of: str) -> None:
    plant.reserved = {serial: one for serial, one in plant.reserved.items() if one != of}


def _finish(turn: Turn, order: Order, word: Any) -> None:
    """An order is done: it leaves the active ones, and after some seconds it is among the completed ones."""
    plant = turn.plant
    order.state, order.stopped = word, turn.now
    for step in order.steps:
        if step.state == "ENQUEUED":
            step.state = "CANCELLED"
    if word == "ERROR" and order.steps[order.at].type == "NAVIGATION":
        _unload(turn, order)
    if order.order_type == "PRODUCTION" and order.workpiece_id is None:
        _unreserve(plant, order.type)
    _release(plant, order.id)
    plant.active.remove(order)
    plant.completed = [*plant.completed, order][-MOST_COMPLETED:]
    order.agv = None
    shipped = word == "FINISHED" and order.order_type == "PRODUCTION"
    plant.shipped += shipped
    plant.failed += word == "ERROR"
    turn.changed = True
    ccu_saying.say_active(turn)
    turn.later(COMPLETED_AFTER_S, "ccu_completed")
    note = {"ts": forms.iso(turn, CCU), "type": order.type, "state": "SHIPPED" if shipped else word}
    ccu_saying.say(turn, build(FactoryKind.OBSERVED, "1", name="order"), note)
    if plant.setup.refill and order.order_type == "PRODUCTION" and order.workpiece_id is not None:
        turn.later(COMPLETED_AFTER_S, "request", order.type, "STORAGE")
    ccu_dispatch.dispatch(turn)


def _unreserve(plant: Plant, kind: str) -> None:
    """Of the workpieces that are reserved, one of a type is free again: which one is the same to every order."""
    held = next((load for load in _bays(plant) if load.reserved and load.type == kind), None)
    if held is not None:
        held.reserved = False


def _unload(turn: Turn, order: Order) -> None:
    agv = turn.plant.agvs.get(order.agv or "")
    if agv is not None:
        _clear_load(turn, agv, order, dropped=True)


def on_cancel(turn: Turn, order_ids: Iterable[str]) -> None:
    """Cancel orders that have not begun."""
    plant = turn.plant
    if plant.faults.ccu_mute:
        return
    wanted = set(order_ids)
    for order in [one for one in plant.active if one.id in wanted and one.state == "ENQUEUED"]:
        _finish(turn, order, "CANCELLED")
        ccu_saying.say_stock(turn)


def on_setting(turn: Turn, setting: CcuSetting, machines: tuple[Iterable[Module], Iterable[Agv]]) -> None:
    """A command to the CCU. machines: all of them, for a reset."""
    plant = turn.plant
    if plant.faults.ccu_mute:
        return
    match setting.name:
        case "reset":
            _reset(turn, machines, with_storage=bool(setting.with_storage))
        case "charge":
            _on_charge(turn, str(setting.settings.get("serialNumber", "")), wanted=bool(setting.charge))
        case "flows":
            flows = {of: steps for of, steps in setting.settings.items() if of in COLOURS}
            plant.setup.flows |= {of: _steps(said) for of, said in flows.items()}
            said = {of: {"steps": steps} for of, steps in plant.setup.flows.items()}
            ccu_saying.say(turn, build(FactoryKind.CCU_FLOWS), said, retain=True)
        case _:
            pass
    turn.changed = True


def _steps(said: Any) -> list[str]:
    """The types of modules of a flow; those that this factory does not have are left out."""
    steps = said.get("steps") if isinstance(said, dict) else said
    return [one for one in steps if one in forms.COMMANDS][:8] if isinstance(steps, list) else []


def _reset(turn: Turn, machines: tuple[Iterable[Module], Iterable[Agv]], *, with_storage: bool) -> None:
    plant = turn.plant
    plant.active, plant.completed, plant.reserved, plant.to_charge, plant.untold = [], [], {}, [], []
    plant.timers = [timer for timer in plant.timers if timer.do.startswith("every_") or timer.do == "request"]
    for load in _bays(plant):
        load.reserved = False
    all_modules, all_agvs = machines
    for module in all_modules:
        if with_storage and module.type == "HBW":
            module.bays = {at: PlantLoad() for at in module.bays}
        modules.abort(turn, module)
    for agv in all_agvs:
        agvs.abort(turn, agv)
    ccu_saying.say(turn, build(FactoryKind.CCU_GLOBAL), {"type": "reset"})
    ccu_saying.boot(turn)


def _on_charge(turn: Turn, serial: str, *, wanted: bool) -> None:
    plant = turn.plant
    agv = plant.agvs.get(serial)
    if agv is None:
        return
    if wanted:
        if serial not in plant.to_charge:
            plant.to_charge.append(serial)
    else:
        stop_charging(turn, agv)
    ccu_dispatch.dispatch(turn)


def stop_charging(turn: Turn, agv: Agv) -> None:
    """Have an AGV stop charging; the charger is free then."""
    plant = turn.plant
    plant.to_charge = [one for one in plant.to_charge if one != agv.serial]
    _release(plant, agv.serial)
    _instant(turn, agv, "stopCharging", None)


def on_pair(turn: Turn, serial: str) -> None:
    """Pair an AGV again."""
    if serial in turn.plant.agvs and not turn.plant.faults.ccu_mute:
        turn.plant.paired[serial] = turn.now
        turn.changed = True
        ccu_saying.say_pairing(turn)


def _bays(plant: Plant) -> list[PlantLoad]:
    return [load for module in plant.modules.values() if module.type == "HBW" for load in module.bays.values()]
