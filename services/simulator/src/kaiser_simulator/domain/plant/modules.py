"""The modules: they take an order, work as long as the real ones, and report how it ended."""

from collections.abc import Mapping
from typing import Any

from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.messages import InstantActions, ModuleOrder
from kaiser_factory_dialect.topics import build

from kaiser_simulator.domain.plant import forms
from kaiser_simulator.domain.plant.pictures import picture
from kaiser_simulator.domain.plant.saying import End, Turn
from kaiser_simulator.domain.plant.state import Action, Module, PlantLoad

_SECONDS: Mapping[tuple[str, str], float] = {
    ("HBW", "DROP"): 42,
    ("HBW", "PICK"): 18,
    ("DPS", "PICK"): 22,
    ("DPS", "DROP"): 12.5,
    ("DRILL", "PICK"): 10.7,
    ("DRILL", "DRILL"): 9.1,
    ("DRILL", "DROP"): 9.9,
    ("MILL", "PICK"): 10,
    ("MILL", "MILL"): 9.1,
    ("MILL", "DROP"): 8.9,
    ("AIQS", "PICK"): 7.7,
    ("AIQS", "CHECK_QUALITY"): 6.4,
    ("AIQS", "DROP"): 8.1,
}
"""How long actions take (s). Those of the DPS and a check of quality end first on Node-RED's stream, then here."""
_OTHERWISE_S = 8.0
_AFTER_NODE_RED_S = {"DPS": 1.0, "AIQS": 2.0}
_NODE_RED_DELAYS_S = {"DPS": (0.05, 0.18), "AIQS": (2.7, 0.2)}
"""From the order to WAITIING, and from there to RUNNING."""
_REPAIRED_AFTER_S = 5.0
_WITHOUT_ANSWER = frozenset({"setStatusLED", "announceOutput"})
_ENDED = frozenset({"FINISHED", "FAILED"})
RGB_COMMANDS = frozenset({"INPUT_RGB", "RGB_NFC"})


def state_topic(module: Module) -> str:
    """Where a module says its state."""
    return build(FactoryKind.MODULE_STATE, module.serial)


def say_state(turn: Turn, module: Module, *, briefly: bool = False) -> None:
    """Publish the state of a module."""
    turn.say_as(module.serial, state_topic(module), forms.module_state(turn, module, briefly=briefly))


def say_connection(turn: Turn, module: Module, word: str) -> None:
    """Publish the connection of a module, and of its Node-RED."""
    topic = build(FactoryKind.MODULE_CONNECTION, module.serial)
    turn.say_as(module.serial, topic, forms.connection(turn, module, word))
    if module.type in forms.WITH_NODE_RED:
        topic = build(FactoryKind.MODULE_CONNECTION, module.serial, source="nodered")
        turn.say_as(module.serial, topic, forms.connection(turn, module, word, node_red=True))


def boot(turn: Turn, module: Module) -> None:
    """A module comes: connection, factsheet, state with the request for its factsheet as the last action."""
    identity = turn.uuid()
    module.order_id = identity
    module.action = Action(id=identity, command="factsheetRequest", state="FINISHED", order_id=identity)
    say_connection(turn, module, "ONLINE")
    say_factsheet(turn, module)
    say_state(turn, module)
    if module.type in forms.WITH_NODE_RED:
        state = forms.node_red_state(turn, module, "FINISHED", 0, boot=True)
        turn.say_as(module.serial, build(FactoryKind.MODULE_STATE, module.serial, source="nodered"), state)


def say_factsheet(turn: Turn, module: Module) -> None:
    """Publish what a module can do."""
    turn.say_as(module.serial, build(FactoryKind.MODULE_FACTSHEET, module.serial), forms.module_factsheet(turn, module))
    if module.type in forms.WITH_NODE_RED:
        topic = build(FactoryKind.MODULE_FACTSHEET, module.serial, source="nodered")
        turn.say_as(module.serial, topic, forms.node_red_factsheet(turn, module))


def is_idle(module: Module) -> bool:
    """Whether a module would take an order."""
    return (module.action is None or module.action.state in _ENDED) and not module.errors


def on_order(turn: Turn, module: Module, order: ModuleOrder) -> None:
    """An order as MQTT delivered it: taken, or refused as the real module refuses."""
    if order.source == "nodered":
        if order.command in RGB_COMMANDS:
            _on_rgb(turn, module, order)
        return
    if order.order_id == module.order_id and order.order_update_id <= module.used:
        _refuse(turn, module, order, "OrderUpdateId not valid")
    elif not is_idle(module):
        _refuse(turn, module, order, "Module is not IDLE")
    elif order.command not in forms.COMMANDS.get(module.type, ()):
        _refuse(turn, module, order, f"{order.command} is not supported")
    else:
        _begin(turn, module, order)


