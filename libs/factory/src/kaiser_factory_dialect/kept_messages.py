"""A message on the stream TOPICS: an MQTT message as received, with headers that ingest writes and others read."""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple, Protocol
from urllib.parse import quote

from kaiser_factory_dialect.reading import Arrival
from kaiser_factory_dialect.subjects import topic_of

HEADERS: Mapping[str, str] = {
    "Mqtt-Topic": "The topic.",
    "Mqtt-Qos": "0 or 1.",
    "Mqtt-Retain": "1 where the broker had kept the message.",
    "Kaiser-Received-At": "When ingest received it, in ns since 1970.",
    "Kaiser-Verdict": "The kind where it was read, the error code, or why it was ignored.",
    "Kaiser-Epoch": "Counts the switches of the environment.",
    "Kaiser-Own": "1 where Kaiser has sent the same within a minute.",
    "Kaiser-Length": "The bytes of the whole payload, where only its beginning is kept.",
}
"""Each header with what it says; the last is only there where it is needed."""
_PLAIN = "/:@!$&'()*,;=+ #<>[]{}|^`\"\\?"
"""Characters that stay as they are in the header with the topic, beside letters and digits; other bytes are %XX."""


class StoredMessage(Protocol):
    """A message as the stream delivers it."""

    @property
    def subject(self) -> str: ...
    @property
    def body(self) -> bytes: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def stream_sequence(self) -> int: ...
    @property
    def timestamp_ns(self) -> int: ...


class TopicHead(NamedTuple):
    """The headers of a message. word: its verdict, a kind, a reason or a code. length: 0 where the payload is whole."""

    received_ns: int
    qos: int
    retained: bool
    word: str
    epoch: int
    own: bool
    length: int


def quoted_topic(topic: str) -> str:
    """A topic as its header has it."""
    return _cached_quoted(topic) if len(topic) <= _LONGEST_CACHED else _quoted(topic)


def _quoted(topic: str) -> str:
    return quote(topic, safe=_PLAIN, errors="replace")


_LONGEST_CACHED = 128
_cached_quoted = lru_cache(maxsize=8_192)(_quoted)


def headers_of(arrival: Arrival, quoted: str, word: str, whole_bytes: int | None = None) -> tuple[tuple[str, str], ...]:
    """The headers of a message. quoted: its topic (`quoted_topic`); word: its verdict; whole_bytes: of the payload,
    where only its beginning is kept."""
    headers = (
        ("Mqtt-Topic", quoted),
        ("Mqtt-Qos", str(arrival.qos)),
        ("Mqtt-Retain", str(int(arrival.retained))),
        ("Kaiser-Received-At", str(arrival.received_at * 1_000_000)),
        ("Kaiser-Verdict", word),
        ("Kaiser-Epoch", str(arrival.epoch)),
        ("Kaiser-Own", str(int(arrival.own))),
    )
    return headers if whole_bytes is None else (*headers, ("Kaiser-Length", str(whole_bytes)))


def head_of(stored: StoredMessage) -> TopicHead:
    """The headers of a message; one without a readable time was received when the stream stored it."""
    headers = stored.headers
    return TopicHead(
        received_ns=_number(headers.get("Kaiser-Received-At", "")) or stored.timestamp_ns,
        qos=_number(headers.get("Mqtt-Qos", "")),
        retained=headers.get("Mqtt-Retain") == "1",
        word=headers.get("Kaiser-Verdict", ""),
        epoch=_number(headers.get("Kaiser-Epoch", "")),
        own=headers.get("Kaiser-Own") == "1",
        length=_number(headers.get("Kaiser-Length", "")),
    )


def stored_arrival(stored: StoredMessage, head: TopicHead) -> Arrival:
    """The message as ingest received it."""
    env, topic = topic_of(stored.subject)
    return Arrival(
        topic, stored.body, head.received_ns // 1_000_000, head.qos, head.retained, env, head.epoch, head.own
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
