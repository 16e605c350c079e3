"""Rejected messages."""

from kaiser_common.contract.schemas.api.rejected import Encoding, RejectedPage, ReplayAnswer

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


def replay_rejected(seq: int) -> Call[ReplayAnswer]:
    """Validate a message again, as if it had just come."""
    return Call("POST", "/api/v1/rejected/{seq}/replay", ReplayAnswer, {"seq": seq})
