"""Finds the module or AGV that a steering request names, and checks that it can take the request."""

from typing import Any

from kaiser_common.contract.errors import Code

from kaiser_factory_dialect.ccu_messages import LayoutModule
from kaiser_factory_dialect.fields import Fields
from kaiser_factory_dialect.layout import DEFAULT_LAYOUT
from kaiser_factory_dialect.steer_checks import Checks
from kaiser_factory_dialect.view import errors_of
from kaiser_factory_dialect.world import Factory, Machine
from kaiser_factory_dialect.world_machines import UNKNOWN_NODE, connection_of

Draft = tuple[str, Any, str | None]
"""Topic, payload, and the action whose FINISHED it waits for."""


def modules_of(factory: Factory) -> tuple[LayoutModule, ...]:
    """The modules of the layout, or of the default one."""
    return (factory.layout or DEFAULT_LAYOUT).modules


def need_module(factory: Factory, checks: Checks, name: str) -> str:
    """The serial of a module that is named by its serial or by its type."""
    found = next((one.serial for one in modules_of(factory) if name in {one.serial, one.type}), None)
    known = factory.machines.get(name)
    if found is None and known is not None and not known.agv:
        found = name
    text = f"there is no module {name}" if known is None else _other(known)
    checks.need(found is not None, f"module {name}", 404, Code.ESP_DEVICE_NOT_FOUND, text)
    assert found is not None
    return found


def need_machine(factory: Factory, checks: Checks, serial: str, agv: bool | None = None) -> Machine:
    """The module or AGV of a serial. Refusal (404): it is not known, or is the other of the two."""
    found = factory.machines.get(serial)
    known = found is not None and (agv is None or found.agv is agv)
    text = f"there is no {serial}" if found is None else _other(found)
    checks.need(known, f"serial {serial}", 404, Code.ESP_DEVICE_NOT_FOUND, text)
    assert found is not None
    return found


def _other(machine: Machine) -> str:
    """Says what a machine is known as, for a request that takes it for the other of the two."""
    if not machine.agv:
        return f"{machine.serial} is known as a module, not as an AGV"
    return f"{machine.serial} is known as an AGV, not as a module: it was named so on an AGV's topic or by the CCU"


def need_online(factory: Factory, checks: Checks, machine: Machine) -> None:
    """Refusal (409): the machine is not ONLINE."""
    word = connection_of(factory, machine) or "UNKNOWN"
    text = f"{machine.serial} is {word}"
    checks.need(word == "ONLINE", text, 409, Code.ESP_OFFLINE, f"{text}: a command would not reach it")


def need_of_factory(checks: Checks, machine: Machine, instead: str) -> None:
    """Refusal (422): the machine is a VDA 5050 vehicle, which takes something else instead."""
    text = f"{machine.serial} is a VDA 5050 vehicle: {instead}"
    of_factory = machine.vda5050 is None
    checks.need(of_factory, "a machine of the factory", 422, Code.INVALID_ACTUATOR_TYPE, text)


def need_idle_agv(machine: Machine, checks: Checks, start: str) -> None:
    """Refusal (409): an AGV or vehicle does not stand at `start`, idle."""
    reasons = {
        "does not know where it is": machine.node in {None, UNKNOWN_NODE},
        "drives": bool(machine.driving),
        "waits for its load": bool(machine.waiting_for_load),
        "is paused": any(machine.paused.values()),
        "has a fatal error": any(error.level == "FATAL" for error in errors_of(machine)),
        f"is at {machine.node}, not at {start}": machine.node != start,
    }
    why = next((text for text, so in reasons.items() if so), "")
    checks.need(not why, f"{machine.serial} is idle", 409, Code.DEPENDENCY_MISSING, f"{machine.serial} {why}")


def whole(length: float) -> float:
    return int(length) if float(length).is_integer() else length


def agv_command(fields: Fields, factory: Factory, checks: Checks) -> Machine:
    """The AGV that a command to the CCU names. Refusal: it is not known (404), or not online (409)."""
    machine = need_machine(factory, checks, fields.needed_text("agv"), agv=True)
    need_online(factory, checks, machine)
    need_of_factory(checks, machine, "the CCU does not know it; send it an instant action")
    return machine
