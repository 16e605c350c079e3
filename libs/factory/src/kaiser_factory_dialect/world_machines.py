"""Applies messages of, or about, modules and AGVs to the state of the factory.

A module with a TXT publishes on two streams, its own and Node-RED's, which disagree in time; the rules here merge them.
"""

import msgspec

from kaiser_factory_dialect.catalogue import StateSource
from kaiser_factory_dialect.ccu_messages import PairedMachine, Pairing
from kaiser_factory_dialect.facts import ActionChanged, ConnectionChanged, Fact, MachineHeard, NodeReached
from kaiser_factory_dialect.layout import DEFAULT_LAYOUT, road_between
from kaiser_factory_dialect.messages import (
    FINAL_ACTIONS,
    ActionState,
    AgvOrder,
    ConnectionWord,
    Factsheet,
    MachineConnection,
    MachineState,
    ModuleOrder,
)
from kaiser_factory_dialect.world import MAX_MACHINES, MAX_PROGRESS, Factory, Machine, Progress, VdaAddress

_RANKS = {"UNKNOWN": 0, "WAITING": 1, "INITIALIZING": 2, "RUNNING": 3, "PAUSED": 3, "FINISHED": 4, "FAILED": 4}
_BEAT_MS = 20_000
"""Modules that send their connection as a heartbeat do it every 15 s."""
UNKNOWN_NODE = "UNKNOWN"


def apply_state(factory: Factory, message: MachineState) -> list[Fact]:
    """A state: action, order, loads and errors are merged, the rest is the newest."""
    assert message.serial is not None
    machine = _speaker(factory, message.serial, message)
    machine.stated = True
    _see(machine, message.ts, message.retained)
    for action in (*message.actions, *(() if message.action is None else (message.action,))):
        _record(factory, machine, action, message)
    before = machine.action
    _merge_action(machine, _named(factory, message.action), message.source)
    _merge_order(machine, message)
    if message.loads or (message.loads is not None and message.source != "nodered"):
        machine.loads = tuple(sorted(message.loads, key=lambda load: load.position or ""))
    machine.errors[message.source] = message.errors
    if message.paused is not None:
        machine.paused[message.source] = message.paused
    if message.operating_mode is not None:
        machine.modes[message.source] = message.operating_mode
    facts: list[Fact] = [MachineHeard(machine.serial, message.ts)]
    if machine.action != before:
        facts.append(ActionChanged(machine.serial, before, machine.action, message.ts, message.retained))
    if machine.agv:
        facts += _move(factory, machine, message)
    return facts


def _speaker(factory: Factory, serial: str, message: MachineState | MachineConnection | Factsheet) -> Machine:
    """The module or AGV that has published a message about itself."""
    machine = factory.machine(serial)
    machine.agv = machine.agv or message.kind.startswith("agv.")
    if message.source == "vda5050":
        machine.vda5050 = VdaAddress(*message.topic.split("/")[:3])
    return machine


def _named(factory: Factory, action: ActionState | None) -> ActionState | None:
    """The action with its command; where the state leaves it out, as the order of that id names it."""
    if action is None or action.command is not None or (known := factory.progress.get(action.id)) is None:
        return action
    return msgspec.structs.replace(action, command=known.command)


def _see(machine: Machine, at: int, retained: bool) -> None:
    if not retained:
        machine.last_seen = at


def _merge_action(machine: Machine, new: ActionState | None, source: StateSource) -> None:
    """Same id: its state never falls back. Another id replaces it, unless an earlier action is reported once more."""
    old = machine.action
    if new is None:
        if machine.action_source == source:
            machine.action = machine.action_source = None
        return
    if old is None or old.id != new.id:
        if new.id in machine.recent and new.state == "FINISHED":
            return
        if new.id not in machine.recent:
            machine.recent.append(new.id)
        machine.action, machine.action_source = new, source
        return
    newer = new if _RANKS[new.state] >= _RANKS[old.state] and old.state not in FINAL_ACTIONS else old
    machine.action = ActionState(
        id=old.id,
        command=newer.command or old.command or new.command,
        state=newer.state,
        result=newer.result or old.result or new.result,
        device_ts=newer.device_ts,
        metadata=newer.metadata or old.metadata or new.metadata,
    )
    if newer is new and new.state != old.state:
        machine.action_source = source


def _merge_order(machine: Machine, message: MachineState) -> None:
    if message.order_id is not None:
        machine.order_id, machine.order_source = message.order_id, message.source
        machine.order_update_id = message.order_update_id
    elif machine.order_source == message.source:
        machine.order_id = machine.order_source = machine.order_update_id = None


def _record(factory: Factory, machine: Machine, action: ActionState, message: MachineState) -> None:
    """Note when an action first ran and ended. A retained state does not say when, so it notes nothing.

    An AGV's step ends with DOCK, which runs for the last seconds of the way only: its RUNNING is not the step's.
    """
    if message.retained:
        return
    progress = progress_of(factory, action.id, machine.serial, machine.agv)
    if progress.running_at is None and action.state == "RUNNING" and not machine.agv:
        progress.running_at = message.ts
    if progress.finished_at is None and action.state in FINAL_ACTIONS:
        progress.finished_at = message.ts
    progress.result = action.result or progress.result
    progress.command = action.command or progress.command


