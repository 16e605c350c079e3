"""Messages to modules: sequences, single commands, and instant actions (also to AGVs)."""

from collections.abc import Mapping
from typing import Any

from kaiser_common.contract.errors import Code

from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.fields import MAX_ID, Fields
from kaiser_factory_dialect.steer_checks import Checks, Circumstances
from kaiser_factory_dialect.steer_targets import Draft, need_machine, need_module, need_online, whole
from kaiser_factory_dialect.steer_vda5050 import instant_of_vehicle
from kaiser_factory_dialect.times import to_iso_ms
from kaiser_factory_dialect.topics import build
from kaiser_factory_dialect.view import availability_of, type_of
from kaiser_factory_dialect.world import Factory, Machine

_SEQUENCES: Mapping[str, tuple[str, ...]] = {
    "AIQS": ("PICK", "CHECK_QUALITY", "DROP"),
    "MILL": ("PICK", "MILL", "DROP"),
    "DRILL": ("PICK", "DRILL", "DROP"),
}
_COMMANDS: Mapping[str, frozenset[str]] = {
    "HBW": frozenset({"PICK", "DROP"}),
    "DPS": frozenset({"PICK", "DROP"}),
    **{kind: frozenset(steps) for kind, steps in _SEQUENCES.items()},
}
_OF_NODE_RED: Mapping[str, frozenset[str]] = {"DPS": frozenset({"INPUT_RGB", "RGB_NFC"})}
_INSTANT = frozenset({"factsheetRequest", "reset"})
_INSTANT_AGV = _INSTANT | {"findInitialDockPosition", "stopCharging", "clearLoadHandler"}
_INSTANT_DPS = frozenset({"setStatusLED", "announceOutput", "cancelStorageOrder"})
_STOPS = frozenset({"stop", "startPause", "stopPause", "cancelOrder", "emergencyStop", "pause"})
NO_STOP = (
    "an AGV of this factory cannot be stopped over MQTT: its firmware knows no such action; "
    "switch it off, or take the way from it"
)
_DEFAULT_DURATION_S = 5


def sequence(fields: Fields, factory: Factory, at: Circumstances, checks: Checks) -> list[Draft]:
    """PICK, the module's own work, DROP: each step waits until the one before is FINISHED."""
    name, load_type = fields.needed_text("module"), fields.needed_text("load_type")
    workpiece, duration = fields.text("workpiece_id", MAX_ID), fields.number("duration")
    machine = need_machine(factory, checks, need_module(factory, checks, name), agv=False)
    need_online(factory, checks, machine)
    kind = type_of(factory, machine) or ""
    steps = _SEQUENCES.get(kind, ())
    text = f"{machine.serial} ({kind or 'of no known type'}) has no sequence: {', '.join(_SEQUENCES)} have"
    checks.need(bool(steps), "a sequence", 422, Code.INVALID_ACTUATOR_TYPE, text)
    _need_idle_module(factory, at, checks, machine)
    order_id, drafts, before = at.fresh.uuid(), list[Draft](), None
    for update_id, command in enumerate(steps, start=1):
        metadata: dict[str, Any] = {"priority": "NORMAL", "timeout": 300, "type": load_type}
        if command in {"MILL", "DRILL"}:
            metadata["duration"] = whole(duration if duration is not None else _duration_of(machine))
        elif workpiece is not None:
            metadata["workpieceId"] = workpiece
        action_id = at.fresh.uuid()
        drafts.append((*_order(machine.serial, order_id, update_id, action_id, command, metadata, at), before))
        before = action_id
    return drafts


def _duration_of(machine: Machine) -> float:
    paired = machine.pairing.duration if machine.pairing is not None else None
    return _DEFAULT_DURATION_S if paired is None else paired


def _need_idle_module(factory: Factory, at: Circumstances, checks: Checks, machine: Machine) -> None:
    word = availability_of(factory, machine, at.now)
    ours = machine.order_id is not None and machine.order_id in at.order_ids and word == "BUSY"
    text = f"{machine.serial} is {word}"
    checks.need(word == "READY" or ours, text, 409, Code.DEPENDENCY_MISSING, f"{text}, with order {machine.order_id}")


