"""The mock factory as a whole: takes a message, the time or changed faults, and returns the messages it publishes."""

from collections.abc import Sequence

from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.ccu_messages import CcuSetting, OrderCancel, OrderRequest, PairRequest
from kaiser_factory_dialect.layout import DEFAULT_AGVS, DEFAULT_LAYOUT
from kaiser_factory_dialect.messages import AgvOrder, FactoryMessage, InstantActions, ModuleOrder
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted, read
from kaiser_factory_dialect.topics import build

from kaiser_simulator.domain.plant import agvs, ccu, ccu_dispatch, ccu_saying, forms, modules
from kaiser_simulator.domain.plant.saying import End, Turn
from kaiser_simulator.domain.plant.state import Agv, Module, Plant, PlantFaults, PlantLoad, PlantSetup, Timer

BAYS = tuple(f"{row}{column}" for row in "ABC" for column in "123")
DEFAULT_FLOWS = {
    "WHITE": ["DRILL", "AIQS"],
    "RED": ["MILL", "AIQS"],
    "BLUE": ["DRILL", "MILL", "AIQS"],
}
LOW_PERCENT = 8.0
_EVERY_S = {"every_connection": 15.0, "every_pairing": 7.5, "every_climate": 10.0, "every_light": 3.0}
"""The periods of repeated messages. A higher speed does not change them: Kaiser takes 45 s of silence for a fault."""


def default_setup(seed: str, speed: float = 1.0) -> PlantSetup:
    """The installation as delivered."""
    return PlantSetup(
        speed=speed,
        seed=seed,
        modules=list(DEFAULT_LAYOUT.modules),
        intersections=list(DEFAULT_LAYOUT.intersections),
        roads=list(DEFAULT_LAYOUT.roads),
        flows={of: list(steps) for of, steps in DEFAULT_FLOWS.items()},
    )


def new_plant(
    setup: PlantSetup, stock: Sequence[tuple[str, str, str]], cars: Sequence[tuple[str, str, float]] = ()
) -> Plant:
    """A factory that has not begun. stock: bay, type, id of workpieces; cars: serial, node, battery of AGVs."""
    plant = Plant(setup=setup)
    for place, one in enumerate(setup.modules):
        if one.type and one.type != "CHRG":
            bays = {at: PlantLoad() for at in BAYS} if one.type == "HBW" else {"1": PlantLoad()}
            plant.modules[one.serial] = Module(
                serial=one.serial, type=one.type, ip=f"10.20.0.{40 + 10 * place}", bays=bays
            )
    store = next((module for module in plant.modules.values() if module.type == "HBW"), None)
    if store is not None:
        store.bays |= {at: PlantLoad(kind, identity) for at, kind, identity in stock}
    station = next((one.serial for one in setup.modules if one.type == "DPS"), setup.modules[0].serial)
    for place, (serial, node, battery) in enumerate(cars or [(one, station, 80.0) for one in DEFAULT_AGVS]):
        plant.agvs[serial] = Agv(serial=serial, node=node, battery=battery, ip=f"10.20.0.{107 + place}")
    return plant


def begin(plant: Plant, now: int) -> Turn:
    """Switch the factory on: everything that it says at its start, retained."""
    turn = Turn(plant, now)
    plant.began = now
    for load in (load for module in plant.modules.values() for load in module.bays.values() if load.type):
        load.since = load.since or now
        load.id = load.id or turn.tag()
    turn.say(build(FactoryKind.NODERED_STATUS, source="nodered"), {"connectionState": "ONLINE"}, retain=True)
    ccu_saying.boot(turn)
    for module in plant.modules.values():
        modules.boot(turn, module)
    for agv in plant.agvs.values():
        agvs.boot(turn, agv)
    for what in _EVERY_S:
        plant.timers.append(Timer(now, what))
    for order in plant.setup.orders:
        turn.later(order.after_s, "planned", str(plant.setup.orders.index(order)), "0")
    turn.changed = True
    return turn


def end(plant: Plant, now: int) -> Turn:
    """Switch the factory off: every machine says that it is gone."""
    turn = Turn(plant, now)
    for module in plant.modules.values():
        modules.say_connection(turn, module, "OFFLINE")
    for agv in plant.agvs.values():
        agvs.say_connection(turn, agv, "OFFLINE")
    return turn


