"""Requests and answers about the factory. Times are ms since 1970."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from kaiser_common.contract.bounds import MAX_EXACT
from kaiser_common.contract.schemas import FROZEN
from kaiser_common.contract.schemas.factory import (
    EnvironmentKind,
    FactoryCommandEntry,
    FactoryModule,
    FactoryOrder,
    FactoryStore,
)

SERIAL = r"^[A-Za-z0-9_.:-]{1,64}$"
Serial = Annotated[str, Field(pattern=SERIAL)]


class EnvironmentStatus(BaseModel):
    """The environment in force and the connection to its broker; connected_since None: not connected."""

    model_config = FROZEN

    env: str
    kind: EnvironmentKind
    epoch: int
    broker: str
    since: int
    armed: bool = False
    connected_since: int | None = None
    client_id: str
    session_present: bool | None = None
    profiles: list[str] = []


class RestartEnvironment(BaseModel):
    """Enter an environment of kind mock or replay once more, as a new epoch: a sandbox is emptied, the factory's state
    begins empty. env, epoch: those in force, as the caller knows them. arm: the name of the environment once more, to
    let commands go out in a replay until it is disarmed."""

    model_config = FROZEN

    env: str
    epoch: int
    arm: str | None = Field(default=None, max_length=64)


class SerialQuery(BaseModel):
    """One module or AGV."""

    model_config = FROZEN

    serial: Serial


class FactoryModules(BaseModel):
    """Every module and AGV of the environment in force, by serial: one page, for there are 1,000 serials at most."""

    model_config = FROZEN

    env: str
    kind: EnvironmentKind
    epoch: int
    items: list[FactoryModule]
    next_cursor: str | None = None


class FactoryOrdersQuery(BaseModel):
    """Which orders, newest first."""

    model_config = FROZEN

    state: str | None = Field(default=None, pattern=r"^[A-Z_]{1,16}$")
    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = Field(default=None, max_length=300)


class FactoryOrdersPage(BaseModel):
    """Orders, newest first."""

    model_config = FROZEN

    items: list[FactoryOrder]
    next_cursor: str | None = None


class FactoryOrderId(BaseModel):
    """One order."""

    model_config = FROZEN

    order_id: str = Field(min_length=1, max_length=128)


class DrivePart(BaseModel):
    """A part of an AGV's way: to a node, and what it does there. command: PASS, TURN or DOCK. Times as received."""

    model_config = FROZEN

    command: str
    started: int
    stopped: int


class FactoryStep(BaseModel):
    """A step of an order. started and stopped: by the central control's clock, corrected as those of the order;
    running_at and finished_at: as Kaiser received them. waiting_ms: since the step before it stopped. parts: of a way
    of an AGV, those that are done."""

    model_config = FROZEN

    n: int
    id: str
    type: str | None = None
    state: str
    command: str | None = None
    module_type: str | None = None
    source: str | None = None
    target: str | None = None
    serial: str | None = None
    started: int | None = None
    stopped: int | None = None
    waiting_ms: int | None = None
    running_at: int | None = None
    finished_at: int | None = None
    result: str | None = None
    parts: list[DrivePart] = []


class FactoryTimeline(BaseModel):
    """An order with its steps, as a Gantt chart has them."""

    model_config = FROZEN

    order: FactoryOrder
    steps: list[FactoryStep]


class FactoryStores(BaseModel):
    """The bays of every store."""

    model_config = FROZEN

    items: list[FactoryStore]
    next_cursor: str | None = None


class LayoutNode(BaseModel):
    """A module in the layout."""

    model_config = FROZEN

    serial: str
    type: str | None = None


class LayoutEdge(BaseModel):
    """A road; length in mm, direction the heading from start to end."""

    model_config = FROZEN

    start: str
    end: str
    length: float
    direction: str


class FactoryLayoutAnswer(BaseModel):
    """The positions of modules and intersections. fallback: no layout was received, this is the default
    installation."""

    model_config = FROZEN

    modules: list[LayoutNode]
    intersections: list[str]
    roads: list[LayoutEdge]
    fallback: bool


class FactoryFlows(BaseModel):
    """The types of module that a workpiece of each type passes."""

    model_config = FROZEN

    flows: dict[str, list[str]]


class QualityQuery(BaseModel):
    """Checks of quality, newest first."""

    model_config = FROZEN

    limit: int = Field(default=100, ge=1, le=1000)
    before: int | None = Field(default=None, ge=1)


class QualityItem(BaseModel):
    """A check of quality. has_picture: pictures of the last 200 checks are kept."""

    model_config = FROZEN

    quality_id: int
    at: int
    txt: str
    num: int | None = None
    result: str
    classification: str | None = None
    mime: str
    bytes: int
    has_picture: bool


class QualityPage(BaseModel):
    """Checks of quality, newest first."""

    model_config = FROZEN

    items: list[QualityItem]
    next_cursor: str | None = None


