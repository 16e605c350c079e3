"""The parsed messages of the central control (CCU): one frozen struct for each. Times are ms since 1970."""

from typing import Any, Literal

from msgspec import Struct

from kaiser_factory_dialect.messages import FactoryMessage

OrderWord = Literal["UNKNOWN", "ENQUEUED", "IN_PROGRESS", "FINISHED", "CANCELLED", "ERROR"]
FINAL_ORDERS: frozenset[str] = frozenset({"FINISHED", "CANCELLED", "ERROR"})


class CcuStep(Struct, frozen=True, gc=False):
    """One step of an order. n: its place in the plan, which shifts when the plan grows; id is its key."""

    n: int
    id: str
    type: str | None
    state: OrderWord
    command: str | None = None
    module_type: str | None = None
    source: str | None = None
    target: str | None = None
    serial: str | None = None
    started: int | None = None
    stopped: int | None = None
    depends_on: str | None = None


class CcuOrder(Struct, frozen=True, gc=False):
    """One order with its plan. Times are by the CCU's clock."""

    order_id: str
    type: str | None
    order_type: str | None
    state: OrderWord
    workpiece_id: str | None = None
    request_id: str | None = None
    requested: int | None = None
    received: int | None = None
    started: int | None = None
    stopped: int | None = None
    steps: tuple[CcuStep, ...] = ()


class CcuOrders(FactoryMessage, frozen=True, kw_only=True):
    """Orders. snapshot: these are all that there are; otherwise the one order is updated and the others stay."""

    snapshot: bool
    orders: tuple[CcuOrder, ...]


class OrderRequest(FactoryMessage, frozen=True, kw_only=True):
    """A request for an order, to the CCU."""

    type: str
    order_type: str
    request_id: str | None = None
    workpiece_id: str | None = None


class OrderCancel(FactoryMessage, frozen=True, kw_only=True):
    """Orders that the CCU is to cancel."""

    order_ids: tuple[str, ...]


class PairedMachine(Struct, frozen=True, gc=False):
    """A module or AGV as the CCU knows it. type: of a module (`MILL`); duration in s; battery in %; voltage in V."""

    serial: str
    type: str | None = None
    available: str | None = None
    connected: bool | None = None
    assigned: bool | None = None
    paired_since: int | None = None
    last_seen: int | None = None
    ip: str | None = None
    version: str | None = None
    node_id: str | None = None
    last_module: str | None = None
    load_position: str | None = None
    battery: float | None = None
    voltage: float | None = None
    charging: bool | None = None
    duration: float | None = None
    has_calibration: bool | None = None


class Pairing(FactoryMessage, frozen=True, kw_only=True):
    """Every module and AGV that the CCU knows."""

    modules: tuple[PairedMachine, ...]
    transports: tuple[PairedMachine, ...] = ()


class StockItem(Struct, frozen=True, gc=False):
    """One bay of a store. An empty bay has neither type, id nor state."""

    hbw: str | None
    location: str
    type: str | None = None
    id: str | None = None
    state: str | None = None


class FactoryStock(FactoryMessage, frozen=True, kw_only=True):
    """The bays of the stores."""

    items: tuple[StockItem, ...]


class LayoutModule(Struct, frozen=True, gc=False):
    """A module that stands in the layout."""

    serial: str
    type: str | None


class LayoutRoad(Struct, frozen=True, gc=False):
    """A road between two nodes. length in mm; direction: the heading on the way from `start` to `end`."""

    start: str
    end: str
    length: float
    direction: str


class FactoryLayout(FactoryMessage, frozen=True, kw_only=True):
    """Where modules and intersections are and which roads join them."""

    modules: tuple[LayoutModule, ...]
    intersections: tuple[str, ...]
    roads: tuple[LayoutRoad, ...]


class ProductionFlows(FactoryMessage, frozen=True, kw_only=True):
    """The types of module that a workpiece of each type passes."""

    flows: dict[str, tuple[str, ...]]


class CcuConfig(FactoryMessage, frozen=True, kw_only=True):
    """Settings of the CCU. durations: s of an order by type of workpiece; settings: everything as it came."""

    durations: dict[str, float]
    settings: dict[str, Any]


class CcuGlobal(FactoryMessage, frozen=True, kw_only=True):
    """An announcement of the CCU. type `reset`: it has deleted its orders."""

    type: str


class CcuSetting(FactoryMessage, frozen=True, kw_only=True):
    """A command to the CCU. name: the last level of the topic, such as `reset`; settings: everything as it came."""

    name: str
    charge: bool | None = None
    with_storage: bool | None = None
    settings: dict[str, Any] = {}


class PairRequest(FactoryMessage, frozen=True, kw_only=True):
    """An AGV that the CCU is to pair."""
