"""The payloads of modules and AGVs, in the forms of the recorded ones, with their oddities.

Source: docs/factory-dialect.md and the recorded session in tests/golden.
"""

from typing import Any

from kaiser_factory_dialect.times import to_iso_ms, to_iso_us

from kaiser_simulator.domain.plant.saying import Turn
from kaiser_simulator.domain.plant.state import Action, Agv, DriveAction, Module

VERSION, AGV_VERSION, TXT_VERSION = "1.3.0", "1.1.0+mock", "1.6.0"
_MAKER = "Fischertechnik"
_COLOURS = ("WHITE", "RED", "BLUE")
WITH_NODE_RED = ("AIQS", "DPS")
COMMANDS = {
    "HBW": ("PICK", "DROP", "SET_STORAGE"),
    "DRILL": ("PICK", "DRILL", "DROP"),
    "MILL": ("PICK", "MILL", "DROP"),
    "AIQS": ("PICK", "CHECK_QUALITY", "DROP"),
    "DPS": ("PICK", "DROP"),
    "OVEN": ("PICK", "FIRE", "DROP"),
}
"""The actions of each type of module, as its factsheet lists them."""
_MIN_VOLT, _MAX_VOLT = 7.84, 9.1


def clock(turn: Turn, name: str) -> int:
    """The time (ms) by the clock of a machine, of `ccu` or of `txt`: off by the fault `clock_offset_s`."""
    return turn.now + round(turn.plant.faults.clock_offset_s.get(name, 0.0) * 1000)


def iso(turn: Turn, name: str) -> str:
    """The same as modules and the CCU write it: three decimals."""
    return to_iso_ms(clock(turn, name))


def iso_us(turn: Turn, name: str, at: int | None = None) -> str:
    """A time as AGVs and Node-RED write it: six decimals. at: ms by the simulator's clock, now unless given."""
    of = clock(turn, name) if at is None else at + clock(turn, name) - turn.now
    return to_iso_us(of * 1000 + of % 997)


def module_state(turn: Turn, module: Module, *, briefly: bool = False) -> dict[str, Any]:
    """The state of a module. briefly: the action without its command, as the DPS says that it runs."""
    module.header += 1
    action = module.action
    running = action is not None and action.state not in {"FINISHED", "FAILED"}
    state: dict[str, Any] = {
        "headerId": module.header,
        "loads": _loads(module),
        "actionState": None if action is None else _action(action, briefly),
        "serialNumber": module.serial,
        "timestamp": iso(turn, module.serial),
        "errors": module.errors or ([{}] if running and module.type == "DRILL" else []),
        "orderUpdateId": _update_id(module, running=running),
        "orderId": module.order_id,
        "paused": False,
    }
    if module.type == "HBW":
        state |= {"operatingMode": "AUTOMATIC", "information": []}
    return state | {"metadata": {"opcuaState": "connected"}}


def _update_id(module: Module, *, running: bool) -> Any:
    """AIQS always says 0, DPS while it works; MILL says a text before its first order."""
    if module.action is None or module.type == "AIQS" or (module.type == "DPS" and running):
        return 0
    if module.action.command == "factsheetRequest":
        return "0" if module.type == "MILL" else 0
    return max(module.used, 0)


def _action(action: Action, briefly: bool) -> dict[str, Any]:
    if briefly:
        return {"id": action.id, "state": action.state}
    said: dict[str, Any] = {"id": action.id, "command": action.command}
    if action.metadata:
        said["metadata"] = action.metadata
    said["state"] = action.state
    return said | ({} if action.result is None else {"result": action.result})


def _loads(module: Module) -> list[dict[str, Any]]:
    if module.type == "HBW":
        return [
            {"loadType": load.type, "loadId": load.id, "loadPosition": at, "loadTimestamp": load.since}
            for at, load in sorted(module.bays.items())
        ]
    if module.type == "DPS":
        return []
    return [{"loadType": load.type} for load in module.bays.values() if load.type]


def node_red_state(turn: Turn, module: Module, word: str, update_id: int, *, boot: bool = False) -> dict[str, Any]:
    """The state that Node-RED publishes for AIQS and DPS: another clock, other words, another update id."""
    module.node_red_header += 1
    action = module.action
    one: dict[str, Any] = {
        "command": "factsheetRequest" if boot or action is None else action.command,
        "state": word,
        "id": "SOME_ID" if boot or action is None else action.id,
        "timestamp": iso_us(turn, "txt"),
    }
    if not boot and action is not None and word == "FINISHED":
        one["result"] = action.result or "PASSED"
    state: dict[str, Any] = {
        "orderUpdateId": update_id,
        "serialNumber": module.serial,
        "actionState": one,
        "headerId": module.node_red_header,
        "timestamp": iso_us(turn, "txt"),
        "orderId": "" if boot else module.order_id,
        "batteryState": {},
        "paused": False,
        "errors": [],
    }
    return state | (
        {"operatingMode": "AUTOMATIC", "information": [], "actionStates": [one]} if module.type == "DPS" else {}
    )


def connection(turn: Turn, machine: Module | Agv, word: str, *, node_red: bool = False) -> dict[str, Any]:
    """The connection of a module, an AGV, or of a module's Node-RED."""
    machine.header += 1
    agv = isinstance(machine, Agv)
    said: dict[str, Any] = {
        "headerId": machine.header,
        "timestamp": iso_us(turn, "txt" if node_red else machine.serial)
        if agv or node_red
        else iso(turn, machine.serial),
        "version": TXT_VERSION if node_red else AGV_VERSION if agv else VERSION,
        "manufacturer": _MAKER,
        "serialNumber": machine.serial,
        "connectionState": word,
    }
    if node_red:
        return said | ({"ip": "-1"} if isinstance(machine, Module) and machine.type == "DPS" else {})
    return said | {"ip": machine.ip}


