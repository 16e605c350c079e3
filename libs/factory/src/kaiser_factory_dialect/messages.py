"""The parsed messages of modules, AGVs and TXT controllers: one frozen struct for each.

Times are ms since 1970. `ts` is the time at which Kaiser received the message; ordering, ages and timeouts use it.
`device_ts` is the time in the message, from the sender's clock, which may be wrong by days. A field is None if the
message does not give it. Source: docs/factory-dialect.md, "Reading".
"""

from typing import Any, Literal

from msgspec import Struct

from kaiser_factory_dialect.catalogue import FactoryKind, StateSource

ConnectionWord = Literal["ONLINE", "OFFLINE", "CONNECTIONBROKEN"]
ActionWord = Literal["UNKNOWN", "WAITING", "INITIALIZING", "RUNNING", "PAUSED", "FINISHED", "FAILED"]
FINAL_ACTIONS: frozenset[str] = frozenset({"FINISHED", "FAILED"})
ErrorLevel = Literal["WARNING", "FATAL"]
Picture = bytes
"""The bytes of a picture."""


class FactoryMessage(Struct, frozen=True, kw_only=True, gc=False):
    """The fields that each message of the factory has.

    serial: a module or AGV, the number of a TXT, None where the topic names none. own: Kaiser has sent it.
    """

    kind: FactoryKind
    topic: str
    ts: int
    env: str = "live"
    epoch: int = 0
    serial: str | None = None
    device_ts: int | None = None
    qos: int = 0
    retained: bool = False
    own: bool = False


class ActionState(Struct, frozen=True, gc=False):
    """One action that a module or AGV reports. id is the key that joins it with steps of orders and with commands."""

    id: str
    command: str | None
    state: ActionWord
    result: str | None = None
    device_ts: int | None = None
    metadata: dict[str, Any] = {}


class MachineError(Struct, frozen=True, gc=False):
    """One error. references: what it is about, such as the order that was refused."""

    type: str
    level: ErrorLevel
    message: str | None = None
    references: dict[str, str | None] = {}


class Load(Struct, frozen=True, gc=False):
    """One workpiece in a bay. position: a bay of the store (`A1`) or of an AGV (`1` left, `2` middle, `3` right)."""

    type: str
    id: str | None = None
    position: str | None = None
    since: int | None = None


class Battery(Struct, frozen=True, gc=False):
    """percent is 0 to 100; percent_raw is as reported, which may be more or less. voltage in V."""

    percent: float | None
    percent_raw: float | None
    voltage: float | None
    charging: bool | None


class Position(Struct, frozen=True, gc=False):
    """Where a VDA 5050 vehicle is: x and y in m, theta in rad, on the map of that name."""

    x: float | None
    y: float | None
    theta: float | None
    map: str | None


class MachineState(FactoryMessage, frozen=True, kw_only=True):
    """State of a module or AGV. action: the current one; actions: all that the message lists.

    nodes_left: how many nodes of its order a VDA 5050 vehicle has yet to reach.
    """

    source: StateSource
    header_id: int | None = None
    order_id: str | None = None
    order_update_id: int | None = None
    action: ActionState | None = None
    actions: tuple[ActionState, ...] = ()
    errors: tuple[MachineError, ...] = ()
    loads: tuple[Load, ...] | None = None
    paused: bool | None = None
    operating_mode: str | None = None
    opcua: str | None = None
    node_id: str | None = None
    node_sequence_id: int | None = None
    driving: bool | None = None
    waiting_for_load: bool | None = None
    battery: Battery | None = None
    position: Position | None = None
    e_stop: str | None = None
    nodes_left: int | None = None


class MachineConnection(FactoryMessage, frozen=True, kw_only=True):
    """Connection of a module or AGV to the broker, or of Node-RED itself (serial None)."""

    source: StateSource
    connection: ConnectionWord
    version: str | None = None
    ip: str | None = None
    manufacturer: str | None = None


class Factsheet(FactoryMessage, frozen=True, kw_only=True):
    """The type and abilities of a module or AGV. actions and load_types are sorted."""

    source: StateSource
    series: str | None = None
    module_class: str | None = None
    agv_class: str | None = None
    actions: tuple[str, ...] = ()
    load_types: tuple[str, ...] = ()
    version: str | None = None


class ModuleOrder(FactoryMessage, frozen=True, kw_only=True):
    """An order to a module: one action."""

    source: StateSource
    order_id: str | None
    order_update_id: int
    action_id: str
    command: str
    metadata: dict[str, Any] = {}


class OrderNode(Struct, frozen=True, gc=False):
    """One node of an AGV's order, with its action."""

    id: str
    action_id: str | None = None
    action_type: str | None = None
    metadata: dict[str, Any] = {}


class OrderEdge(Struct, frozen=True, gc=False):
    """One edge of an AGV's order. length in mm."""

    id: str
    length: float | None = None


class AgvOrder(FactoryMessage, frozen=True, kw_only=True):
    """An order to an AGV. path: ids of its nodes; final_action_id: the action at the last node, such as DOCK."""

    source: StateSource
    order_id: str | None
    order_update_id: int
    path: tuple[str, ...]
    nodes: tuple[OrderNode, ...]
    edges: tuple[OrderEdge, ...] = ()
    final_action_id: str | None = None


class InstantAction(Struct, frozen=True, gc=False):
    """One action that does not wait for an order."""

    id: str
    type: str
    metadata: dict[str, Any] = {}


class InstantActions(FactoryMessage, frozen=True, kw_only=True):
    """Actions for a module or AGV that do not wait for an order."""

    source: StateSource
    actions: tuple[InstantAction, ...]


class TxtSensor(FactoryMessage, frozen=True, kw_only=True):
    """Climate (`bme680`) or brightness (`ldr`) of a TXT. values: t in °C, h in %, p in hPa, iaq, br in %, others."""

    sensor: str
    values: dict[str, float]


class QualityCheck(FactoryMessage, frozen=True, kw_only=True):
    """Result of the quality station with its picture. bytes: length of the picture."""

    result: str
    mime: str
    bytes: int
    picture: Picture
    num: int | None = None
    classification: str | None = None