class QualityId(BaseModel):
    """One check of quality."""

    model_config = FROZEN

    quality_id: int = Field(ge=1, le=MAX_EXACT)


class QualityPicture(BaseModel):
    """A picture."""

    model_config = FROZEN

    mime: str
    data_base64: str


class StockChange(BaseModel):
    """A bay that holds something else since `at`; without a type it is empty."""

    model_config = FROZEN

    hbw: str
    location: str
    at: int
    type: str | None = None
    workpiece_id: str | None = None
    state: str | None = None


class WorkpieceId(BaseModel):
    """One workpiece."""

    model_config = FROZEN

    workpiece_id: str = Field(min_length=1, max_length=64)


class WorkpieceStation(BaseModel):
    """A station that a workpiece has passed, in the numbers of its NFC tag: 100 delivered, 200 checked, 300 stored,
    400 retrieved, 500 fired, 600 milled, 700 drilled, 800 shipped. result: of a check of quality, such as PASSED."""

    model_config = FROZEN

    code: int
    what: str
    at: int
    serial: str | None = None
    order_id: str
    result: str | None = None


class Workpiece(BaseModel):
    """A workpiece: its orders with their steps, the stations that it passed, the checks of quality
    that were reported while it was checked, and where it was stored."""

    model_config = FROZEN

    workpiece_id: str
    orders: list[FactoryTimeline]
    stations: list[WorkpieceStation] = []
    quality: list[QualityItem] = []
    stock: list[StockChange]


class WindowQuery(BaseModel):
    """A span of time, in ms since 1970."""

    model_config = FROZEN

    from_ms: int = Field(ge=0)
    to_ms: int = Field(ge=0)


class MachineFigures(BaseModel):
    """Figures of a module or AGV over a window; shares are 0 to 1, None where nothing is known.

    availability: share in which it was not blocked. performance: fastest-tenth duration of each command / actual.
    quality: share of its own checks that passed, 1 where it checks nothing. oee: their product. driving, waiting (for
    its load), charging: shares of an AGV. battery_percent_per_h: how its battery has changed since it last charged.
    """

    model_config = FROZEN

    serial: str
    availability: float | None = None
    performance: float | None = None
    quality: float = 1.0
    oee: float | None = None
    actions: int = 0
    metres: float | None = None
    driving: float | None = None
    waiting: float | None = None
    charging: float | None = None
    battery_percent_per_h: float | None = None


class LeadTimes(BaseModel):
    """Lead times in ms of the finished orders of a type. planned_ms: as the central control's configuration has it."""

    model_config = FROZEN

    type: str
    orders: int
    lead_ms_p50: float | None = None
    lead_ms_p90: float | None = None
    planned_ms: int | None = None


class FactoryFigures(BaseModel):
    """Figures over a window: of each module and AGV, and of the line. Lead times in ms, of finished orders."""

    model_config = FROZEN

    from_ms: int
    to_ms: int
    machines: list[MachineFigures]
    orders: int
    orders_per_hour: float
    yield_share: float | None = None
    lead_ms_p50: float | None = None
    lead_ms_p90: float | None = None
    types: list[LeadTimes] = []


class FactoryCoverage(BaseModel):
    """Counts since the service took over: messages by kind, oddities, and fields that Kaiser does not read."""

    model_config = FROZEN

    kinds: dict[str, int]
    missing: list[str]
    oddities: dict[str, int]
    unknown: dict[str, dict[str, int]]


class CommandsQuery(BaseModel):
    """Commands of the journal, newest first."""

    model_config = FROZEN

    state: str | None = Field(default=None, pattern=r"^[a-z_]{1,16}$")
    serial: Serial | None = None
    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = Field(default=None, max_length=300)


class CommandsPage(BaseModel):
    """Commands, newest first."""

    model_config = FROZEN

    items: list[FactoryCommandEntry]
    next_cursor: str | None = None


class FactoryCommandId(BaseModel):
    """One command."""

    model_config = FROZEN

    command_id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")


class SteerRequest(BaseModel):
    """A steering request: `do` and its fields. A repeated key is answered with the first request's commands."""

    model_config = FROZEN

    request: dict[str, Any]
    idempotency_key: str | None = Field(default=None, pattern=r"^[\x21-\x7e]{1,200}$")


class SteerMessage(BaseModel):
    """A message to the factory. after: the action whose end it waits for."""

    model_config = FROZEN

    topic: str
    payload: Any
    after: str | None = None


class SteerCheck(BaseModel):
    """One check of a request, in the order in which they are made; the first that fails refuses."""

    model_config = FROZEN

    ok: bool
    text: str
    code: int | None = None
    status: int | None = None


class SteerPlan(BaseModel):
    """A preview of a request; nothing is sent. There are no messages if it is refused."""

    model_config = FROZEN

    messages: list[SteerMessage]
    checks: list[SteerCheck]


class SteerAnswer(BaseModel):
    """The commands that a request became; how each ends is in the journal and in factory_command events."""

    model_config = FROZEN

    commands: list[FactoryCommandEntry]
