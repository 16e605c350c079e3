"""Steers AGVs: an order to drive from one module to another and dock there."""

import itertools
from collections.abc import Mapping
from typing import Any

from kaiser_common.contract.errors import Code

from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.ccu_messages import FactoryLayout
from kaiser_factory_dialect.fields import MAX_ID, Fields
from kaiser_factory_dialect.layout import DEFAULT_LAYOUT
from kaiser_factory_dialect.messages import Load
from kaiser_factory_dialect.routes import roads_of, shortest_path, turn_at
from kaiser_factory_dialect.steer_checks import Checks, Circumstances, Refusal, refuse_request
from kaiser_factory_dialect.steer_targets import (
    Draft,
    modules_of,
    need_idle_agv,
    need_machine,
    need_module,
    need_of_factory,
    need_online,
    whole,
)
from kaiser_factory_dialect.steer_vda5050 import follow_path
from kaiser_factory_dialect.times import to_iso_ms
from kaiser_factory_dialect.topics import build
from kaiser_factory_dialect.view import type_of
from kaiser_factory_dialect.world import Factory, Machine

BAYS = ("1", "2", "3")
_ROUTES: Mapping[str, tuple[str, str, str]] = {
    "DPS-HBW": ("DPS", "HBW", "WHITE"),
    "HBW-DPS": ("HBW", "DPS", "WHITE"),
    "RED-Prod": ("DPS", "HBW", "RED"),
    "BLUE-Prod": ("DPS", "HBW", "BLUE"),
    "WHITE-Prod": ("DPS", "HBW", "WHITE"),
}


def navigate(fields: Fields, factory: Factory, at: Circumstances, checks: Checks) -> list[Draft]:
    """An order to an AGV to drive from one module to another and dock there; to a VDA 5050 vehicle along a path."""
    if fields.values.get("path") is not None:
        return follow_path(fields, factory, at, checks)
    route, layout = fields.text("route"), factory.layout or DEFAULT_LAYOUT
    if route is not None and route not in _ROUTES:
        refuse_request(Code.FIELD_TYPE_MISMATCH, f"there is no route {route}: {', '.join(_ROUTES)}", "route")
    named = _ROUTES.get(route or "")
    start, end = (named[0], named[1]) if named else (fields.needed_text("from"), fields.needed_text("to"))
    load_type = named[2] if named else fields.text("load_type")
    bay, load_id, wanted = fields.text("load_position"), fields.text("load_id", MAX_ID), fields.text("agv")
    if bay is not None and bay not in BAYS:
        refuse_request(Code.VALUE_OUT_OF_RANGE, "load_position must be 1, 2 or 3", "load_position")
    start, end = need_module(factory, checks, start), need_module(factory, checks, end)
    machine = _agv_for(factory, checks, wanted, start)
    need_online(factory, checks, machine)
    need_of_factory(checks, machine, "it takes agv and path, a list of its nodes")
    need_idle_agv(machine, checks, start)
    path = shortest_path(layout, start, end)
    checks.need(path is not None, "a way", 409, Code.DEPENDENCY_MISSING, f"no way from {start} to {end}")
    assert path is not None
    load = _bay_for(machine, checks, load_type, load_id, bay)
    label = route or f"{_label(factory, start)}-{_label(factory, end)}"
    dock = {
        "loadId": load.id or f"04{at.fresh.digits(12)}",
        "loadType": load.type,
        "loadPosition": load.position,
    }
    payload = {
        "timestamp": to_iso_ms(at.now),
        "orderId": f"fts-navigation-{label}-{at.fresh.digits(8)}",
        "orderUpdateId": 0,
        "serialNumber": machine.serial,
        "nodes": _nodes(layout, path, dock, at),
        "edges": [
            {"id": f"{one}-{other}", "length": whole(road.length), "linkedNodes": [one, other]}
            for one, other, road in zip(path, path[1:], roads_of(layout, path), strict=False)
        ],
    }
    return [(build(FactoryKind.AGV_ORDER, machine.serial), payload, None)]


def _nodes(layout: FactoryLayout, path: tuple[str, ...], dock: dict[str, Any], at: Circumstances) -> list[Any]:
    found: list[dict[str, Any]] = []
    for place, node in enumerate(path):
        around = [f"{one}-{other}" for one, other in itertools.pairwise(path) if node in {one, other}]
        one: dict[str, Any] = {"id": node, "linkedEdges": around}
        if place == len(path) - 1:
            one["action"] = {"id": at.fresh.uuid(), "type": "DOCK", "metadata": dock}
        elif place > 0:
            one["action"] = _passing(layout, (path[place - 1], node, path[place + 1]), at)
        found.append(one)
    return found


def _passing(layout: FactoryLayout, three: tuple[str, str, str], at: Circumstances) -> dict[str, Any]:
    """The action of an AGV at a node between two others."""
    try:
        turn = turn_at(layout, *three)
    except ValueError as error:
        raise Refusal(409, Code.DEPENDENCY_MISSING, f"the layout does not say how to turn: {error}") from error
    if turn is None:
        return {"id": f"pass-through-{three[1]}-{at.fresh.digits(8)}", "type": "PASS"}
    return {"id": f"turn-{three[1]}-{at.fresh.digits(8)}", "type": "TURN", "metadata": {"direction": turn}}


def _label(factory: Factory, serial: str) -> str:
    known = factory.machines.get(serial)
    kind = type_of(factory, known) if known is not None else None
    return kind or next((one.type for one in modules_of(factory) if one.serial == serial and one.type), serial)


def _agv_for(factory: Factory, checks: Checks, wanted: str | None, start: str) -> Machine:
    """The AGV that is wanted, else the one that stands at `start`, else the first by serial."""
    if wanted is not None:
        return need_machine(factory, checks, wanted, agv=True)
    of_factory = (one for one in factory.machines.values() if one.agv and one.vda5050 is None)
    every = sorted(of_factory, key=lambda one: one.serial)
    found = next((one for one in every if one.node == start), next(iter(every), None))
    checks.need(found is not None, "an AGV", 404, Code.ESP_DEVICE_NOT_FOUND, "no AGV is known")
    assert found is not None
    return found


def _bay_for(machine: Machine, checks: Checks, load_type: str | None, load_id: str | None, bay: str | None) -> Load:
    """The bay and the load that the AGV docks with: one that it carries, else the first empty bay."""
    carried = {load.position: load for load in machine.loads if load.position is not None}
    if bay is None:
        fits = (
            at
            for at, load in sorted(carried.items())
            if (load_id is None or load.id == load_id) and (load_type is None or load.type == load_type)
        )
        bay = next(fits, next((one for one in BAYS if one not in carried), None))
    text = "a bay for the load"
    checks.need(bay is not None, text, 409, Code.DEPENDENCY_MISSING, f"each bay of {machine.serial} is taken")
    assert bay is not None
    there = carried.get(bay)
    other = there is not None and (
        (load_type is not None and there.type != load_type)
        or (load_id is not None and there.id is not None and there.id != load_id)
    )
    checks.need(not other, text, 409, Code.DEPENDENCY_MISSING, f"bay {bay} of {machine.serial} has another load")
    kind = load_type or (there.type if there is not None else "WHITE")
    return Load(kind, load_id or (there.id if there is not None else None), bay)
