"""The dispatcher of the central control (CCU): starts the steps that can start, and sends AGVs to the charger."""

from kaiser_simulator.domain.plant import ccu_forms, ccu_saying, forms, modules
from kaiser_simulator.domain.plant.ccu_forms import BAY, CHARGE_BELOW_PERCENT
from kaiser_simulator.domain.plant.saying import Turn
from kaiser_simulator.domain.plant.state import Agv, Order, Plant


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
        ccu_saying.say_active(turn)
        ccu_saying.say_pairing(turn)


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
