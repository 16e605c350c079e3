"""Rejected messages in the API."""

from typing import Literal

from pydantic import BaseModel, Field

from kaiser_common.contract.schemas import FROZEN

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
