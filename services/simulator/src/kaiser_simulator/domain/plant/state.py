"""The state of the mock factory, as it is stored: after a kill of the process the factory continues from it.

Times are ms since 1970 by the clock of the simulator; durations of the real factory are divided by `speed`.
"""

from typing import Any, Literal

from kaiser_factory_dialect.ccu_messages import LayoutModule, LayoutRoad
from msgspec import Struct, field

StepWord = Literal["ENQUEUED", "IN_PROGRESS", "FINISHED", "CANCELLED", "ERROR"]
MOST_COMPLETED = 40
"""So many completed orders the CCU keeps; the real one keeps all until its reset."""
MOST_ACTIVE = 40
"""A request beyond is ignored, as the CCU ignores what it cannot make."""


class PlantFaults(Struct, kw_only=True):
    """The faults in force; serials of modules and AGVs. docs/factory.md says what each does."""

    offline: list[str] = []
    silent: list[str] = []
    pick_failed: list[str] = []
    node_unknown: list[str] = []
    battery_low: list[str] = []
    quality_failed: float = 0.0
    slow: float = 1.0
    duplicate: float = 0.0
    clock_offset_s: dict[str, float] = {}
    ccu_mute: bool = False


class OrderPlan(Struct, kw_only=True):
    """Orders that the factory requests of itself: one after `after_s`, then one each `every_s`, `count` in all."""

    type: str
    order_type: str = "PRODUCTION"
    after_s: float = 0.0
    every_s: float | None = None
    count: int | None = None


class PlantLoad(Struct):
    """A workpiece; without a type there is none. since: ms."""

    type: str = ""
    id: str = ""
    since: int = 0
    reserved: bool = False


class Action(Struct, kw_only=True):
    """The current or last action of a module."""

    id: str
    command: str
    state: str
    metadata: dict[str, Any] = {}
    result: str | None = None
    order_id: str = ""
    update_id: int = 0


class Module(Struct, kw_only=True):
    """A module. bays: of the store, else the one place `1`. used: the highest update id of its last order."""

    serial: str
    type: str
    ip: str
    header: int = 100
    node_red_header: int = 20
    order_id: str = ""
    used: int = -1
    action: Action | None = None
    bays: dict[str, PlantLoad] = {}
    errors: list[dict[str, Any]] = []


class DriveAction(Struct):
    """An action of an AGV; at: ms, of its last change."""

    id: str
    command: str
    state: str
    at: int


class Agv(Struct, kw_only=True):
    """An AGV. path: of its order; place: index of the last node passed. bays: `1` left, `2` middle, `3` right."""

    serial: str
    node: str
    ip: str
    battery: float = 80.0
    header: int = 500
    order_id: str = ""
    update_id: int = -1
    path: list[str] = []
    turns: list[str] = []
    dock: dict[str, Any] = {}
    place: int = 0
    actions: list[DriveAction] = []
    driving: bool = False
    waiting: bool = False
    charging: bool = False
    errors: list[dict[str, Any]] = []
    bays: dict[str, PlantLoad] = field(default_factory=lambda: {"1": PlantLoad(), "2": PlantLoad(), "3": PlantLoad()})


class PlantStep(Struct, kw_only=True):
    """A step of an order. started, stopped: ms."""

    id: str
    type: Literal["NAVIGATION", "MANUFACTURE"]
    state: StepWord = "ENQUEUED"
    command: str | None = None
    module_type: str | None = None
    source: str | None = None
    target: str | None = None
    serial: str | None = None
    started: int | None = None
    stopped: int | None = None


class Order(Struct, kw_only=True):
    """An order of the CCU. at: index of the current step. agv: carries the workpiece from first to last step."""

    id: str
    type: str
    order_type: str
    requested: int
    received: int
    request_id: str | None = None
    workpiece_id: str | None = None
    bay: str | None = None
    state: StepWord = "ENQUEUED"
    started: int | None = None
    stopped: int | None = None
    steps: list[PlantStep] = []
    at: int = 0
    agv: str | None = None
    history: list[dict[str, int]] = []


class Timer(Struct):
    """A step that is due at a time: `do` for `of`, with `arg`."""

    at: int
    do: str
    of: str = ""
    arg: str = ""


class PlantSetup(Struct, kw_only=True):
    """The settings that the operator made."""

    speed: float
    seed: str
    modules: list[LayoutModule]
    intersections: list[str]
    roads: list[LayoutRoad]
    flows: dict[str, list[str]]
    orders: list[OrderPlan] = []
    refill: bool = True
    parallel: int = 4


class Plant(Struct, kw_only=True):
    """The whole factory. drawn: how many values were drawn; with the seed it decides on all that follow."""

    setup: PlantSetup
    modules: dict[str, Module] = {}
    agvs: dict[str, Agv] = {}
    active: list[Order] = []
    completed: list[Order] = []
    reserved: dict[str, str] = {}
    """By serial of a module the order for which it works, or the AGV that charges there."""
    to_charge: list[str] = []
    timers: list[Timer] = []
    faults: PlantFaults = field(default_factory=PlantFaults)
    drawn: int = 0
    began: int = 0
    checked: int = 0
    untold: list[str] = []
    """Machines that ended an action while offline or silent, so that the CCU does not know of it."""
    paired: dict[str, int] = {}
    shipped: int = 0
    failed: int = 0