def next_due(plant: Plant) -> int | None:
    """When something is to be done next (ms)."""
    return min((timer.at for timer in plant.timers), default=None)


def tick(plant: Plant, now: int) -> Turn:
    """Do what is due, in its order. After a standstill everything goes on from where it stood, not all at once."""
    turn = Turn(plant, now)
    due = sorted((timer for timer in plant.timers if timer.at <= now), key=lambda timer: timer.at)
    plant.timers = [timer for timer in plant.timers if timer.at > now]
    for timer in due:
        _do(turn, timer)
    _settle(turn)
    return turn


def hear(plant: Plant, arrival: Arrival) -> Turn:
    """A message as MQTT delivered it. A message that is not for the factory, or cannot be read, changes nothing."""
    turn = Turn(plant, arrival.received_at)
    verdict = read(arrival)
    if isinstance(verdict, FactoryAccepted) and not verdict.message.retained:
        _take(turn, verdict.message)
        _settle(turn)
    return turn


def _take(turn: Turn, message: FactoryMessage) -> None:
    plant = turn.plant
    serial = message.serial or ""
    if serial in plant.faults.offline:
        return
    match message:
        case ModuleOrder() if serial in plant.modules:
            modules.on_order(turn, plant.modules[serial], message)
            turn.changed = True
        case AgvOrder() if serial in plant.agvs:
            agvs.on_order(turn, plant.agvs[serial], message)
        case InstantActions() if serial in plant.modules:
            modules.on_instant(turn, plant.modules[serial], message)
        case InstantActions() if serial in plant.agvs:
            agvs.on_instant(turn, plant.agvs[serial], message)
        case OrderRequest():
            ccu.on_request(turn, message)
        case OrderCancel(order_ids=order_ids):
            ccu.on_cancel(turn, order_ids)
        case CcuSetting():
            ccu.on_setting(turn, message, (plant.modules.values(), plant.agvs.values()))
        case PairRequest():
            ccu.on_pair(turn, serial)
        case _:
            pass


def _settle(turn: Turn) -> None:
    """Have the CCU learn of what ended, which may start what ends at once."""
    while turn.ends:
        ccu.on_end(turn, turn.ends.pop(0))


def _do(turn: Turn, timer: Timer) -> None:
    plant = turn.plant
    match timer.do:
        case "node_red_waits":
            modules.on_node_red_waits(turn, plant.modules[timer.of], timer.arg)
        case "node_red_runs":
            modules.on_node_red_runs(turn, plant.modules[timer.of], timer.arg)
        case "node_red_ends":
            modules.on_node_red_ends(turn, plant.modules[timer.of], timer.arg)
        case "module_ends":
            modules.on_end(turn, plant.modules[timer.of], timer.arg)
        case "module_repaired":
            modules.on_repaired(turn, plant.modules[timer.of])
            ccu_dispatch.dispatch(turn)
        case "ccu_completed":
            ccu_saying.say_completed(turn)
        case "planned":
            _request_planned(turn, int(timer.of), int(timer.arg))
        case "request":
            _request(turn, timer.of, timer.arg)
        case _ if timer.do in _EVERY_S:
            _repeat(turn, timer.do)
        case _:
            agvs.on_timer(turn, plant.agvs[timer.of], timer.do, timer.arg)
    turn.changed = turn.changed or timer.do not in _EVERY_S


def _request_planned(turn: Turn, which: int, done: int) -> None:
    """Request an order of the plan, and note the next one."""
    order = turn.plant.setup.orders[which]
    _request(turn, order.type, order.order_type)
    done += 1
    if order.every_s is not None and (order.count is None or done < order.count):
        turn.later(order.every_s, "planned", str(which), str(done))


def _request(turn: Turn, kind: str, order_type: str) -> None:
    """Request an order as a panel of the factory does: over MQTT, where the CCU receives it."""
    request = {
        "type": kind,
        "timestamp": forms.iso(turn, "ccu"),
        "orderType": order_type,
        "requestId": f"panel_{turn.uuid()}",
    }
    if order_type == "STORAGE":
        request["workpieceId"] = turn.tag()
    turn.say(build(FactoryKind.CCU_REQUEST), request)


