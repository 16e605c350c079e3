"""Decodes the messages of WebSocket clients; pure."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from kaiser_gateway.domain.filters import Filters

_CONFIG = ConfigDict(frozen=True, extra="ignore")
MAX_BYTES = 65_536
BAD_MESSAGE_CODE = 4400


class Subscribe(BaseModel):
    """Take the filters in force from now on; none means everything."""

    model_config = _CONFIG
    action: Literal["subscribe"]
    filters: Filters = Filters()


class Unsubscribe(BaseModel):
    """Take values out of the filters in force; null ends all delivery."""

    model_config = _CONFIG
    action: Literal["unsubscribe"]
    filters: Filters | None = None


class Resume(BaseModel):
    """Send what came after a sequence number and is still kept."""

    model_config = _CONFIG
    action: Literal["resume"]
    after: int = Field(ge=0)


class Ping(BaseModel):
    """Ask for a pong."""

    model_config = _CONFIG
    action: Literal["ping"]


Action = Subscribe | Unsubscribe | Resume | Ping
ACTIONS: dict[str, type[BaseModel]] = {
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "resume": Resume,
    "ping": Ping,
}
"""The model of each action, for the published description."""
_ACTION: TypeAdapter[Action] = TypeAdapter(Annotated[Action, Field(discriminator="action")])


class BadMessage(Exception):
    """The text explains to the client what is wrong with its message."""


def parse(text: str) -> Action:
    """Decode a client's message. Raises BadMessage."""
    if len(text) > MAX_BYTES:
        raise BadMessage(f"a message may have {MAX_BYTES} characters")
    try:
        return _ACTION.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadMessage(f"{where}: {first['msg']}" if where else str(first["msg"])) from error
