"""The changes that a message made to the state of the factory; source of events and rows. `at` is ms of receipt."""

from msgspec import Struct

from kaiser_factory_dialect.ccu_messages import StockItem
from kaiser_factory_dialect.messages import ActionState, ConnectionWord


class MachineHeard(Struct, frozen=True, gc=False):
    """A module or AGV, or the CCU about it, has spoken: its row may be another."""

    serial: str
    at: int


class ActionChanged(Struct, frozen=True, gc=False):
    """The action of a module or AGV is another, or its state. retained: it happened at a time that is not known."""

    serial: str
    before: ActionState | None
    after: ActionState | None
    at: int
    retained: bool


class ConnectionChanged(Struct, frozen=True, gc=False):
    """The connection of a module or AGV is another. before None: it was not known."""

    serial: str
    before: ConnectionWord | None
    after: ConnectionWord | None
    at: int


class NodeReached(Struct, frozen=True, gc=False):
    """An AGV is at another node. length in mm of the road from `before`; None: no road joins the two."""

    serial: str
    before: str
    after: str
    length: float | None
    at: int


class OrderChanged(Struct, frozen=True, gc=False):
    """An order of the CCU is new, or its state, plan or progress is another."""

    order_id: str
    before: str | None
    after: str
    at: int


class StockChanged(Struct, frozen=True, gc=False):
    """A bay of a store holds something else. None: nothing was known of the bay."""

    hbw: str
    before: StockItem | None
    after: StockItem
    at: int


class QualityChecked(Struct, frozen=True, gc=False):
    """The quality station has looked at a workpiece."""

    txt: str | None
    result: str
    classification: str | None
    at: int


class FactoryReset(Struct, frozen=True, gc=False):
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
