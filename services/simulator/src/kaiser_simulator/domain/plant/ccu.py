"""The central control (CCU): it takes requests, plans orders, and sends modules and AGVs their orders, step by step.

An order has one AGV from its first step to its last. A module works for one order at a time, from the way there to its
DROP; an order that waits for the next module holds none, so two orders never wait for each other.
"""

from collections.abc import Iterable
from typing import Any

from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.ccu_messages import CcuSetting, OrderRequest
from kaiser_factory_dialect.topics import build

from kaiser_simulator.domain.plant import agvs, ccu_forms, forms, modules
from kaiser_simulator.domain.plant.ccu_forms import BAY, CCU, CHARGE_BELOW_PERCENT
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


def say(turn: Turn, topic: str, payload: Any, *, retain: bool = False) -> None:
    """Publish what the CCU says; nothing by the fault `ccu_mute`."""
    if not turn.plant.faults.ccu_mute:
        turn.say(topic, payload, retain=retain)


def boot(turn: Turn) -> None:
    """Everything that the CCU keeps retained."""
    plant = turn.plant
    say(turn, build(FactoryKind.CCU_LAYOUT), ccu_forms.layout(plant), retain=True)
    say(turn, build(FactoryKind.CCU_CONFIG), ccu_forms.config(plant), retain=True)
    say(turn, build(FactoryKind.CCU_FLOWS), {of: {"steps": s} for of, s in plant.setup.flows.items()}, retain=True)
    say_stock(turn)
    say_active(turn)
    say_completed(turn)
    say_pairing(turn)


def say_active(turn: Turn) -> None:
    """Publish the orders that are not done."""
    orders = [ccu_forms.order_payload(turn, order) for order in turn.plant.active]
    say(turn, build(FactoryKind.CCU_ACTIVE), orders, retain=True)


def say_completed(turn: Turn) -> None:
    """Publish the orders that are done."""
    orders = [ccu_forms.order_payload(turn, order) for order in turn.plant.completed]
    say(turn, build(FactoryKind.CCU_COMPLETED), orders, retain=True)


def say_pairing(turn: Turn) -> None:
    """Publish what the CCU knows of modules and AGVs."""
    say(turn, build(FactoryKind.CCU_PAIRING), ccu_forms.pairing(turn), retain=True)


def say_stock(turn: Turn) -> None:
    """Publish the bays of the store."""
    stock = ccu_forms.stock(turn)
    say(turn, build(FactoryKind.CCU_STOCK), stock, retain=True)
    say(turn, build(FactoryKind.OBSERVED, "1", name="stock"), stock, retain=True)


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
    dispatch(turn)
    say_active(turn)
    say(turn, build(FactoryKind.CCU_RESPONSE), ccu_forms.order_payload(turn, order))
    say_stock(turn)


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


def dispatch(turn: Turn) -> None:
    """Start every step that can start, the oldest order first; then send AGVs to the charger."""
    plant = turn.plant
    moved = False
    for order in list(plant.active):
        if order.state == "ENQUEUED":
            moved |= _start_order(turn, order)
        elif order.state == "IN_PROGRESS" and order.steps[order.at].state == "ENQUEUED":
            moved |= _start_step(turn, order)
    for agv in plant.agvs.values():
        moved |= _to_charger(turn, agv)
    if moved:
        turn.changed = True
        say_active(turn)
        say_pairing(turn)


def _start_order(turn: Turn, order: Order) -> bool:
    """Give an order an AGV, the nearest that is free, once the first module is free too."""
    plant = turn.plant
    running = sum(one.state == "IN_PROGRESS" for one in plant.active)
    target = _free_module(plant, order.steps[0].target or "", order)
    free = [agv for agv in plant.agvs.values() if _is_free(turn, agv)]
    if running >= plant.setup.parallel or target is None or not free:
        return False
    ways = [(len(path), agv.serial) for agv in free if (path := ccu_forms.way(plant, agv.node, target)) is not None]
    if not ways:
        return False
    order.agv, order.state, order.started = min(ways)[1], "IN_PROGRESS", turn.now
    return _start_step(turn, order)


