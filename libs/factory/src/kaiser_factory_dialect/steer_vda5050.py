"""Messages to VDA 5050 vehicles: an order along an explicit path, and instant actions.

Kaiser sends version 2.0.0, which vehicles of versions 2.x understand. It reads messages from vehicles of versions 1.1
and 3.0, but sends them none. Source: docs/factory-dialect.md, "VDA 5050".
"""

import itertools
from collections.abc import Mapping
from typing import Any

from kaiser_common.contract.errors import Code

from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.fields import MAX_ID, Fields
from kaiser_factory_dialect.steer_checks import Checks, Circumstances, refuse_request
from kaiser_factory_dialect.steer_targets import Draft, need_idle_agv, need_machine, need_online
from kaiser_factory_dialect.times import to_iso_ms
from kaiser_factory_dialect.topics import build
from kaiser_factory_dialect.world import Factory, Machine, VdaAddress

VERSION = "2.0.0"
_BLOCKING = ("NONE", "SOFT", "HARD")
_INSTANT: Mapping[str, str] = {
    "startPause": "HARD",
    "stopPause": "HARD",
    "cancelOrder": "HARD",
    "startCharging": "HARD",
    "stopCharging": "HARD",
    "initPosition": "HARD",
    "stateRequest": "NONE",
    "factsheetRequest": "NONE",
}
"""The instant actions that are sent, each with the actions that may run at the same time."""
_POSITION = ("x", "y", "theta")


def follow_path(fields: Fields, factory: Factory, at: Circumstances, checks: Checks) -> list[Draft]:
    """An order to a vehicle to drive along `path`, every node of it released, with an action at its end if wanted."""
    serial, path, action = fields.needed_text("agv"), fields.texts("path"), _action(fields, at)
    if not path or any(not 0 < len(node) <= MAX_ID for node in path):
        refuse_request(Code.MISSING_REQUIRED_FIELD, "path must list at least one node", "path")
    if any(one == other for one, other in itertools.pairwise(path)):
        refuse_request(Code.VALUE_OUT_OF_RANGE, "path has a node twice in a row", "path")
    machine = need_machine(factory, checks, serial, agv=True)
    need_online(factory, checks, machine)
    address = _need_vda2(machine, checks)
    if action is not None:
        _need_known(machine, checks, action["actionType"])
    need_idle_agv(machine, checks, path[0])
    _need_automatic(machine, checks)
    topic = _topic(FactoryKind.AGV_ORDER, machine, address)
    order = {
        "orderId": at.fresh.uuid(),
        "orderUpdateId": 0,
        "nodes": [
            {
                "nodeId": node,
                "sequenceId": 2 * place,
                "released": True,
                "actions": [action] if action is not None and place == len(path) - 1 else [],
            }
            for place, node in enumerate(path)
        ],
        "edges": [
            {
                "edgeId": f"{one}-{other}",
                "sequenceId": 2 * place + 1,
                "released": True,
                "startNodeId": one,
                "endNodeId": other,
                "actions": [],
            }
            for place, (one, other) in enumerate(itertools.pairwise(path))
        ],
    }
    return [(topic, _header(machine, address, topic, at) | order, None)]


def _action(fields: Fields, at: Circumstances) -> dict[str, Any] | None:
    """The action at the end of the path: type, blocking (NONE, SOFT, HARD), parameters."""
    found = fields.object("action")
    if found is None:
        return None
    kind, blocking = found.needed_text("type"), found.text("blocking") or "HARD"
    if blocking not in _BLOCKING:
        refuse_request(Code.FIELD_TYPE_MISMATCH, f"blocking must be one of {', '.join(_BLOCKING)}", "action.blocking")
    return _action_of(kind, blocking, found.free("parameters"), at)


def _action_of(kind: str, blocking: str, parameters: Mapping[str, Any], at: Circumstances) -> dict[str, Any]:
    return {
        "actionType": kind,
        "actionId": at.fresh.uuid(),
        "blockingType": blocking,
        "actionParameters": [{"key": key, "value": value} for key, value in parameters.items()],
    }


