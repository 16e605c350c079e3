"""A message of TOPICS: its headers decoded, and the part of its payload that a viewer gets; pure."""

import base64
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from kaiser_common.contract.schemas.api.messages import KeptMessage, MessageHead, Verdict
from kaiser_factory_dialect.kept_messages import StoredMessage, head_of
from kaiser_factory_dialect.subjects import topic_of

SHOWN_BYTES = 8 * 1024
"""A larger payload is not in lists and frames: it is asked for by its sequence."""
_IGNORED = frozenset(
    {
        *("uncatalogued", "observed", "cleared", "retained_command", "retained_same", "too_many"),
        *("retained", "downlink", "queue_pressure", "will taken back", "empty"),
    }
)


@dataclass(frozen=True, slots=True)
class TopicMessage:
    """One message. size: of the payload as it came; word: ingest's verdict, a kind, a reason or a code."""

    seq: int
    topic: str
    received_at: int
    size: int
    qos: int
    retained: bool
    own: bool
    word: str
    payload: bytes

    @property
    def verdict(self) -> Verdict:
        """Whether ingest accepted it."""
        if self.word.isdigit():
            return "reject"
        return "ignore" if self.word in _IGNORED else "accept"

    def shown(self) -> "TopicMessage":
        """The same without a payload that is too large for a list."""
        return self if len(self.payload) <= SHOWN_BYTES else replace(self, payload=b"")

    def head(self) -> dict[str, Any]:
        """The fields of MessageHead."""
        verdict = self.verdict
        return {
            "seq": self.seq,
            "topic": self.topic,
            "received_at": self.received_at,
            "size": self.size,
            "qos": self.qos,
            "retained": self.retained,
            "own": self.own,
            "verdict": verdict,
            "kind": self.word if verdict == "accept" else None,
            "reason": self.word if verdict == "ignore" else None,
            "code": int(self.word) if verdict == "reject" else None,
        }

    def item(self) -> dict[str, Any]:
        """The fields of KeptMessage; no payload where it is larger than SHOWN_BYTES."""
        return self.head() | payload_fields(self.shown().payload, self.size)

    def to_head(self) -> MessageHead:
        """The message without its payload."""
        return MessageHead.model_construct(**self.head())

    def to_message(self) -> KeptMessage:
        """The message as it is in lists."""
        return KeptMessage.model_construct(**self.item())

    def frame_item(self) -> bytes:
        """The message as it is in a frame."""
        return _encode({name: value for name, value in self.item().items() if value is not None})


_encode = msgspec.json.Encoder().encode


def payload_fields(payload: bytes, size: int) -> dict[str, str | None]:
    """A payload as text, or in base64 where it is no UTF-8; neither if it is not there."""
    if not payload and size:
        return {"payload": None, "payload_base64": None}
    try:
        return {"payload": payload.decode(), "payload_base64": None}
    except UnicodeDecodeError:
        return {"payload": None, "payload_base64": base64.b64encode(payload).decode()}


def kept_of(stored: StoredMessage) -> TopicMessage:
    """A message of the stream."""
    head = head_of(stored)
    _, topic = topic_of(stored.subject)
    return TopicMessage(
        seq=stored.stream_sequence,
        topic=topic,
        received_at=head.received_ns // 1_000_000,
        size=head.length or len(stored.body),
        qos=head.qos,
        retained=head.retained,
        own=head.own,
        word=head.word or "observed",
        payload=stored.body,
    )
