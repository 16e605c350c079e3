"""The factory on the bus: events for frontends and rules, messages to its broker, and the environment in force.

The messages that the factory itself sends are in libs/factory. Times are ms since 1970.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from kaiser_common.contract.bounds import Instant
from kaiser_common.contract.schemas import FROZEN

EnvironmentKind = Literal["live", "mock", "replay"]
JournalState = Literal[
    "queued",
    "sent",
    "unconfirmed",
    "accepted",
    "finished",
    "failed",
    "refused",
    "no_answer",
    "timed_out",
    "expired",
    "abandoned",
]

ReplayState = Literal["running", "paused", "checking", "done", "stopped", "failed"]


class FactoryEnvironment(BaseModel):
    """The environment in force: the broker profile, what kind it is, and how often it was switched (`epoch`).

    armed: of kind replay, commands may go out; it ends with the next switch. site: whose ingest entered it; "" is
    unknown.
    """

    model_config = FROZEN

    env: str = Field(pattern=r"^[a-z0-9_-]{1,16}$")
    kind: EnvironmentKind
    epoch: int = Field(ge=0)
    broker: str = ""
    since: int = 0
    armed: bool = False
    site: str = ""


class FactoryOutbox(BaseModel):
    """A message for ingest to publish to the factory, made for one environment and epoch; its lane is in the subject.

    A command is never published after `queued_at` + 10 s, never twice, and never retained. command_id: ingest says on
    its subject how it ended (FactoryReceipt). replay_id: of which replay it is; if it is not published, it is rejected
    under that id, so that the replay can count it.
    """

    model_config = FROZEN

    topic: Annotated[str, Field(max_length=1024)]
    payload_base64: str
    env: str
    epoch: int
    queued_at: Instant
    qos: Literal[0, 1] = 1
    retain: bool = False
    free: bool = False
    command_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,64}$")
    replay_id: str | None = Field(default=None, pattern=r"^[a-z0-9]{1,32}$")


class ReplayPlace(BaseModel):
    """How far the messages of a replay are on OUTBOX: of which turn, up to which message, and the counts by then."""

    model_config = FROZEN

    replay_id: str
    turn: int
    number: int
    position_us: int
    sent: int
    left_out: int
    failed: int


class FactoryReceipt(BaseModel):
    """How the publication of a command ended.

    sent: the broker acknowledged it. unconfirmed: the connection ended before; it is not written again. expired: 10 s
    were over. refused: the guard let it not pass.
    """

    model_config = FROZEN

    outcome: Literal["sent", "unconfirmed", "expired", "refused"]
    at: Instant
    detail: str | None = None


class FactoryAction(BaseModel):
    """The current action of a module or AGV."""

    model_config = FROZEN

    id: str
    command: str | None = None
    state: str
    result: str | None = None


class FactoryLoad(BaseModel):
    """A workpiece in a bay."""

    model_config = FROZEN

    position: str | None = None
    type: str
    id: str | None = None


class FactoryError(BaseModel):
    """An error that a module or AGV reports."""

    model_config = FROZEN

    type: str
    level: Literal["WARNING", "FATAL"]
    message: str | None = None


class FactoryModule(BaseModel):
    """A module or AGV as it is now. battery_voltage in V; skew_ms is added to its times to have Kaiser's.

    silent: no message for 45 s where its connection came every 15 s. stale: nothing since the environment was entered.
    """

    model_config = FROZEN

    env: str
    serial: str
    kind: Literal["module", "agv"]
    type: str | None = None
    paired: bool | None = None
    connection: str
    silent: bool
    availability: str
    assigned: bool | None = None
    order_id: str | None = None
    action: FactoryAction | None = None
    loads: list[FactoryLoad] = []
    errors: list[FactoryError] = []
    battery_percent: float | None = None
    battery_voltage: float | None = None
    charging: bool | None = None
    node: str | None = None
    driving: bool | None = None
    at: str | None = None
    last_seen: int | None = None
    skew_ms: int | None = None
    stale: bool = False
    ts: int


class FactoryOrder(BaseModel):
    """An order of the central control. requested to stopped are by its clock, corrected to Kaiser's where `corrected`.

    lost: neither active nor completed for 15 min. reason: `reset` where the central control has forgotten it.
    replaces: the failed order that was made again without a request.
    """

    model_config = FROZEN

    env: str
    order_id: str
    type: str | None = None
    order_type: str | None = None
    state: str
    workpiece_id: str | None = None
    request_id: str | None = None
    requested: int | None = None
    received: int | None = None
    started: int | None = None
    stopped: int | None = None
    corrected: bool = False
    steps_done: int = 0
    steps_total: int = 0
    lead_ms: int | None = None
    missing_since: int | None = None
    lost: bool = False
    reason: str | None = None
    replaces: str | None = None
    ts: int


class FactoryBay(BaseModel):
    """A bay of a store; without type, id and state it is empty."""

    model_config = FROZEN

    location: str
    type: str | None = None
    id: str | None = None
    state: str | None = None


class FactoryStore(BaseModel):
    """The bays of one store (HBW)."""

    model_config = FROZEN

    env: str
    hbw: str
    bays: list[FactoryBay]
    ts: int


class FactoryCommandEntry(BaseModel):
    """A command to the factory and how far it came; the states are explained in docs/factory.md.

    late: it was finished after its time was out. sequence_id, step: of a sequence. payload: as it was sent, JSON.
    """

    model_config = FROZEN

    env: str
    epoch: int
    command_id: str
    do: str
    topic: str
    payload: Any = None
    serial: str | None = None
    order_id: str | None = None
    action_id: str | None = None
    state: JournalState
    code: int | None = None
    result: str | None = None
    late: bool = False
    user: str
    sequence_id: str | None = None
    step: int | None = None
    queued_at: int
    sent_at: int | None = None
    ts: int


class FactoryReplay(BaseModel):
    """A replay of a recording into an environment, and how far it is.

    speed: None is as fast as the broker takes it. position_ms and duration_ms are since the recording's first message;
    number and total count its messages. turn: how often it began, with a seek or a loop. sent, left_out (commands,
    where it is not armed), failed (too large, not to be published, or refused by the broker) add up to what passed its
    filters, in all turns.
    drift_ms: how far it fell behind its speed. shift_ms: what is added to every time in a payload. checking: everything
    is sent, and the end is compared with what was expected; passed and differences say how that went.
    """

    model_config = FROZEN

    replay_id: str
    recording_id: str
    env: str
    epoch: int
    state: ReplayState
    reason: str | None = None
    speed: float | None = None
    loop: bool = False
    armed: bool = False
    shift_ms: int = 0
    turn: int = 1
    number: int = 0
    total: int = 0
    position_ms: int = 0
    duration_ms: int = 0
    sent: int = 0
    left_out: int = 0
    failed: int = 0
    drift_ms: int = 0
    passed: bool | None = None
    differences: list[str] = []
    created_at: int
    created_by: str
    ended_at: int | None = None
    ts: int
