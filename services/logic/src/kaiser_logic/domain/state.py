"""The state of a rule between evaluations and across restarts."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from kaiser_common.contract.bounds import Pin
from kaiser_common.contract.pack import seq_of
from kaiser_common.contract.schemas.api.logic import ActionResult, ConditionReport
from pydantic import Field, TypeAdapter

HOUR_MS = 3_600_000
MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class ConditionMemory:
    """Of one condition. on: hysteresis; since: true without a break since (ms); watched: looked at since (ms)."""

    on: bool = False
    since: int | None = None
    watched: int | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """An actuator that a rule has commanded and keeps from rules of lower priority: until a time (ms), or (None) as
    long as its conditions are true."""

    esp_id: str
    gpio: Pin
    until: int | None = None


@dataclass(slots=True)
class Running:
    """An execution that has begun. touched_at: last sign of it (ms); wait_until: end of the delay that it is in."""

    execution_id: str
    started_at: int
    touched_at: int
    trigger: dict[str, Any]
    decisions: list[ConditionReport]
    results: list[ActionResult] = field(default_factory=list)
    wait_until: int | None = None
    order: int = 0
    """The number of its firing among those of all rules."""


@dataclass(slots=True)
class RuleState:
    """The state of one rule. seq: the last event for which it was evaluated, a line of a pack; version: of the rule of
    `memory`.

    armed: it may fire; an edge rule that fired is armed again once its conditions are false, or the firing failed.
    told: the suppression recorded for this period of true conditions; told_last, told_at: the newest of all.
    order: the number of its last firing among those of all rules. raised: it has raised an alarm that is to be cleared
    when its conditions are false. name: of the rule when it last fired, empty once its end was reported; raises: the
    names of the alarms that it has raised since it was stored, until they are cleared for good. Times in ms.
    """

    version: int = 0
    seq: Annotated[int, Field(alias="seen")] = 0
    stream_seq: Annotated[int, Field(alias="seq")] = 0
    """The same as versions before packs have stored it; 0 once it is read."""
    memory: dict[str, ConditionMemory] = field(default_factory=dict)
    armed: bool = True
    fired_at: list[int] = field(default_factory=list)
    failures: int = 0
    backoff_until: int | None = None
    paused_until: int | None = None
    told: str | None = None
    told_last: str | None = None
    told_at: int = 0
    holds: list[Hold] = field(default_factory=list)
    order: int = 0
    raised: bool = False
    name: str = ""
    raises: list[str] = field(default_factory=list)
    running: Running | None = None

    @property
    def last_fired_at(self) -> int | None:
        """When it last fired."""
        return self.fired_at[-1] if self.fired_at else None


_JSON = TypeAdapter(RuleState)


def to_json(state: RuleState) -> bytes:
    """As it is kept in the bucket."""
    return _JSON.dump_json(state, exclude_defaults=True, by_alias=True)


def from_json(body: bytes) -> RuleState:
    """ValidationError if it is not a state. Fields of a newer version are skipped, those of an older one are
    converted."""
    state = _JSON.validate_json(body, extra="ignore")
    if state.stream_seq:
        state.seq = max(state.seq, seq_of(state.stream_seq + 1) - 1)
        state.stream_seq = 0
    return state
