"""Requests and answers about replays of recordings. Positions in a recording are in ms since its first message."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kaiser_common.contract.schemas import FROZEN
from kaiser_common.contract.schemas.api.recordings import RECORDING_ID, TopicFilter
from kaiser_common.contract.schemas.factory import FactoryReplay

Speed = Annotated[float, Field(ge=0.1, le=100)]
_STRICT = ConfigDict(frozen=True, extra="forbid")


class StartReplay(BaseModel):
    """Replay a recording into the environment in force, which must be of kind replay, and is emptied first.

    speed: a factor, or "max": as fast as the broker takes it. filter, exclude: MQTT filters of the topics that are
    replayed, and of those that are not. from, to: where it begins and ends. shift: what is added to every time in a
    payload, in seconds; "now" lets the first message be of now. armed: the name of the environment, to send commands
    too; without it they are left out. expect: the end that the factory must have (as `kaiser-factory check --expect`).
    """

    model_config = {
        **_STRICT,
        "populate_by_name": True,
        "json_schema_extra": {"examples": [{"recording": "0a1b2c3d0a1b2c3d", "speed": 20}]},
    }

    recording: str = Field(pattern=RECORDING_ID)
    speed: Speed | Literal["max"] = 1.0
    filter: list[TopicFilter] | None = Field(default=None, min_length=1, max_length=32)
    exclude: list[TopicFilter] = Field(default=[], max_length=32)
    from_: int = Field(default=0, alias="from", ge=0)
    to: int | None = Field(default=None, ge=1)
    loop: bool = False
    shift: Literal["now", "none"] | Annotated[int, Field(ge=-(10**10), le=10**10)] = "now"
    paused: bool = False
    armed: str | None = Field(default=None, max_length=64)
    expect: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _places(self) -> "StartReplay":
        if self.to is not None and self.to <= self.from_:
            raise ValueError("to must be after from")
        if self.loop and self.expect is not None:
            raise ValueError("expect cannot be combined with loop: a loop never ends")
        return self


class ReplayControl(BaseModel):
    """pause, resume, stop; step: send the next `count` messages and stay paused; seek: go on from `to_ms`, after a new
    snapshot; speed: go on with another one."""

    model_config = {**_STRICT, "json_schema_extra": {"examples": [{"do": "seek", "to_ms": 150000}]}}

    do: Literal["pause", "resume", "step", "seek", "stop", "speed"]
    count: int = Field(default=1, ge=1, le=1000)
    to_ms: int | None = Field(default=None, ge=0)
    speed: Speed | Literal["max"] | None = None

    @model_validator(mode="after")
    def _needed(self) -> "ReplayControl":
        if self.do == "seek" and self.to_ms is None:
            raise ValueError("seek needs to_ms")
        if self.do == "speed" and self.speed is None:
            raise ValueError("to change the speed give speed")
        return self


class ReplayKey(BaseModel):
    """The id of a replay."""

    model_config = FROZEN

    replay_id: str = Field(pattern=RECORDING_ID)


class ControlledReplay(ReplayKey):
    """A replay, and what to do with it."""

    control: ReplayControl


class ReplaysQuery(BaseModel):
    """A page of replays, the newest first."""

    model_config = FROZEN

    limit: int = Field(default=20, ge=1, le=1000)
    cursor: str | None = Field(default=None, max_length=300)


class ReplaysPage(BaseModel):
    """Replays, the newest first; at most one of them is not at its end."""

    model_config = FROZEN

    items: list[FactoryReplay]
    next_cursor: str | None = None