def _repeat(turn: Turn, what: str) -> None:
    plant = turn.plant
    plant.timers.append(Timer(turn.now + round(_EVERY_S[what] * 1000), what))
    match what:
        case "every_connection":
            for module in plant.modules.values():
                topic = build(FactoryKind.MODULE_CONNECTION, module.serial)
                turn.say_as(module.serial, topic, forms.connection(turn, module, "ONLINE"))
        case "every_pairing":
            for agv in plant.agvs.values():
                if agv.charging and agv.battery >= agvs.FULL_PERCENT:
                    ccu.stop_charging(turn, agv)
                    turn.changed = True
            ccu_dispatch.dispatch(turn)
            ccu_saying.say_pairing(turn)
        case "every_climate":
            _say_climate(turn)
        case _:
            _say_light(turn)


def _say_climate(turn: Turn) -> None:
    """Climate and brightness of the TXT."""
    at = forms.iso(turn, "txt")
    climate = {
        "t": round(22 + turn.share(), 1),
        "rt": 0.0,
        "h": round(40 + 3 * turn.share(), 1),
        "rh": 0.0,
        "p": round(1001 + turn.share(), 1),
        "iaq": 40 + round(10 * turn.share()),
        "aq": 3,
        "gr": 0,
    }
    turn.say(build(FactoryKind.TXT_SENSOR, "1", name="bme680"), {"ts": at} | climate, retain=True)
    light = {"br": round(60 + 5 * turn.share(), 1), "ldr": 5200 + round(100 * turn.share())}
    turn.say(build(FactoryKind.TXT_SENSOR, "1", name="ldr"), {"ts": at} | light, retain=True)


def _say_light(turn: Turn) -> None:
    """The CCU sets the lamp of the goods in and out: green while an order runs, yellow otherwise."""
    plant = turn.plant
    works = any(order.state == "IN_PROGRESS" for order in plant.active)
    lamp = {"green": works, "red": False, "yellow": not works}
    for module in plant.modules.values():
        if module.type == "DPS":
            ccu_saying.say(
                turn,
                build(FactoryKind.MODULE_INSTANT, module.serial),
                {
                    "serialNumber": module.serial,
                    "timestamp": forms.iso(turn, "ccu"),
                    "actions": [{"actionId": turn.uuid(), "actionType": "setStatusLED", "metadata": lamp}],
                },
            )


def set_faults(plant: Plant, faults: PlantFaults, now: int) -> Turn:
    """Replace the faults in force. What a machine did while it could not publish is published once it can again."""
    turn = Turn(plant, now, changed=True)
    before, was_mute = plant.faults, plant.faults.ccu_mute
    for serial in set(faults.offline) - set(before.offline):
        _say_connection(turn, serial, "CONNECTIONBROKEN")
    plant.faults = faults
    for serial in (set(before.offline) | set(before.silent)) - set(faults.offline) - set(faults.silent):
        if serial in before.offline:
            _say_connection(turn, serial, "ONLINE")
        _tell(turn, serial)
    for serial in set(faults.node_unknown) ^ set(before.node_unknown):
        if serial in plant.agvs:
            agvs.say_state(turn, plant.agvs[serial])
    for serial in set(faults.battery_low) - set(before.battery_low):
        if serial in plant.agvs:
            plant.agvs[serial].battery = LOW_PERCENT
            agvs.say_state(turn, plant.agvs[serial])
    if was_mute and not faults.ccu_mute:
        ccu_saying.boot(turn)
    ccu_dispatch.dispatch(turn)
    _settle(turn)
    return turn


def _say_connection(turn: Turn, serial: str, word: str) -> None:
    plant = turn.plant
    if serial in plant.modules:
        modules.say_connection(turn, plant.modules[serial], word)
    elif serial in plant.agvs:
        agvs.say_connection(turn, plant.agvs[serial], word)


def _tell(turn: Turn, serial: str) -> None:
    """Publish the state of a machine that can publish again, and give the CCU the actions that have ended since."""
    plant = turn.plant
    module, agv = plant.modules.get(serial), plant.agvs.get(serial)
    if module is not None:
        modules.say_state(turn, module)
    elif agv is not None:
        agvs.say_state(turn, agv)
    if serial in plant.untold:
        plant.untold.remove(serial)
        if module is not None and module.action is not None:
            turn.ends.append(End(serial, module.action.id, module.action.state, module.action.result))
        elif agv is not None and agv.actions:
            last = next(one for one in reversed(agv.actions) if one.command in {"DOCK", "PASS", "TURN"})
            turn.ends.append(End(serial, last.id, last.state))