def _refuse(turn: Turn, module: Module, order: ModuleOrder, message: str) -> None:
    before = module.errors
    error = forms.refusal("Validation", message, order.order_id, order.order_update_id, module.header)
    module.errors = [*before, error]
    say_state(turn, module)
    module.errors = before


def _begin(turn: Turn, module: Module, order: ModuleOrder) -> None:
    module.order_id, module.used = order.order_id or "", order.order_update_id
    module.action = Action(
        id=order.action_id,
        command=order.command,
        state="RUNNING",
        metadata=dict(order.metadata),
        order_id=module.order_id,
        update_id=order.order_update_id,
    )
    if order.command == "PICK" and module.type not in {"HBW", "DPS"}:
        module.bays = {"1": PlantLoad(kind_of(module.action), workpiece_of(module.action), turn.now)}
    say_state(turn, module, briefly=module.type == "DPS")
    seconds = turn.spread(_SECONDS.get((module.type, order.command), _OTHERWISE_S))
    if module.type == "DPS" or order.command == "CHECK_QUALITY":
        waiting, _ = _NODE_RED_DELAYS_S[module.type]
        turn.later(waiting, "node_red_waits", module.serial, order.action_id)
        turn.later(max(seconds, waiting + 1), "node_red_ends", module.serial, order.action_id)
    else:
        turn.later(seconds, "module_ends", module.serial, order.action_id)


def on_node_red_waits(turn: Turn, module: Module, action_id: str) -> None:
    """Node-RED has the order: it forwards it under an update id of its own, and waits."""
    action = _current(module, action_id)
    if action is None:
        return
    update_id = _node_red_update_id(module, action)
    order: dict[str, Any] = {
        "timestamp": forms.iso(turn, module.serial),
        "orderId": module.order_id,
        "orderUpdateId": update_id,
        "action": {"id": action.id, "command": action.command, "metadata": action.metadata},
    }
    if module.type == "AIQS":
        order["serialNumber"] = module.serial
    if turn.is_heard(module.serial):
        turn.say(build(FactoryKind.MODULE_ORDER, module.serial, source="nodered"), order)
    word = "WAITIING" if module.type == "DPS" else "WAITING"
    _say_node_red(turn, module, word)
    turn.later(_NODE_RED_DELAYS_S[module.type][1], "node_red_runs", module.serial, action_id)


def on_node_red_runs(turn: Turn, module: Module, action_id: str) -> None:
    """Node-RED says that the action runs."""
    if _current(module, action_id) is not None:
        _say_node_red(turn, module, "RUNNING")


def on_node_red_ends(turn: Turn, module: Module, action_id: str) -> None:
    """Node-RED says that the action ended, with a picture of what was checked; the module says it a little later."""
    action = _current(module, action_id)
    if action is None:
        return
    failed = module.serial in turn.plant.faults.pick_failed and action.command == "PICK"
    if not failed:
        action.result = "PASSED"
        if action.command == "CHECK_QUALITY":
            if turn.share() < turn.plant.faults.quality_failed:
                action.result = "FAILED"
            _say_picture(turn, module, action)
        _say_node_red(turn, module, "FINISHED")
    turn.later(_AFTER_NODE_RED_S[module.type], "module_ends", module.serial, action_id)


def on_end(turn: Turn, module: Module, action_id: str) -> None:
    """An action ends: the workpiece is where it belongs, or the action failed."""
    action = _current(module, action_id)
    if action is None:
        return
    faults = turn.plant.faults
    done = True
    if action.command == "PICK" and module.serial in faults.pick_failed:
        faults.pick_failed.remove(module.serial)
        done = False
    elif module.type == "HBW":
        done = _store(turn, module, action)
    if done:
        action.state = "FINISHED"
        gone = action.command == "DROP" or action.result == "FAILED"
        if gone and module.type not in {"HBW", "DPS"}:
            module.bays = {"1": PlantLoad()}
    else:
        action.state = "FAILED"
        module.bays = module.bays if module.type == "HBW" else {"1": PlantLoad()}
        error = forms.refusal(
            f"{action.command}_failed", f"{action.command} failed", module.order_id, module.used, module.header
        )
        module.errors = [{"timestamp": forms.iso(turn, module.serial), **error, "errorLevel": "FATAL"}]
        turn.later(_REPAIRED_AFTER_S, "module_repaired", module.serial)
    say_state(turn, module)
    turn.end(End(module.serial, action.id, action.state, action.result))