def instant_of_vehicle(
    fields: Fields, machine: Machine, kind: str, metadata: Mapping[str, Any], at: Circumstances, checks: Checks
) -> list[Draft]:
    """One instant action to a vehicle. The published schema of 2.0 names its type actionName, all others actionType."""
    address = _need_vda2(machine, checks)
    text = f"{machine.serial} has no instant action {kind}: {', '.join(_INSTANT)}"
    checks.need(kind in _INSTANT, f"instant action {kind}", 422, Code.INVALID_ACTUATOR_TYPE, text)
    if kind == "initPosition":
        _check_position(fields)
    topic = _topic(FactoryKind.AGV_INSTANT, machine, address)
    action = _action_of(kind, _INSTANT[kind], metadata, at)
    return [(topic, _header(machine, address, topic, at) | {"actions": [{"actionName": kind} | action]}, None)]


def _check_position(fields: Fields) -> None:
    given = fields.object("metadata")
    if given is None:
        raise fields.missing("metadata")
    for name in _POSITION:
        if given.number(name) is None:
            raise given.missing(name)
    for name in ("mapId", "lastNodeId"):
        given.needed_text(name, MAX_ID)


def _need_vda2(machine: Machine, checks: Checks) -> VdaAddress:
    """The address of a vehicle that is sent to. Refusal (422): an AGV of the factory, or of another version."""
    address = machine.vda5050
    text = f"{machine.serial} is an AGV of the factory: it takes route, or from and to, and no path"
    checks.need(address is not None, "a VDA 5050 vehicle", 422, Code.INVALID_ACTUATOR_TYPE, text)
    assert address is not None
    text = f"{machine.serial} speaks VDA 5050 {address.version}: Kaiser sends to v2 and only reads the others"
    checks.need(address.version == "v2", "VDA 5050 v2", 422, Code.INVALID_ACTUATOR_TYPE, text)
    return address


def _need_known(machine: Machine, checks: Checks, kind: str) -> None:
    said = machine.factsheet.actions if machine.factsheet is not None else ()
    text = f"{machine.serial} has no action {kind}: its factsheet lists {', '.join(said)}"
    checks.need(not said or kind in said, f"action {kind}", 422, Code.INVALID_ACTUATOR_TYPE, text)


def _need_automatic(machine: Machine, checks: Checks) -> None:
    """Refusal (409): the vehicle takes no order now."""
    mode = machine.modes.get("vda5050", "AUTOMATIC")
    text = f"{machine.serial} is in mode {mode}"
    automatic = mode in {"AUTOMATIC", "SEMIAUTOMATIC"}
    checks.need(automatic, text, 409, Code.DEPENDENCY_MISSING, f"{text}: it takes no orders")
    text = f"{machine.serial} is in an emergency stop"
    checks.need(not machine.is_stopped, "no emergency stop", 409, Code.DEPENDENCY_MISSING, text)


def _topic(kind: FactoryKind, machine: Machine, address: VdaAddress) -> str:
    root = (address.interface, address.version)
    return build(kind, machine.serial, source="vda5050", root=root, manufacturer=address.manufacturer)


def _header(machine: Machine, address: VdaAddress, topic: str, at: Circumstances) -> dict[str, Any]:
    """The header of a message; its number grows by one with each message to the same topic."""
    return {
        "headerId": at.header_ids.get(topic, 1),
        "timestamp": to_iso_ms(at.now),
        "version": VERSION,
        "manufacturer": address.manufacturer,
        "serialNumber": machine.serial,
    }


def header_topics(factory: Factory, serial: Any) -> tuple[str, ...]:
    """The topics whose header ids a request to this serial may use; none unless it is a VDA 5050 vehicle."""
    machine = factory.machines.get(serial) if isinstance(serial, str) else None
    if machine is None or machine.vda5050 is None:
        return ()
    address = machine.vda5050
    return tuple(_topic(kind, machine, address) for kind in (FactoryKind.AGV_ORDER, FactoryKind.AGV_INSTANT))
