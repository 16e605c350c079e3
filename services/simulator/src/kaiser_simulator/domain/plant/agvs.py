"""The AGVs: they drive from node to node, turn, dock, and wait for their load."""

import itertools

from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.messages import AgvOrder, InstantAction, InstantActions
from kaiser_factory_dialect.topics import build

from kaiser_simulator.domain.plant import forms
from kaiser_simulator.domain.plant.saying import End, Turn
from kaiser_simulator.domain.plant.state import Agv, DriveAction, PlantLoad

_HOP_S, _TURN_S, _DOCK_INIT_S, _DOCK_S, _IN_PLACE_S = 2.4, 1.3, 2.0, 4.2, 2.0
_START_S, _STOP_S, _TURN_INIT_S = 0.05, 0.02, 0.06
_HOP_PERCENT, _CHARGED_PERCENT, _CHARGE_EVERY_S = 0.15, 2.0, 10.0
FULL_PERCENT = 95.0
_MOST_INSTANT = 8
"""So many instant actions an AGV lists."""
_ORDERED = frozenset({"PASS", "TURN", "DOCK"})


def say_state(turn: Turn, agv: Agv) -> None:
    """Publish the state of an AGV."""
    turn.say_as(agv.serial, build(FactoryKind.AGV_STATE, agv.serial), forms.agv_state(turn, agv))


def say_connection(turn: Turn, agv: Agv, word: str) -> None:
    """Publish the connection of an AGV."""
    turn.say_as(agv.serial, build(FactoryKind.AGV_CONNECTION, agv.serial), forms.connection(turn, agv, word))


def boot(turn: Turn, agv: Agv) -> None:
    """An AGV comes: connection, factsheet, state without an action."""
    say_connection(turn, agv, "ONLINE")
    turn.say_as(agv.serial, build(FactoryKind.AGV_FACTSHEET, agv.serial), forms.agv_factsheet(turn, agv))
    say_state(turn, agv)


def on_order(turn: Turn, agv: Agv, order: AgvOrder) -> None:
    """An order as MQTT delivered it: taken, or refused as the real AGV refuses."""
    same = order.order_id == agv.order_id
    if same and order.order_update_id == agv.update_id:
        return
    if same and order.order_update_id < agv.update_id:
        _refuse(turn, agv, order, "orderUpdateError", "the update id is lower than that of the order in force")
    elif forms.is_underway(agv):
        _refuse(turn, agv, order, "orderError", "another order is in force")
    else:
        _take(turn, agv, order)


def _refuse(turn: Turn, agv: Agv, order: AgvOrder, kind: str, message: str) -> None:
    before = agv.errors
    agv.errors = [*before, forms.refusal(kind, message, order.order_id, order.order_update_id, agv.header)]
    say_state(turn, agv)
    agv.errors = before


def _take(turn: Turn, agv: Agv, order: AgvOrder) -> None:
    agv.order_id, agv.update_id = order.order_id or "", order.order_update_id
    agv.path, agv.place = list(order.path), 0
    agv.actions = [
        DriveAction(node.action_id, node.action_type or "PASS", "WAITING", turn.now)
        for node in order.nodes
        if node.action_id is not None
    ]
    agv.turns = [node.action_id or "" for node in order.nodes]
    agv.dock = dict(order.nodes[-1].metadata)
    agv.waiting = False
    turn.changed = True
    if order.path[0] != agv.node or not _is_joined(turn, agv.path):
        for action in agv.actions:
            action.state, action.at = "FAILED", turn.now
        say_state(turn, agv)
        if agv.actions:
            turn.end(End(agv.serial, agv.turns[-1], "FAILED"))
        return
    say_state(turn, agv)
    turn.later(_START_S, "agv_starts", agv.serial, _key(agv))


def _is_joined(turn: Turn, path: list[str]) -> bool:
    roads = {frozenset((road.start, road.end)) for road in turn.plant.setup.roads}
    return all(frozenset(pair) in roads for pair in itertools.pairwise(path))


def _key(agv: Agv) -> str:
    """Names the order in force: what was planned for another one is not done."""
    return f"{agv.order_id}/{agv.update_id}"


def on_timer(turn: Turn, agv: Agv, what: str, key: str) -> None:
    """The next thing on the way."""
    if key != _key(agv):
        return
    turn.changed = True
    match what:
        case "agv_starts":
            _on_start(turn, agv)
        case "agv_arrives":
            _on_arrival(turn, agv)
        case "agv_turns":
            _say_turn(turn, agv)
        case "agv_turned":
            _set_here(turn, agv, "FINISHED")
            _go_on(turn, agv)
        case "agv_docks":
            _set_last(turn, agv, "RUNNING")
            turn.later(turn.spread(_DOCK_S), "agv_docked", agv.serial, key)
        case "agv_docked":
            _on_docked(turn, agv)
        case "agv_charges":
            _on_charging(turn, agv)
        case _:
            agv.driving = False
            say_state(turn, agv)


def _on_charging(turn: Turn, agv: Agv) -> None:
    """Some percent more, until the AGV stops charging."""
    if agv.charging:
        agv.battery = min(FULL_PERCENT, agv.battery + _CHARGED_PERCENT)
        say_state(turn, agv)
        turn.later(_CHARGE_EVERY_S, "agv_charges", agv.serial, _key(agv))


