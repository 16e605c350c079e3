"""The WebSocket of the message centre in the AsyncAPI document; pure."""

from collections.abc import Callable
from typing import Any, Literal

from kaiser_common.contract.schemas.api.messages import KeptMessage
from kaiser_common.contract.schemas.factory import EnvironmentKind
from pydantic import BaseModel, ConfigDict

_CONFIG = ConfigDict(frozen=True)
CHANNEL = "messages"


class ViewedMessage(KeptMessage):
    """A message, and how many of its topic are kept. Fields without a value are left out."""

    held: int


class OpenedFrame(BaseModel):
    """The environment. Not resumed: what the viewer had is void, and the last message of each topic follows."""

    model_config = _CONFIG
    type: Literal["opened"]
    env: str
    kind: EnvironmentKind
    epoch: int
    resumed: bool
    now: int


class MessagesFrame(BaseModel):
    """Messages, oldest first; snapshot until the frame `ready`. now: the server's clock, ms since 1970."""

    model_config = _CONFIG
    type: Literal["messages"]
    now: int
    snapshot: bool
    items: list[ViewedMessage]


class ReadyFrame(BaseModel):
    """All that was there has been sent. complete: all topics are followed."""

    model_config = _CONFIG
    type: Literal["ready"]
    seq: int
    topics: int
    complete: bool


class ConflatedFrame(BaseModel):
    """So many messages were replaced by newer ones of their topics."""

    model_config = _CONFIG
    type: Literal["conflated"]
    count: int


class PongFrame(BaseModel):
    """The answer to a ping."""

    model_config = _CONFIG
    type: Literal["pong"]


class PingMessage(BaseModel):
    """The only message that a viewer may send."""

    model_config = _CONFIG
    action: Literal["ping"]


FRAMES: dict[str, type[BaseModel]] = {
    "opened": OpenedFrame,
    "messages": MessagesFrame,
    "ready": ReadyFrame,
    "conflated": ConflatedFrame,
    "pong": PongFrame,
}
SAID: dict[str, type[BaseModel]] = {"ping": PingMessage}
MODELS = (*FRAMES.values(), *SAID.values())


def channel(schema: Callable[[type[BaseModel]], dict[str, Any]], parameters: dict[str, Any]) -> dict[str, Any]:
    """The channel."""
    query = {
        "token": {"type": "string"},
        "priority": {"type": "integer", "minimum": 1, "maximum": 6, "description": "The level, 6 by default."},
        "filter": {"type": "string", "description": "An MQTT topic filter; may be given several times."},
        "rate": {"type": "number", "description": "Frames a second, 10 by default."},
        "after": {"type": "integer", "description": "The highest seq that was received, to resume."},
        "epoch": {"type": "integer", "description": "The epoch in which that was."},
    }
    return {
        "address": "/api/v1/ws/messages/{client_id}",
        "description": "MQTT messages of the factory as they came; close codes 1001, 1013, 4001, 4003, 4008, 4400.",
        "servers": [{"$ref": "#/servers/gateway"}],
        "parameters": parameters,
        "messages": {
            name: {"name": name, "contentType": "application/json", "payload": schema(model)}
            for name, model in {**FRAMES, **SAID}.items()
        },
        "bindings": {
            "ws": {"method": "GET", "query": {"type": "object", "properties": query}, "bindingVersion": "0.1.0"}
        },
    }
