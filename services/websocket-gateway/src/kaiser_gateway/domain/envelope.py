"""The data of the frames that answer a client, as models for the AsyncAPI document."""

from pydantic import BaseModel, ConfigDict, Field

from kaiser_gateway.domain.filters import Filters

_CONFIG = ConfigDict(frozen=True, populate_by_name=True)


class Subscribed(BaseModel):
    """The filters in force; null: nothing is delivered."""

    model_config = _CONFIG
    filters: Filters | None


class Pong(BaseModel):
    """Nothing: it is there."""

    model_config = _CONFIG


class Resumed(BaseModel):
    """From which seq the replay goes, and how many events since the requested one are lost."""

    model_config = _CONFIG
    from_seq: int = Field(alias="from")
    missed: int


class Complaint(BaseModel):
    """Why a message of the client was not taken; code is one of the error codes."""

    model_config = _CONFIG
    code: int
    message: str


ANSWERS: dict[str, type[BaseModel]] = {
    "subscribed": Subscribed,
    "pong": Pong,
    "resumed": Resumed,
    "error": Complaint,
}
"""The data of each answer, by the type of its frame."""