def _start_step(turn: Turn, order: Order) -> bool:
    plant, step = turn.plant, order.steps[order.at]
    agv = plant.agvs[order.agv or ""]
    if step.type == "NAVIGATION":
        target = _free_module(plant, step.target or "", order)
        if target is None or not turn.is_heard(agv.serial) or agv.serial in plant.faults.node_unknown:
            return False
        path = ccu_forms.way(plant, agv.node, target)
        if path is None:
            return False
        plant.reserved[target] = order.id
        step.serial = agv.serial
        load = {"loadType": order.type, "loadPosition": BAY}
        load = ({"loadId": order.workpiece_id} | load) if order.workpiece_id is not None and order.at else load
        topic, payload = ccu_forms.agv_order(turn, agv, path, order.id, order.at, step.id, load)
    else:
        serial = next((at for at, of in plant.reserved.items() if of == order.id), "")
        module = plant.modules.get(serial)
        if module is None or not turn.is_heard(serial) or not modules.is_idle(module):
            return False
        step.serial = serial
        topic, payload = ccu_forms.module_order(turn, module, order, step)
    step.state, step.started = "IN_PROGRESS", turn.now
    turn.say(topic, payload)
    return True


def _free_module(plant: Plant, kind: str, order: Order) -> str | None:
    """A module of a type that can be reached and works for no other order."""
    for module in plant.modules.values():
        mine = plant.reserved.get(module.serial, order.id) == order.id
        if module.type == kind and mine and module.serial not in plant.faults.offline and not module.errors:
            return module.serial
    return None


def _is_free(turn: Turn, agv: Agv) -> bool:
    plant = turn.plant
    return (
        turn.is_heard(agv.serial)
        and not agv.charging
        and agv.serial not in plant.faults.node_unknown
        and agv.serial not in plant.to_charge
        and agv.serial not in plant.reserved.values()
        and agv.battery > CHARGE_BELOW_PERCENT
        and not forms.is_underway(agv)
        and not any(order.agv == agv.serial for order in plant.active)
    )


def _to_charger(turn: Turn, agv: Agv) -> bool:
    """Send an AGV to the charger once it is idle, if that was requested or its battery is low."""
    plant = turn.plant
    low = agv.battery <= CHARGE_BELOW_PERCENT
    charger = next((one.serial for one in plant.setup.modules if one.type == "CHRG"), None)
    if (
        charger is None
        or not (low or agv.serial in plant.to_charge)
        or agv.charging
        or charger in plant.reserved
        or not turn.is_heard(agv.serial)
        or agv.serial in plant.faults.node_unknown
        or forms.is_underway(agv)
        or any(order.agv == agv.serial for order in plant.active)
    ):
        return False
    path = ccu_forms.way(plant, agv.node, charger)
    if path is None:
        return False
    plant.reserved[charger] = agv.serial
    topic, payload = ccu_forms.agv_order(turn, agv, path, f"charge-{turn.uuid()}", 0, turn.uuid(), {})
    turn.say(topic, payload)
    return True


def on_end(turn: Turn, end: End) -> None:
    """An action of a module or an AGV has ended: the next step, or the end of the order."""
    plant = turn.plant
    order = next(
        (one for one in plant.active if one.state == "IN_PROGRESS" and one.steps[one.at].id == end.action_id), None
    )
    if order is None:
        if end.state == "FAILED":
            _release(plant, end.serial)  # on its way to the charger
        dispatch(turn)
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
        dispatch(turn)


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
        say_stock(turn)
    if step.command == "DROP" or failed:
        _release(plant, order.id)


def _clear_load(turn: Turn, agv: Agv, order: Order, *, dropped: bool) -> None:
    """Tell an AGV that its load was taken from it, or put on it."""
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
    say_active(turn)
    turn.later(COMPLETED_AFTER_S, "ccu_completed")
    note = {"ts": forms.iso(turn, CCU), "type": order.type, "state": "SHIPPED" if shipped else word}
    say(turn, build(FactoryKind.OBSERVED, "1", name="order"), note)
    if plant.setup.refill and order.order_type == "PRODUCTION" and order.workpiece_id is not None:
        turn.later(COMPLETED_AFTER_S, "request", order.type, "STORAGE")
    dispatch(turn)


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
        say_stock(turn)


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
            say(turn, build(FactoryKind.CCU_FLOWS), said, retain=True)
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
    say(turn, build(FactoryKind.CCU_GLOBAL), {"type": "reset"})
    boot(turn)


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
    dispatch(turn)


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
        say_pairing(turn)


def _bays(plant: Plant) -> list[PlantLoad]:
    return [load for module in plant.modules.values() if module.type == "HBW" for load in module.bays.values()]
