"""Modules, AGVs and stores for display: a row for each serial and a map of the bays, made from the state.

Source: docs/factory-dialect.md, "Module overview", which gives the rule of each column.
"""

from collections.abc import Iterable
from typing import TypeVar

from msgspec import Struct

from kaiser_factory_dialect.ccu_messages import StockItem
from kaiser_factory_dialect.layout import DEFAULT_LAYOUT
from kaiser_factory_dialect.messages import FINAL_ACTIONS, ActionState, Load, MachineError
from kaiser_factory_dialect.world import Factory, Machine
from kaiser_factory_dialect.world_machines import UNKNOWN_NODE, connection_of

FRESH_MS = 30_000
"""How long the CCU's word on availability counts."""
SILENT_MS = 45_000
_T = TypeVar("_T")


class MachineRow(Struct, frozen=True, kw_only=True):
    """One module or AGV. battery_voltage in V; skew_ms is added to its times to have Kaiser's; times are ms of receipt.

    stale: no message since the environment was entered; the holder of the state sets it.
    """

    serial: str
    kind: str
    type: str | None
    paired: bool | None
    connection: str
    silent: bool
    availability: str
    assigned: bool | None
    order_id: str | None
    action: ActionState | None
    loads: tuple[Load, ...]
    errors: tuple[MachineError, ...]
    battery_percent: float | None
    battery_voltage: float | None
    charging: bool | None
    node: str | None
    driving: bool | None
    at: str | None
    last_seen: int | None
    skew_ms: int | None
    stale: bool = False


def rows(factory: Factory, now: int) -> list[MachineRow]:
    """Every module and AGV, by serial."""
    return [row(factory, factory.machines[serial], now) for serial in sorted(factory.machines)]


def row(factory: Factory, machine: Machine, now: int) -> MachineRow:
    """The row of one module or AGV at `now`, in ms."""
    pairing, battery = machine.pairing, machine.battery
    return MachineRow(
        serial=machine.serial,
        kind="agv" if machine.agv else "module",
        type=type_of(factory, machine),
        paired=None if factory.pairing_at is None else pairing is not None and pairing.paired_since is not None,
        connection=connection_of(factory, machine) or "UNKNOWN",
        silent=is_silent(machine, now),
        availability=availability_of(factory, machine, now),
        assigned=pairing.assigned if pairing is not None else None,
        order_id=machine.order_id,
        action=machine.action,
        loads=machine.loads,
        errors=errors_of(machine),
        battery_percent=_first(
            battery.percent if battery is not None else None,
            _clamped(pairing.battery) if pairing is not None else None,
        ),
        battery_voltage=_first(
            battery.voltage if battery is not None else None,
            pairing.voltage if pairing is not None else None,
        ),
        charging=_charging(machine),
        node=_node(machine),
        driving=machine.driving,
        at=_first(machine.at, pairing.last_module if pairing is not None else None),
        last_seen=_last_seen(factory, machine),
        skew_ms=_first(*(factory.clocks.skew_ms(clock) for clock in (machine.serial, f"NodeRed/{machine.serial}"))),
    )


def _first(*values: _T | None) -> _T | None:
    for value in values:
        if value is not None:
            return value
    return None


def _clamped(percent: float | None) -> float | None:
    return None if percent is None else min(max(percent, 0), 100)


def type_of(factory: Factory, machine: Machine) -> str | None:
    """The type of a module: what the CCU says, else the layout, else its factsheet. AGVs have none."""
    if machine.agv:
        return None
    layout = (factory.layout or DEFAULT_LAYOUT).modules
    return _first(
        machine.pairing.type if machine.pairing is not None else None,
        next((module.type for module in layout if module.serial == machine.serial), None),
        machine.factsheet.module_class if machine.factsheet is not None else None,
    )


def is_silent(machine: Machine, now: int) -> bool:
    """Whether a machine whose connection came as a heartbeat has said nothing for SILENT_MS."""
    return machine.beats and machine.last_seen is not None and now - machine.last_seen > SILENT_MS


def availability_of(factory: Factory, machine: Machine, now: int) -> str:
    """READY, BUSY, BLOCKED or UNKNOWN, or another word of the CCU; the first rule that applies decides."""
    if connection_of(factory, machine) not in {None, "ONLINE"}:
        return "BLOCKED"
    pairing = machine.pairing
    if pairing is not None and pairing.available and now - (factory.pairing_at or 0) <= FRESH_MS:
        return pairing.available
    if not machine.stated:
        return "UNKNOWN"
    if _is_blocked(machine):
        return "BLOCKED"
    return "BUSY" if is_busy(machine) else "READY"


def _is_blocked(machine: Machine) -> bool:
    return (
        any(error.level == "FATAL" for error in errors_of(machine))
        or any(machine.paused.values())
        or any(mode != "AUTOMATIC" for mode in machine.modes.values())
        or machine.is_stopped
        or (machine.action is not None and machine.action.state == "FAILED")
        or (machine.agv and (_node(machine) == UNKNOWN_NODE or bool(_charging(machine))))
    )


def is_busy(machine: Machine) -> bool:
    """Whether an action is not final, or an AGV drives or waits for its load."""
    if machine.action is not None and machine.action.state not in FINAL_ACTIONS:
        return True
    return bool(machine.driving) or bool(machine.waiting_for_load)


def errors_of(machine: Machine) -> tuple[MachineError, ...]:
    """The errors of all streams, each once, sorted by type."""
    if not any(machine.errors.values()):
        return ()
    found = {(one.type, one.level, one.message): one for errors in machine.errors.values() for one in errors}
    return tuple(found[key] for key in sorted(found, key=lambda key: (key[0], key[1], key[2] or "")))


def _charging(machine: Machine) -> bool | None:
    battery = machine.battery.charging if machine.battery is not None else None
    return _first(battery, machine.pairing.charging if machine.pairing is not None else None)


def _node(machine: Machine) -> str | None:
    return _first(machine.node, machine.pairing.node_id if machine.pairing is not None else None)


def _last_seen(factory: Factory, machine: Machine) -> int | None:
    if machine.last_seen is not None or machine.pairing is None:
        return machine.last_seen
    return factory.clocks.corrected("ccu", machine.pairing.last_seen)


def stock_of(factory: Factory) -> dict[str, dict[str, StockItem]]:
    """Bays by store and location: what the CCU says, else what a store itself lists."""
    if factory.stock:
        return factory.stock
    stores = (machine for machine in factory.machines.values() if type_of(factory, machine) == "HBW")
    return {store.serial: _bays(store.serial, store.loads) for store in stores}


def _bays(hbw: str, loads: Iterable[Load]) -> dict[str, StockItem]:
    return {load.position: StockItem(hbw, load.position, load.type, load.id) for load in loads if load.position}
