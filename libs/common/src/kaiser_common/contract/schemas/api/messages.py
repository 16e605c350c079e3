"""The message centre in the API: MQTT messages as received, checking and sending one. Times are ms since 1970."""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from kaiser_common.contract.schemas import FROZEN
from kaiser_common.contract.schemas.factory import EnvironmentKind

_STRICT = ConfigDict(frozen=True, extra="forbid")
_EXAMPLE: dict[str, JsonValue] = {"topic": "ccu/set/park", "payload": {"timestamp": "2026-01-01T00:00:00.000Z"}}

Verdict = Literal["accept", "reject", "ignore"]
Topic = Annotated[str, Field(min_length=1, max_length=1024, examples=["module/v1/ff/SVR3QA0022/order"])]


class MessageHead(BaseModel):
    """A message without its payload.

    seq: its sequence in TOPICS. size: of the payload as it came, in bytes. retained: it came from the broker's store.
    own: Kaiser sent it. verdict: of ingest. kind: of the catalogue, of an accepted one. reason: why it was ignored.
    code: why it was rejected.
    """

    model_config = FROZEN

    seq: int
    topic: str
    received_at: int
    size: int
    qos: int
    retained: bool
    own: bool
    verdict: Verdict
    kind: str | None = None
    reason: str | None = None
    code: int | None = None


class MessageTopic(BaseModel):
    """A topic: the lowest level that shows it, how many of its messages are kept, and the last one.

    full: as many are kept as may be, so older ones are gone.
    """

    model_config = FROZEN

    topic: str
    level: int
    held: int
    full: bool
    age_ms: int
    last: MessageHead


class MessageTopics(BaseModel):
    """The topics of the environment in force, by name. complete: false where there are more than are followed."""

    model_config = FROZEN

    env: str
    kind: EnvironmentKind
    epoch: int
    topics: list[MessageTopic]
    complete: bool = True


class KeptMessage(MessageHead):
    """A message with its payload: as text, in base64 where it is no UTF-8, neither where it is too large for a list."""

    payload: str | None = None
    payload_base64: str | None = None


class MessagesPage(BaseModel):
    """Messages, the newest first. next_cursor: where a further request goes on; None: there are no older ones.

    With a cursor there may be fewer than were asked for: a request looks back for 3 s at most.
    """

    model_config = FROZEN

    items: list[KeptMessage]
    next_cursor: int | None = None


class MessageDetails(KeptMessage):
    """A message with its whole payload. pretty: JSON with indents. mime: of the picture that it has, where it has one.

    cut: TOPICS has only its first 64 KiB.
    """

    pretty: str | None = None
    mime: str | None = None
    cut: bool = False


class MessageChange(BaseModel):
    """One difference. path: as in `steps[id=17].state`; old, new: the values."""

    model_config = FROZEN

    path: str
    op: Literal["add", "remove", "change"]
    old: Any = None
    new: Any = None


class MessageDiff(BaseModel):
    """The difference to the message before on the same topic. before: its sequence, None: there is none that is kept.

    complete: false where there are more than 500 differences. readable: false if one of the two is not JSON.
    """

    model_config = FROZEN

    seq: int
    before: int | None = None
    changes: list[MessageChange] = []
    readable: bool = True
    complete: bool = True


class ClearTopics(BaseModel):
    """Topics of which only the last value is kept on."""

    model_config = _STRICT

    filter: Annotated[str, Field(min_length=1, max_length=1024, examples=["module/v1/#"])]


class ClearedTopics(BaseModel):
    """How many messages of how many topics were deleted."""

    model_config = FROZEN

    topics: int
    messages: int


class CheckMessage(BaseModel):
    """A message to be judged as ingest would: payload is JSON, payload_base64 any bytes; one of the two."""

    model_config = {**_STRICT, "json_schema_extra": {"examples": [_EXAMPLE]}}

    topic: Topic
    payload: Any = None
    payload_base64: Annotated[str, Field(max_length=2**20)] | None = None
    retain: bool = False

    @field_validator("payload")
    @classmethod
    def _is_json(cls, payload: Any) -> Any:
        """Invalid JSON (NaN, half of a surrogate pair) could not be sent to the service that validates it."""
        try:
            json.dumps(payload, allow_nan=False, ensure_ascii=False).encode()
        except RecursionError as error:
            raise ValueError("the payload is nested too deeply") from error
        return payload

    @model_validator(mode="after")
    def _one(self) -> Self:
        both = self.payload is not None and self.payload_base64 is not None
        neither = "payload" not in self.model_fields_set and self.payload_base64 is None
        if both or neither:
            raise ValueError("give either payload or payload_base64")
        return self


class CheckedMessage(BaseModel):
    """The verdict of ingest. normalised: how it would be read. warnings: what was tolerated, and unread fields."""

    model_config = FROZEN

    verdict: Verdict
    kind: str | None = None
    code: int | None = None
    field: str | None = None
    reason: str | None = None
    normalised: Any = None
    warnings: list[str] = []


class SendMessage(CheckMessage):
    """A message to be sent to the factory, never retained. free: an admin's, to a topic of no command.

    qos 0: the broker acknowledges nothing, so `sent` says that it was written. 2 is refused: a command goes out once or
    never, so it has nothing to add on the way to the broker.
    """

    qos: Literal[0, 1] = 1
    free: bool = False


class MessageTemplate(BaseModel):
    """A message to begin with; its ids are new and its time is now."""

    model_config = FROZEN

    name: str
    topic: str
    payload: Any


class MessageTemplates(BaseModel):
    """One template for each command that the factory knows."""

    model_config = FROZEN

    templates: list[MessageTemplate]


class RetainedTopic(BaseModel):
    """A topic of which the broker holds a message.

    known_by: it came from the broker's store, or the factory is known to publish it retained. command: it fires again
    whenever its receiver connects.
    """

    model_config = FROZEN

    topic: str
    received_at: int
    size: int
    command: bool
    known_by: Literal["broker", "catalogue"]


class RetainedTopics(BaseModel):
    """The retained messages of the active environment, commands first, then by name."""

    model_config = FROZEN

    topics: list[RetainedTopic]
