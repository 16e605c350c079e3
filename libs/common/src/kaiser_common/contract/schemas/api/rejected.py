"""Rejected messages in the API."""

from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from kaiser_common.contract.bounds import MAX_EXACT
from kaiser_common.contract.schemas import FROZEN
from kaiser_common.contract.schemas.event import RejectedMessage

Encoding = Literal["text", "base64"]


class RejectedQuery(BaseModel):
    """Which rejected messages: of a code, of a device, older than `before` (a seq, from next_cursor).

    serial: of a module, AGV or TXT of the factory, in place of esp_id.
    """

    model_config = FROZEN

    code: int | None = None
    esp_id: str | None = Field(default=None, pattern=r"^[A-Z0-9_]{1,32}$")
    serial: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.:-]{1,64}$")
    before: int | None = Field(default=None, ge=1)
    limit: int = Field(default=100, ge=1, le=1000)
    encoding: Encoding = "text"


class RejectedItem(BaseModel):
    """A rejected message; `seq` is its number, which grows. Bytes that are no UTF-8 come as base64 even where text was
    asked for: see `encoding`."""

    model_config = FROZEN

    seq: int
    topic: str
    payload: str
    encoding: Encoding
    code: int
    message: str
    field: str | None = None
    esp_id: str | None = None
    serial: str | None = None
    received_at: int


class RejectedPage(BaseModel):
    """Rejected messages, newest first."""

    model_config = FROZEN

    items: list[RejectedItem]
    next_cursor: str | None = None


class ReplayRequest(BaseModel):
    """Validate a rejected message again, as if it had just been received."""

    model_config = FROZEN

    seq: int = Field(ge=1)


class RejectedKey(BaseModel):
    """Which rejected message."""

    model_config = FROZEN

    seq: int = Field(ge=1)


class MessageFix(BaseModel):
    """A rejected message as it should have been. topic: None for the one that it had."""

    model_config = {
        "frozen": True,
        "extra": "forbid",
        "json_schema_extra": {"examples": [{"payload": '{"ts":1767225600,"raw":2048,"sensor_type":"ph"}'}]},
    }

    payload: str = Field(max_length=16 * 1024)
    topic: str | None = Field(default=None, min_length=1, max_length=1024, pattern=r"^kaiser/")


class FixRejected(RejectedKey):
    """A rejected message, and how it should have been."""

    fix: MessageFix


class FixedMessage(BaseModel):
    """The published part of a corrected message, and how many readings of a batch are still bad.

    received_at: when the rejected message came, which is when this one counts as received.
    """

    model_config = FROZEN

    seq: int
    topic: str
    payload: str
    received_at: int
    published: int
    rejected: int


class ReplayAnswer(BaseModel):
    """How many messages were published, and how many readings of a batch were bad still."""

    model_config = FROZEN

    seq: int
    published: int
    rejected: int


class RejectedCause(BaseModel):
    """The cause of rejected messages: their code, the field that was wrong, and their sender.

    What is not given may be any. `field` is "" for messages of which no field was wrong. The sender is a device
    (`esp_id`), a machine of the factory (`serial`), or the topic of messages that name neither.
    """

    model_config = {"frozen": True, "extra": "forbid", "json_schema_extra": {"examples": [{"code": 5001}]}}

    code: int | None = Field(default=None, ge=5000, le=5999)
    field: str | None = Field(default=None, max_length=200)
    esp_id: str | None = Field(default=None, pattern=r"^[A-Z0-9_]{1,32}$")
    serial: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.:-]{1,64}$")
    topic: str | None = Field(default=None, min_length=1, max_length=1024)

    def covers(self, message: RejectedMessage) -> bool:
        """Whether a rejected message has this cause."""
        return (
            self.code in (None, message.code)
            and self.field in (None, message.field or "")
            and self.esp_id in (None, message.esp_id)
            and self.serial in (None, message.serial)
            and (self.topic is None or (message.topic == self.topic and not (message.esp_id or message.serial)))
        )


class CauseReplay(RejectedCause):
    """One step of the replay of all rejected messages of a cause, oldest first.

    after: the `next_cursor` of the step before. through: its `through`, so that a replay has an end while more
    messages are rejected. limit: how many messages of the cause are replayed at most.
    """

    model_config = {
        "frozen": True,
        "extra": "forbid",
        "json_schema_extra": {"examples": [{"code": 5001, "esp_id": "ESP_0A1B2C3D"}]},
    }

    after: int | None = Field(default=None, ge=0, le=MAX_EXACT)
    through: int | None = Field(default=None, ge=0, le=MAX_EXACT)
    limit: int = Field(default=1000, ge=1, le=1000)

    @model_validator(mode="after")
    def _names_a_cause(self) -> Self:
        if all(part is None for part in (self.code, self.esp_id, self.serial, self.topic)):
            raise ValueError("name a cause: code, esp_id, serial or topic")
        return self


class RefusedReplay(BaseModel):
    """A rejected message that a replay did not take in, and why."""

    model_config = FROZEN

    seq: int
    code: int
    message: str


class ReplayedCause(BaseModel):
    """The result of one step of a replay. Sum up the steps until `next_cursor` is null.

    replayed: rejected messages that were taken in, at least in part; published: the messages that they became.
    refused: rejected messages that are rejected still; refusals: the first 20 of them. left: how many messages of the
    cause come after this step; is_left_exact is false where they were too many to be counted in time.
    """

    model_config = FROZEN

    replayed: int
    published: int
    refused: int
    refusals: list[RefusedReplay]
    left: int
    is_left_exact: bool
    through: int
    next_cursor: str | None = None


class CausesQuery(BaseModel):
    """Which causes: of a code, a device, a machine of the factory or a topic; the most frequent `limit` of them."""

    model_config = FROZEN

    code: int | None = None
    esp_id: str | None = Field(default=None, pattern=r"^[A-Z0-9_]{1,32}$")
    serial: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.:-]{1,64}$")
    topic: str | None = Field(default=None, min_length=1, max_length=1024)
    limit: int = Field(default=100, ge=1, le=1000)


class CauseItem(BaseModel):
    """A cause with the number of its messages. message: of the newest. `field` is "" where no field was wrong."""

    model_config = FROZEN

    code: int
    field: str
    esp_id: str | None = None
    serial: str | None = None
    topic: str | None = None
    count: int
    message: str
    newest_seq: int
    newest_at: int
    oldest_at: int


class CausesPage(BaseModel):
    """Causes, the most frequent first. looked_at: how many rejected messages they were counted from, mostly the newest;
    is_complete: whether these are all. left_out: causes beyond `limit`."""

    model_config = FROZEN

    items: list[CauseItem]
    looked_at: int
    is_complete: bool
    left_out: int
