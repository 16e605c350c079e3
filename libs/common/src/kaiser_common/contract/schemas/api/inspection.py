"""The messages of one device in the API, both ways, while somebody looks at them. Times are ms since 1970."""

from typing import Literal

from pydantic import BaseModel, Field

from kaiser_common.contract.bounds import MAX_EXACT
from kaiser_common.contract.schemas import FROZEN
from kaiser_common.contract.schemas.api.devices import EspId
from kaiser_common.contract.schemas.api.rejected import Encoding

PassedVerdict = Literal["accepted", "rejected", "ignored", "sent", "withheld"]
"""accepted, rejected, ignored: what ingest decided about a message that came. sent: the broker has a message that went
to the device. withheld: it was not sent, for the reason."""


class PassedMessagesQuery(BaseModel):
    """Messages of a device after `after` (a seq, 0 for all that are kept); asking keeps them being kept."""

    model_config = FROZEN

    esp_id: EspId
    after: int = Field(default=0, ge=0, le=MAX_EXACT)


class PassedMessage(BaseModel):
    """A message that came from a device, or went to it. seq grows. size: of the payload in bytes; cut: only its
    beginning is here. kind: of an accepted message. reason: why it was rejected, ignored or withheld. Tokens and
    passwords in a payload are masked.
    """

    model_config = FROZEN

    seq: int
    at: int
    direction: Literal["came", "went"]
    topic: str
    payload: str
    encoding: Encoding = "text"
    size: int
    cut: bool = False
    qos: int = 0
    retained: bool = False
    verdict: PassedVerdict
    kind: str | None = None
    code: int | None = None
    field: str | None = None
    reason: str | None = None


class PassedMessages(BaseModel):
    """Messages of a device, oldest first; the newest 200 since somebody began to look.

    since: when that was. left_out: older ones between `after` and these are gone.
    """

    model_config = FROZEN

    since: int
    items: list[PassedMessage]
    left_out: bool = False
