"""The changes that a message made in the state of the factory: the source of events and rows. `at` is ms of receipt."""

from dataclasses import dataclass

from kaiser_factory_dialect.ccu_messages import StockItem
from kaiser_factory_dialect.messages import ActionState, ConnectionWord


@dataclass(frozen=True, slots=True)
class MachineHeard:
    """A module or AGV, or the CCU about it, has spoken: its row may be another."""

    serial: str
    at: int


@dataclass(frozen=True, slots=True)
class ActionChanged:
    """The action of a module or AGV is another, or its state. retained: it happened at a time that is not known."""

    serial: str
    before: ActionState | None
    after: ActionState | None
    at: int
    retained: bool


@dataclass(frozen=True, slots=True)
class ConnectionChanged:
    """The connection of a module or AGV is another. before None: it was not known."""

    serial: str
    before: ConnectionWord | None
    after: ConnectionWord | None
    at: int


@dataclass(frozen=True, slots=True)
class NodeReached:
    """An AGV is at another node. length in mm of the road from `before`; None: no road joins the two."""

    serial: str
    before: str
    after: str
    length: float | None
    at: int


@dataclass(frozen=True, slots=True)
class OrderChanged:
    """An order of the CCU is new, or its state, plan or progress is another."""

    order_id: str
    before: str | None
    after: str
    at: int


@dataclass(frozen=True, slots=True)
class StockChanged:
    """A bay of a store holds something else. None: nothing was known of the bay."""

    hbw: str
    before: StockItem | None
    after: StockItem
    at: int


@dataclass(frozen=True, slots=True)
class QualityChecked:
    """The quality station has looked at a workpiece."""

    txt: str | None
    result: str
    classification: str | None
    at: int


@dataclass(frozen=True, slots=True)
class FactoryReset:
    """The CCU has forgotten its orders."""

    at: int


Fact = (
    MachineHeard
    | ActionChanged
    | ConnectionChanged
    | NodeReached
    | OrderChanged
    | StockChanged
    | QualityChecked
    | FactoryReset
)