def progress_of(factory: Factory, action_id: str, serial: str, agv: bool) -> Progress:
    """The progress of an action; the oldest is forgotten where there are MAX_PROGRESS."""
    if (found := factory.progress.get(action_id)) is None:
        if len(factory.progress) >= MAX_PROGRESS:
            del factory.progress[next(iter(factory.progress))]
        found = factory.progress[action_id] = Progress(serial, agv)
    return found


def _move(factory: Factory, machine: Machine, message: MachineState) -> list[Fact]:
    """The part of a state that only AGVs have. `at` is the last module: while the AGV drives it is between nodes."""
    machine.battery = message.battery or machine.battery
    machine.driving, machine.waiting_for_load = message.driving, message.waiting_for_load
    machine.position, machine.e_stop = message.position or machine.position, message.e_stop
    before, after = machine.node, message.node_id
    if after is None or after == before:
        return []
    machine.node = after
    if is_module(factory, after):
        machine.at = after
    if before is None or UNKNOWN_NODE in {before, after} or message.retained:
        return []
    road = road_between(factory.layout, before, after)
    return [NodeReached(machine.serial, before, after, road.length if road is not None else None, message.ts)]


def is_module(factory: Factory, node: str) -> bool:
    """Whether a node is a module rather than an intersection."""
    known = factory.machines.get(node)
    return (known is not None and not known.agv) or any(
        module.serial == node for module in (factory.layout or DEFAULT_LAYOUT).modules
    )


def apply_connection(factory: Factory, message: MachineConnection) -> list[Fact]:
    """A connection of a module or AGV, or of Node-RED, which is that of every module with a connection topic."""
    if message.serial is None:
        return _node_red(factory, message)
    machine = _speaker(factory, message.serial, message)
    before = connection_of(factory, machine)
    machine.connections[message.source] = message.connection
    _see(machine, message.ts, message.retained)
    if not message.retained and message.source == "device":
        machine.beats = machine.beats or _is_beat(machine.last_beat, message.ts)
        machine.last_beat = message.ts
    return [MachineHeard(machine.serial, message.ts), *_connection_fact(factory, machine, before, message.ts)]


def _is_beat(last: int | None, at: int) -> bool:
    return last is not None and 5_000 <= at - last <= _BEAT_MS


def _node_red(factory: Factory, message: MachineConnection) -> list[Fact]:
    before = {serial: connection_of(factory, machine) for serial, machine in factory.machines.items()}
    factory.node_red = message.connection
    facts: list[Fact] = []
    for serial, machine in factory.machines.items():
        changed = _connection_fact(factory, machine, before[serial], message.ts)
        facts += [MachineHeard(serial, message.ts), *changed] if changed else []
    return facts


def _connection_fact(
    factory: Factory, machine: Machine, before: ConnectionWord | None, at: int
) -> list[ConnectionChanged]:
    after = connection_of(factory, machine)
    return [] if after == before else [ConnectionChanged(machine.serial, before, after, at)]


def connection_of(factory: Factory, machine: Machine) -> ConnectionWord | None:
    """The worst of a machine's connection topics; without one what the CCU says; None: nothing is known."""
    if machine.connections:
        if not machine.agv and factory.node_red not in {None, "ONLINE"}:
            return "CONNECTIONBROKEN"
        words = machine.connections.values()
        if "CONNECTIONBROKEN" in words:
            return "CONNECTIONBROKEN"
        return "OFFLINE" if "OFFLINE" in words else "ONLINE"
    if machine.pairing is not None and machine.pairing.connected is not None:
        return "ONLINE" if machine.pairing.connected else "OFFLINE"
    return None


def apply_factsheet(factory: Factory, message: Factsheet) -> list[Fact]:
    """A factsheet; Node-RED's stands where the module itself sent none."""
    assert message.serial is not None
    machine = _speaker(factory, message.serial, message)
    if machine.factsheet is None or message.source != "nodered" or machine.factsheet.source == "nodered":
        machine.factsheet = message
    _see(machine, message.ts, message.retained)
    return [MachineHeard(machine.serial, message.ts)]


def apply_module_order(factory: Factory, message: ModuleOrder) -> list[Fact]:
    """An order to a module: it names the command of its action."""
    if message.serial is not None:
        progress_of(factory, message.action_id, message.serial, agv=False).command = message.command
    return []


def apply_agv_order(factory: Factory, message: AgvOrder) -> list[Fact]:
    """An order to an AGV: its last action is the step of the CCU's order that the AGV does."""
    if message.serial is not None and message.final_action_id is not None:
        progress_of(factory, message.final_action_id, message.serial, agv=True)
    return []


def apply_pairing(factory: Factory, message: Pairing) -> list[Fact]:
    """Apply the CCU's pairing: a machine that it does not list is not paired."""
    factory.pairing_at = message.ts
    listed: dict[str, tuple[PairedMachine, bool]] = {one.serial: (one, False) for one in message.modules}
    listed |= {one.serial: (one, True) for one in message.transports}
    facts: list[Fact] = []
    for serial in sorted(listed.keys() | factory.machines.keys()):
        if serial not in factory.machines and len(factory.machines) >= MAX_MACHINES:
            continue
        machine = factory.machine(serial)
        pairing, agv = listed.get(serial, (None, False))
        if pairing == machine.pairing and (machine.agv or not agv):
            continue
        before = connection_of(factory, machine)
        if pairing != machine.pairing:
            facts.append(MachineHeard(serial, message.ts))
        machine.pairing, machine.agv = pairing, machine.agv or agv
        facts += _connection_fact(factory, machine, before, message.ts)
    return facts
