"""The frames of the message centre's WebSocket; pure."""

from collections.abc import Sequence

import msgspec
from kaiser_common.contract.schemas.factory import FactoryEnvironment

from kaiser_gateway.domain.kept import TopicMessage

FRAME_BYTES = 256 * 1024
"""A frame is closed at this size: it holds a message less than that more."""
_encode = msgspec.json.Encoder().encode


class Waiting:
    """A message on its way to viewers: encoded once for all of them; of a topic only the newest need wait."""

    __slots__ = ("_topic", "frame", "seq", "type")

    def __init__(self, message: TopicMessage, held: int) -> None:
        self.type = "message"
        self.seq = message.seq
        self.frame = item_of(message, held)
        self._topic = message.topic

    def key(self) -> tuple[str]:
        """The topic."""
        return (self._topic,)


def item_of(message: TopicMessage, held: int) -> bytes:
    """A message in a frame. held: how many of its topic are kept."""
    return message.frame_item()[:-1] + b',"held":%d}' % held


def messages_frame(items: Sequence[bytes], now_ms: int, *, snapshot: bool) -> bytes:
    """A frame of several messages. now_ms: the server's clock, by which ages are counted."""
    flag = b"true" if snapshot else b"false"
    return b'{"type":"messages","now":%d,"snapshot":%b,"items":[%b]}' % (now_ms, flag, b",".join(items))


def opened_frame(environment: FactoryEnvironment, now_ms: int, *, resumed: bool) -> bytes:
    """The first frame, and again when the environment was switched. resumed: what is missing follows; otherwise the
    last message of each topic follows, and what the viewer had is void."""
    return _encode(
        {
            "type": "opened",
            "env": environment.env,
            "kind": environment.kind,
            "epoch": environment.epoch,
            "resumed": resumed,
            "now": now_ms,
        }
    )


def ready_frame(seq: int, topics: int, *, complete: bool) -> bytes:
    """All that was there has been sent; from here on messages are live. complete: all topics are followed."""
    return _encode({"type": "ready", "seq": seq, "topics": topics, "complete": complete})


def conflated_frame(count: int) -> bytes:
    """So many messages were replaced by newer ones of their topics before they could be sent."""
    return _encode({"type": "conflated", "count": count})


def pong_frame() -> bytes:
    """The answer to a ping."""
    return b'{"type":"pong"}'