def _on_start(turn: Turn, agv: Agv) -> None:
    agv.driving, agv.charging = True, False
    say_state(turn, agv)
    if len(agv.path) == 1:
        turn.later(turn.spread(_IN_PLACE_S), "agv_docked", agv.serial, _key(agv))
    else:
        _go_on(turn, agv)


def _go_on(turn: Turn, agv: Agv) -> None:
    turn.later(turn.spread(_HOP_S), "agv_arrives", agv.serial, _key(agv))


def _on_arrival(turn: Turn, agv: Agv) -> None:
    """At the next node; before the last one it docks."""
    agv.place += 1
    agv.battery = max(1.0, agv.battery - _HOP_PERCENT)
    if agv.place >= len(agv.path) - 1:
        _set_last(turn, agv, "INITIALIZING")
        turn.later(turn.spread(_DOCK_INIT_S), "agv_docks", agv.serial, _key(agv))
        return
    agv.node = agv.path[agv.place]
    say_state(turn, agv)
    action = _here(agv)
    if action is not None and action.command == "TURN":
        turn.later(_TURN_INIT_S, "agv_turns", agv.serial, _key(agv))
    else:
        _set_here(turn, agv, "FINISHED")
        _go_on(turn, agv)


def _say_turn(turn: Turn, agv: Agv) -> None:
    _set_here(turn, agv, "INITIALIZING")
    _set_here(turn, agv, "RUNNING")
    turn.later(turn.spread(_TURN_S), "agv_turned", agv.serial, _key(agv))


def _on_docked(turn: Turn, agv: Agv) -> None:
    """Docked: it waits for its load, or charges. The type of the load is known before the load is there."""
    agv.node = agv.path[-1]
    at_charger = any(module.serial == agv.node and module.type == "CHRG" for module in turn.plant.setup.modules)
    agv.waiting = not at_charger
    bay, kind = agv.dock.get("loadPosition"), agv.dock.get("loadType")
    if isinstance(bay, str) and isinstance(kind, str) and bay in agv.bays and not agv.bays[bay].type:
        agv.bays[bay] = PlantLoad(kind)
    if at_charger:
        agv.charging = True
        turn.later(_CHARGE_EVERY_S, "agv_charges", agv.serial, _key(agv))
    _set_last(turn, agv, "FINISHED")
    turn.later(_STOP_S, "agv_stands", agv.serial, _key(agv))
    turn.end(End(agv.serial, agv.turns[-1], "FINISHED"))


def on_instant(turn: Turn, agv: Agv, message: InstantActions) -> None:
    """Actions that do not wait for an order: the load, the charger, where it stands."""
    for one in message.actions:
        match one.type:
            case "clearLoadHandler":
                _clear_load(turn, agv, one)
            case "stopCharging":
                agv.charging = False
            case "findInitialDockPosition":
                _find_position(turn, agv, one)
            case "factsheetRequest":
                factsheet = forms.agv_factsheet(turn, agv)
                turn.say_as(agv.serial, build(FactoryKind.AGV_FACTSHEET, agv.serial), factsheet)
            case "reset":
                agv.errors = []
            case _:
                pass
        instant = [each for each in agv.actions if each.command not in _ORDERED][-_MOST_INSTANT + 1 :]
        agv.actions = [each for each in agv.actions if each.command in _ORDERED] + instant
        agv.actions.append(DriveAction(one.id, one.type, "FINISHED", turn.now))
    say_state(turn, agv)
    turn.changed = True


def _clear_load(turn: Turn, agv: Agv, action: InstantAction) -> None:
    """The CCU says that the load was taken from the AGV (loadDropped), or put on it."""
    bay = str(action.metadata.get("loadPosition") or "1")
    if bay not in agv.bays:
        return
    if action.metadata.get("loadDropped"):
        agv.bays[bay] = PlantLoad()
    else:
        kind, workpiece = action.metadata.get("loadType"), action.metadata.get("loadId")
        agv.bays[bay] = PlantLoad(str(kind or ""), str(workpiece or ""), turn.now)
    agv.waiting = False


def _find_position(turn: Turn, agv: Agv, action: InstantAction) -> None:
    node = action.metadata.get("nodeId")
    if isinstance(node, str) and any(node == module.serial for module in turn.plant.setup.modules):
        agv.node = node
        unknown = turn.plant.faults.node_unknown
        if agv.serial in unknown:
            unknown.remove(agv.serial)


def abort(turn: Turn, agv: Agv) -> None:
    """Stop everything: the CCU was reset."""
    agv.order_id, agv.update_id, agv.path, agv.actions = "", -1, [], []
    agv.driving = agv.waiting = False
    agv.bays = {at: PlantLoad() for at in agv.bays}
    say_state(turn, agv)


def _here(agv: Agv) -> DriveAction | None:
    """The action at the node where it is."""
    wanted = agv.turns[agv.place]
    return next((action for action in agv.actions if action.id == wanted), None)


def _set_here(turn: Turn, agv: Agv, word: str) -> None:
    action = _here(agv)
    if action is not None:
        action.state, action.at = word, turn.now
        say_state(turn, agv)


def _set_last(turn: Turn, agv: Agv, word: str) -> None:
    """The word of the action at the last node."""
    wanted = agv.turns[-1]
    for action in agv.actions:
        if action.id == wanted:
            action.state, action.at = word, turn.now
    say_state(turn, agv)
