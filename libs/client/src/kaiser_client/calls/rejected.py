"""Rejected messages."""

from kaiser_common.contract.schemas.api.messages import CheckedMessage
from kaiser_common.contract.schemas.api.rejected import (
    CauseReplay,
    CausesPage,
    Encoding,
    FixedMessage,
    MessageFix,
    RejectedItem,
    RejectedPage,
    ReplayAnswer,
    ReplayedCause,
)

from kaiser_client.call import Call


def list_rejected(
    *,
    code: int | None = None,
    esp_id: str | None = None,
    serial: str | None = None,
    cursor: str | None = None,
    limit: int | None = None,
    encoding: Encoding | None = None,
) -> Call[RejectedPage]:
    """Rejected messages of the last seven days, newest first, each with its reason."""
    query = {
        "code": code,
        "esp_id": esp_id,
        "serial": serial,
        "cursor": cursor,
        "limit": limit,
        "encoding": encoding,
    }
    return Call("GET", "/api/v1/rejected", RejectedPage, query=query)


def list_causes(
    *,
    code: int | None = None,
    esp_id: str | None = None,
    serial: str | None = None,
    topic: str | None = None,
    limit: int | None = None,
) -> Call[CausesPage]:
    """The causes of the rejected messages, the most frequent first."""
    query = {"code": code, "esp_id": esp_id, "serial": serial, "topic": topic, "limit": limit}
    return Call("GET", "/api/v1/rejected/causes", CausesPage, query=query)


def replay_cause(step: CauseReplay) -> Call[ReplayedCause]:
    """One step of the replay of a cause; `Kaiser.replay` makes all of them."""
    return Call("POST", "/api/v1/rejected/replay", ReplayedCause, body=step)


def replay_rejected(seq: int) -> Call[ReplayAnswer]:
    """Validate a message again, as if it had just come."""
    return Call("POST", "/api/v1/rejected/{seq}/replay", ReplayAnswer, {"seq": seq})


def read_rejected(seq: int) -> Call[RejectedItem]:
    """One rejected message."""
    return Call("GET", "/api/v1/rejected/{seq}", RejectedItem, {"seq": seq})


def validate_correction(seq: int, fix: MessageFix) -> Call[CheckedMessage]:
    """The verdict that the message would get as it is given here; nothing is published."""
    return Call("POST", "/api/v1/rejected/{seq}/check", CheckedMessage, {"seq": seq}, body=fix)


def replay_correction(seq: int, fix: MessageFix) -> Call[FixedMessage]:
    """Take a message in as it should have been, with the time at which it came."""
    return Call("POST", "/api/v1/rejected/{seq}/fix", FixedMessage, {"seq": seq}, body=fix)