def module_factsheet(turn: Turn, module: Module) -> dict[str, Any]:
    """The factsheet of a module."""
    parameter = {"parameterName": "type", "parameterType": "string", "parameterDescription": "workpiece type"}
    actions = [{"actionType": one, "actionParameters": [parameter]} for one in COMMANDS.get(module.type, ())]
    return {
        "headerId": 1,
        "timestamp": iso(turn, module.serial),
        "version": VERSION,
        "manufacturer": _MAKER,
        "serialNumber": module.serial,
        "typeSpecification": {"seriesName": f"MOD-FF22+{module.type}+24V", "moduleClass": module.type},
        "physicalParameters": {},
        "protocolLimits": {},
        "protocolFeatures": {"moduleActions": actions},
        "localizationParameters": {},
        "loadSpecification": {"loadSets": [{"setName": f"{one}S", "loadType": one} for one in _COLOURS]},
    }


def node_red_factsheet(turn: Turn, module: Module) -> dict[str, Any]:
    """The factsheet that Node-RED publishes; the class has a suffix."""
    return {
        "manufacturer": _MAKER,
        "typeSpecification": {
            "moduleClass": f"{module.type}24",
            "seriesName": f"MOD-FF22+{module.type}+24V+TXT",
        },
        "version": TXT_VERSION,
        "serialNumber": module.serial,
        "headerId": 1,
        "timestamp": iso_us(turn, "txt"),
        "protocolFeatures": {"moduleActions": []},
        "loadSpecification": {"loadSets": []},
    }


def agv_factsheet(turn: Turn, agv: Agv) -> dict[str, Any]:
    """The factsheet of an AGV."""
    return {
        "headerId": 1,
        "typeSpecification": {
            "agvClass": "CARRIER",
            "navigationTypes": ["PHYSICAL_LINE_GUIDED"],
            "seriesName": "FTS-FF22+",
        },
        "protocolFeatures": {"agvActions": [{"actionType": "DOCK", "actionScopes": "NODE"}]},
        "loadSpecification": {
            "loadPositions": ["LEFT", "MIDDLE", "RIGHT"],
            "loadSets": [{"setName": "WHITES", "loadType": "WHITE"}],
        },
        "version": AGV_VERSION,
        "serialNumber": agv.serial,
        "manufacturer": _MAKER,
        "timestamp": iso_us(turn, agv.serial),
    }


def agv_state(turn: Turn, agv: Agv) -> dict[str, Any]:
    """The state of an AGV. Its bays come in any order, and after a while the battery says more than 100 %."""
    agv.header += 1
    actions = [
        {"command": one.command, "state": one.state, "timestamp": iso_us(turn, agv.serial, one.at), "id": one.id}
        for one in agv.actions
    ]
    unknown = agv.serial in turn.plant.faults.node_unknown and not is_underway(agv)
    bays = sorted(agv.bays.items(), key=lambda bay: (int(bay[0]) * 7 + agv.header * 5) % 11)
    state: dict[str, Any] = {
        "batteryState": {
            "percentage": percent(agv),
            "minVolt": _MIN_VOLT,
            "maxVolt": _MAX_VOLT,
            "currentVoltage": volts(agv),
            "charging": agv.charging,
        },
        "headerId": agv.header,
        "nodeStates": [],
        "lastNodeId": "UNKNOWN" if unknown else agv.node,
        "lastCode": "",
        "waitingForLoadHandling": agv.waiting,
        "timestamp": iso_us(turn, agv.serial),
        "paused": False,
        "driving": agv.driving,
        "load": [{"loadId": load.id or None, "loadPosition": at, "loadType": load.type or None} for at, load in bays],
        "orderId": agv.order_id,
        "orderUpdateId": max(agv.update_id, 0),
        "actionStates": actions,
        "lastNodeSequenceId": 0,
        "errors": agv.errors,
        "edgeStates": [],
        "serialNumber": agv.serial,
    }
    if (current := current_action(agv)) is not None:
        state["actionState"] = actions[agv.actions.index(current)]
    return state


def percent(agv: Agv) -> int:
    """The battery as the AGV says it: while it charges that is far too much."""
    return round(agv.battery * 1.4) if agv.charging else round(agv.battery)


def volts(agv: Agv) -> float:
    """The voltage of the battery."""
    of = _MIN_VOLT + (_MAX_VOLT - _MIN_VOLT) * agv.battery / 100
    return round(of + (0.4 if agv.charging else 0.0), 1)


def is_underway(agv: Agv) -> bool:
    """Whether an action of its order has not ended."""
    return any(one.state not in {"FINISHED", "FAILED"} for one in agv.actions)


_OF_ORDERS = ("PASS", "TURN", "DOCK")


def current_action(agv: Agv) -> DriveAction | None:
    """The action that the AGV names: the first that runs, else the one that ended last, else the first."""
    orders = [one for one in agv.actions if one.command in _OF_ORDERS] or agv.actions
    for one in orders:
        if one.state in {"INITIALIZING", "RUNNING"}:
            return one
    ended = [one for one in orders if one.state in {"FINISHED", "FAILED"}]
    return ended[-1] if ended else next(iter(orders), None)


def refusal(kind: str, message: str, order_id: str | None, update_id: int, header: int) -> dict[str, Any]:
    """An error that says which order was refused."""
    return {
        "errorType": kind,
        "errorLevel": "WARNING",
        "errorMessage": message,
        "errorReferences": [
            {"topic": "order"},
            {"headerId": header},
            {"orderId": order_id},
            {"orderUpdateId": update_id},
        ],
    }
