"""The module or AGV that a request of steering names, and what a request becomes."""

from typing import Any

from kaiser_common.contract.errors import Code

from kaiser_factory_dialect.ccu_messages import LayoutModule
from kaiser_factory_dialect.fields import Fields
from kaiser_factory_dialect.layout import DEFAULT_LAYOUT
from kaiser_factory_dialect.steer_checks import Checks
from kaiser_factory_dialect.world import Factory, Machine
from kaiser_factory_dialect.world_machines import connection_of

Draft = tuple[str, Any, str | None]
"""Topic, payload, and the action whose FINISHED it waits for."""


def modules_of(factory: Factory) -> tuple[LayoutModule, ...]:
    """The modules of the layout, or of the default one."""
    return (factory.layout or DEFAULT_LAYOUT).modules


def need_module(factory: Factory, checks: Checks, name: str) -> str:
    """The serial of a module that is named by its serial or by its type."""
    found = next((one.serial for one in modules_of(factory) if name in {one.serial, one.type}), None)
    if found is None and (known := factory.machines.get(name)) is not None and not known.agv:
        found = name
    checks.need(found is not None, f"module {name}", 404, Code.ESP_DEVICE_NOT_FOUND, f"there is no module {name}")
    assert found is not None
    return found


def need_machine(factory: Factory, checks: Checks, serial: str, agv: bool | None = None) -> Machine:
    """The module or AGV of a serial. Refusal (404): it is not known, or is the other of the two."""
    found = factory.machines.get(serial)
    known = found is not None and (agv is None or found.agv is agv)
    checks.need(known, f"serial {serial}", 404, Code.ESP_DEVICE_NOT_FOUND, f"there is no {serial}")
    assert found is not None
    return found


def need_online(factory: Factory, checks: Checks, machine: Machine) -> None:
    """Refusal: the machine is not ONLINE (409), or is a VDA 5050 vehicle, whose orders are others (422)."""
    word = connection_of(factory, machine) or "UNKNOWN"
    text = f"{machine.serial} is {word}"
    checks.need(word == "ONLINE", text, 409, Code.ESP_OFFLINE, f"{text}: a command would not reach it")
    text = f"{machine.serial} is a VDA 5050 vehicle: Kaiser reads these and does not send to them"
    checks.need(not machine.is_vda5050, "a machine of the factory", 422, Code.INVALID_ACTUATOR_TYPE, text)


def whole(length: float) -> float:
    return int(length) if float(length).is_integer() else length


def agv_command(fields: Fields, factory: Factory, checks: Checks) -> Machine:
    """The AGV that a command to the CCU names. Refusal: it is not known (404), or not online (409)."""
    machine = need_machine(factory, checks, fields.needed_text("agv"), agv=True)
    need_online(factory, checks, machine)
    return machine
