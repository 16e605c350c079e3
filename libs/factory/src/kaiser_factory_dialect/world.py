"""The state of the factory in memory: modules, AGVs, orders, stock, layout.

Only `apply.apply` changes it. Its owner applies messages in the order of receipt, and can rebuild it from the last
message of each topic. Source: docs/factory-dialect.md, "State".
"""

from collections import deque
from dataclasses import dataclass, field

from msgspec import Struct

from kaiser_factory_dialect.catalogue import FactoryKind, StateSource
from kaiser_factory_dialect.ccu_messages import (
    CcuConfig,
    CcuOrder,
    FactoryLayout,
    PairedMachine,
    ProductionFlows,
    StockItem,
)
from kaiser_factory_dialect.messages import (
    ActionState,
    Battery,
    ConnectionWord,
    Factsheet,
    Load,
    MachineError,
    Position,
)
from kaiser_factory_dialect.skew import Clocks

REPEATS = 8
"""Ids of earlier actions that are remembered of each module and AGV."""
MAX_MACHINES = 2000
"""Of which at most 1,000 speak (`intake`); the others are known from pairing only, and more of these are ignored."""
MAX_STORES = 64
MAX_ORDERS = 5000
MAX_PROGRESS = 100_000
QUALITY_KEPT = 200
REQUESTS_KEPT = 50


class VdaAddress(Struct, frozen=True):
    """Where a VDA 5050 vehicle is spoken to: the levels of its topics before the serial. version: v1, v2 or v3."""

    interface: str
    version: str
    manufacturer: str


@dataclass(slots=True)
class Machine:
    """A module or AGV. Which rule fills which field is in `world_machines`; its row is made by `view`."""

    serial: str
    agv: bool = False
    connections: dict[StateSource, ConnectionWord] = field(default_factory=dict)
    beats: bool = False
    last_beat: int | None = None
    factsheet: Factsheet | None = None
    pairing: PairedMachine | None = None
    action: ActionState | None = None
    action_source: StateSource | None = None
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=REPEATS))
    order_id: str | None = None
    order_source: StateSource | None = None
    order_update_id: int | None = None
    loads: tuple[Load, ...] = ()
    errors: dict[StateSource, tuple[MachineError, ...]] = field(default_factory=dict)
    paused: dict[StateSource, bool] = field(default_factory=dict)
    modes: dict[StateSource, str] = field(default_factory=dict)
    battery: Battery | None = None
    node: str | None = None
    at: str | None = None
    driving: bool | None = None
    waiting_for_load: bool | None = None
    position: Position | None = None
    e_stop: str | None = None
    vda5050: VdaAddress | None = None
    stated: bool = False
    last_seen: int | None = None

    @property
    def is_stopped(self) -> bool:
        """Whether a VDA 5050 vehicle reports that its emergency stop is active."""
        return self.e_stop not in {None, "NONE"}


@dataclass(slots=True)
class Progress:
    """The progress of one action: its machine, when it first ran and ended (ms of receipt), and its result.

    command: as an order or a state names it, since some states do not.
    """

    serial: str
    agv: bool
    command: str | None = None
    running_at: int | None = None
    finished_at: int | None = None
    result: str | None = None


@dataclass(slots=True)
class OrderRecord:
    """An order of the CCU. settled: the CCU said its end, which nothing changes any more.

    missing_since: ms of receipt of the first snapshot of active orders without it. reason: `reset` where Kaiser
    concluded the end from the CCU's reset. failed_at: when it ended as ERROR; replaces: the failed order that the CCU
    made again without being asked.
    """

    order: CcuOrder
    first_seen: int
    active: bool = False
    settled: bool = False
    missing_since: int | None = None
    reason: str | None = None
    failed_at: int | None = None
    replaces: str | None = None


@dataclass(slots=True)
class Factory:
    """All that is known of one environment. An epoch of another environment begins with an empty one."""

    machines: dict[str, Machine] = field(default_factory=dict)
    orders: dict[str, OrderRecord] = field(default_factory=dict)
    progress: dict[str, Progress] = field(default_factory=dict)
    stock: dict[str, dict[str, StockItem]] = field(default_factory=dict)
    quality: deque[tuple[str, str | None, int]] = field(default_factory=lambda: deque(maxlen=QUALITY_KEPT))
    layout: FactoryLayout | None = None
    flows: ProductionFlows | None = None
    config: CcuConfig | None = None
    pairing_at: int | None = None
    node_red: ConnectionWord | None = None
    clocks: Clocks = field(default_factory=Clocks)
    requests: deque[tuple[str, int]] = field(default_factory=lambda: deque(maxlen=REQUESTS_KEPT))
    failures: deque[str] = field(default_factory=lambda: deque(maxlen=REQUESTS_KEPT))
    kinds: dict[FactoryKind, int] = field(default_factory=dict)

    def machine(self, serial: str) -> Machine:
        """The module or AGV of a serial; a new one where it was not known."""
        if (found := self.machines.get(serial)) is None:
            found = self.machines[serial] = Machine(serial)
        return found