def _order(
    serial: str, order_id: str, update_id: int, action_id: str, command: str, metadata: Any, at: Circumstances
) -> tuple[str, Any]:
    of_node_red = any(command in commands for commands in _OF_NODE_RED.values())
    payload = {
        "timestamp": to_iso_ms(at.now),
        "serialNumber": serial,
        "orderId": order_id,
        "orderUpdateId": update_id,
        "action": {"id": action_id, "command": command, "metadata": metadata},
    }
    return build(FactoryKind.MODULE_ORDER, serial, source="nodered" if of_node_red else "device"), payload


def command(fields: Fields, factory: Factory, at: Circumstances, checks: Checks) -> list[Draft]:
    """One order to a module; with the order id of an earlier one of Kaiser's it is its next update."""
    serial, name, metadata = fields.needed_text("serial"), fields.needed_text("command"), fields.free("metadata")
    order_id, update_id = fields.text("order_id", MAX_ID), fields.integer("order_update_id")
    force = bool(fields.boolean("force")) and at.role == "admin"
    machine = need_machine(factory, checks, serial, agv=False)
    need_online(factory, checks, machine)
    text = f"{serial} ({type_of(factory, machine) or 'of no known type'}) has no command {name}"
    checks.need(name in commands_of(factory, machine), f"command {name}", 422, Code.INVALID_ACTUATOR_TYPE, text)
    next_id = _next_update(factory, at, checks, order_id, force)
    _need_idle_module(factory, at, checks, machine)
    text = f"update id {update_id} of order {order_id} is used: the next is {next_id}"
    fresh = update_id is None or update_id >= next_id
    checks.need(fresh, "a new update id", 409, Code.DUPLICATE_ENTRY, text)
    known = order_id or at.fresh.uuid()
    update = next_id if update_id is None else update_id
    return [(*_order(serial, known, update, at.fresh.uuid(), name, metadata, at), None)]


def commands_of(factory: Factory, machine: Machine) -> frozenset[str]:
    """The commands of a module: those of its factsheet, without one those of its type, and those of Node-RED."""
    kind = type_of(factory, machine) or ""
    said = machine.factsheet.actions if machine.factsheet is not None else ()
    return (frozenset(said) or _COMMANDS.get(kind, frozenset())) | _OF_NODE_RED.get(kind, frozenset())


def _next_update(factory: Factory, at: Circumstances, checks: Checks, order_id: str | None, force: bool) -> int:
    """The next update id of an order of Kaiser's; 1 of a new one. The CCU's own orders are not touched."""
    if order_id is None:
        return 1
    of_ccu = order_id in factory.orders and order_id not in at.order_ids
    text = f"order {order_id} is the CCU's: an admin may force it"
    checks.need(not of_ccu or force, "an order of Kaiser's", 409, Code.PERMISSION_DENIED, text)
    known = order_id in at.order_ids or (of_ccu and force)
    checks.need(known, f"order {order_id}", 404, Code.ESP_DEVICE_NOT_FOUND, f"there is no order {order_id}")
    return at.order_ids.get(order_id, len(factory.orders[order_id].order.steps) if of_ccu else 1)


def instant(fields: Fields, factory: Factory, at: Circumstances, checks: Checks) -> list[Draft]:
    """One instant action to a module or an AGV."""
    serial, kind, metadata = fields.needed_text("serial"), fields.needed_text("type"), fields.free("metadata")
    machine = need_machine(factory, checks, serial)
    need_online(factory, checks, machine)
    if machine.vda5050 is not None:
        return instant_of_vehicle(fields, machine, kind, metadata, at, checks)
    known = kind in (_INSTANT_AGV if machine.agv else _instants_of(factory, machine, kind))
    text = NO_STOP if machine.agv and kind in _STOPS else f"{serial} has no instant action {kind}"
    checks.need(known, f"instant action {kind}", 422, Code.INVALID_ACTUATOR_TYPE, text)
    action = {"actionId": at.fresh.uuid(), "actionType": kind} | ({"metadata": metadata} if metadata else {})
    payload = {"serialNumber": serial, "timestamp": to_iso_ms(at.now), "actions": [action]}
    topic = build(FactoryKind.AGV_INSTANT if machine.agv else FactoryKind.MODULE_INSTANT, serial)
    return [(topic, payload, None)]


def _instants_of(factory: Factory, machine: Machine, kind: str) -> frozenset[str]:
    """The instant actions of a module. A charger has none: it is no client of the broker."""
    if type_of(factory, machine) == "CHRG":
        return frozenset()
    of_type = _INSTANT_DPS if type_of(factory, machine) == "DPS" else frozenset()
    return _INSTANT | of_type | (frozenset({kind}) if "calibration" in kind.lower() else frozenset())