def on_repaired(turn: Turn, module: Module) -> None:
    """Somebody has put it right."""
    module.errors = []
    say_state(turn, module)
    turn.changed = True


def _store(turn: Turn, module: Module, action: Action) -> bool:
    """DROP gives a workpiece to the AGV, PICK takes one from it; False: there is none, or no room."""
    kind, workpiece = kind_of(action), workpiece_of(action)
    if action.command == "DROP":
        fits = [at for at, load in module.bays.items() if load.type == kind]
        fits.sort(key=lambda at: (module.bays[at].id != workpiece, not module.bays[at].reserved, at))
        if not fits:
            return False
        action.result = module.bays[fits[0]].id
        module.bays[fits[0]] = PlantLoad()
    elif action.command == "PICK":
        free = next((at for at, load in sorted(module.bays.items()) if not load.type), None)
        if free is None:
            return False
        module.bays[free] = PlantLoad(kind, workpiece, turn.now)
    return True


def on_instant(turn: Turn, module: Module, message: InstantActions) -> None:
    """Actions that do not wait for an order. While the module works they are done without an answer."""
    if message.source == "nodered":
        return
    for one in message.actions:
        if one.type in _WITHOUT_ANSWER:
            continue
        if one.type == "factsheetRequest":
            say_factsheet(turn, module)
        if one.type == "reset":
            module.errors = []
        if module.action is None or module.action.state in _ENDED:
            module.action = Action(id=one.id, command=one.type, state="FINISHED", metadata=dict(one.metadata))
            say_state(turn, module)
        turn.changed = True


def abort(turn: Turn, module: Module) -> None:
    """Stop everything: the CCU was reset."""
    module.action, module.errors, module.order_id, module.used = None, [], "", -1
    if module.type != "HBW":
        module.bays = {"1": PlantLoad()}
    say_state(turn, module)


def kind_of(action: Action) -> str:
    """The type of the workpiece that an action is about."""
    workpiece = action.metadata.get("workpiece")
    found = workpiece.get("type") if isinstance(workpiece, dict) else action.metadata.get("type")
    return found if isinstance(found, str) else "WHITE"


def workpiece_of(action: Action) -> str:
    """The id of the workpiece that an action is about, "" where it says none."""
    workpiece = action.metadata.get("workpiece")
    of = workpiece if isinstance(workpiece, dict) else action.metadata
    found = of.get("workpieceId")
    return found if isinstance(found, str) else ""


def _on_rgb(turn: Turn, module: Module, order: ModuleOrder) -> None:
    """Reading the colour or the tag: Node-RED answers immediately."""
    if not is_idle(module):
        return
    module.order_id, module.used = order.order_id or "", order.order_update_id
    module.action = Action(id=order.action_id, command=order.command, state="FINISHED")
    _say_node_red(turn, module, "FINISHED")
    turn.changed = True


def _say_node_red(turn: Turn, module: Module, word: str) -> None:
    update_id = module.used if module.action is None else _node_red_update_id(module, module.action)
    state = forms.node_red_state(turn, module, word, update_id)
    turn.say_as(module.serial, build(FactoryKind.MODULE_STATE, module.serial, source="nodered"), state)


def _node_red_update_id(module: Module, action: Action) -> int:
    """Node-RED counts in its own way at the AIQS."""
    return action.update_id + (2 if module.type == "AIQS" else 0)


def _say_picture(turn: Turn, module: Module, action: Action) -> None:
    turn.plant.checked += 1
    passed = action.result == "PASSED"
    turn.say(
        build(FactoryKind.TXT_QUALITY, "1"),
        {
            "num": turn.plant.checked,
            "result": action.result,
            "classification": "BOHOMIPO2" if passed else "CRACK",
            "classificationDesc": "hole and two pockets" if passed else "crack",
            "data": picture(kind_of(action), action.result or ""),
            "ts": forms.iso(turn, "txt"),
        },
        retain=True,
    )


def _current(module: Module, action_id: str) -> Action | None:
    """The action that a timer is about, if the module still does it."""
    action = module.action
    return action if action is not None and action.id == action_id and action.state not in _ENDED else None
