"""NATS subjects of the factory: from an MQTT topic to its subject and back, and the subjects of each kind."""

import re
from collections.abc import Iterable
from functools import lru_cache

from kaiser_factory_dialect.catalogue import FactoryKind

_EMPTY = "="
_SENT = "sent"
_ESCAPED = re.compile(rb"=([0-9A-F]{2})")
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


def token(text: str) -> str:
    """A level of a topic, or a serial, as a token: other bytes than A-Z a-z 0-9 _ - are `=XX`; "" is `=`."""
    return _cached_token(text) if len(text) <= _LONGEST_CACHED else _token(text)


def _token(text: str) -> str:
    if not text:
        return _EMPTY
    octets = text.encode(errors="surrogatepass")
    return "".join([chr(octet) if octet in _PLAIN else f"={octet:02X}" for octet in octets])


_LONGEST_CACHED = 128
_cached_token = lru_cache(maxsize=8_192)(_token)
"""Machines repeat their serials and topics; cached, one costs 0.1 µs, not 2 to 9. Long ones are not: 8 MB at most."""


def from_token(text: str) -> str:
    """The level that a token stands for. UnicodeDecodeError: it is no token of ours."""
    if text == _EMPTY:
        return ""
    return _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), text.encode()).decode(errors="surrogatepass")


def topic_subject(env: str, topic: str) -> str:
    """The subject under which TOPICS keeps the messages of an MQTT topic in an environment."""
    return _cached_topic_subject(env, topic) if len(topic) <= _LONGEST_CACHED else _topic_subject(env, topic)


def _topic_subject(env: str, topic: str) -> str:
    return ".".join(("topic", env, *map(token, topic.split("/"))))


_cached_topic_subject = lru_cache(maxsize=8_192)(_topic_subject)


def topic_of(subject: str) -> tuple[str, str]:
    """The environment and the MQTT topic of a subject of TOPICS. ValueError if the subject is not one of TOPICS."""
    return _cached_topic_of(subject) if len(subject) <= _LONGEST_CACHED else _topic_of(subject)


def _topic_of(subject: str) -> tuple[str, str]:
    root, env, *tokens = subject.split(".")
    if root != "topic" or not tokens:
        raise ValueError(f"{subject!r} is not a subject of TOPICS")
    return env, "/".join(map(from_token, tokens))


_cached_topic_of = lru_cache(maxsize=8_192)(_topic_of)


def filter_subjects(env: str, topic_filter: str) -> tuple[str, ...]:
    """The subject filters that match what an MQTT filter matches; `a/#` is `a` and `a.>`.

    MQTT's # and leading + match no topic that begins with $, which subjects cannot say: see `filters.matches`.
    """
    tokens = ["*" if level == "+" else token(level) for level in topic_filter.split("/")]
    if topic_filter == "#":
        return (f"topic.{env}.>",)
    if topic_filter.endswith("/#"):
        parent = ".".join(("topic", env, *tokens[:-1]))
        return (parent, f"{parent}.>")
    return (".".join(("topic", env, *tokens)),)


def consumer_subjects(env: str, topic_filters: Iterable[str]) -> tuple[str, ...]:
    """The subject filters of one consumer for several MQTT filters, sorted.

    NATS refuses a filter that another one covers (10138), so these are left out. Filters that overlap otherwise
    (`a.*.c` and `a.b.*`) may stand beside each other: a consumer delivers each message once.
    """
    patterns = {tuple(one.split(".")) for each in topic_filters for one in filter_subjects(env, each)}
    kept = [one for one in patterns if not any(other != one and _covers(other, one) for other in patterns)]
    return tuple(".".join(one) for one in sorted(kept))


def _covers(wide: tuple[str, ...], narrow: tuple[str, ...]) -> bool:
    """Whether every subject that `narrow` matches is matched by `wide`."""
    for at, token_of_wide in enumerate(wide):
        if token_of_wide == ">":
            return len(narrow) > at
        if at >= len(narrow) or narrow[at] == ">" or token_of_wide not in {"*", narrow[at]}:
            return False
    return len(narrow) == len(wide)


def factory_subject(env: str, kind: FactoryKind, serial: str | None) -> str:
    """The subject of a message that was read: FACTORY's."""
    return f"factory.{env}.{kind.value}.{token(serial) if serial else '_'}"


def receipt_subject(env: str, command_id: str) -> str:
    """The subject on which ingest says that the broker has acknowledged a command."""
    return f"factory.{env}.{_SENT}.{token(command_id)}"


def is_receipt(subject: str) -> bool:
    """Whether a subject of FACTORY is one of `receipt_subject`: that of a message has five tokens, as kinds have a
    dot."""
    tokens = subject.split(".")
    return len(tokens) == 4 and tokens[2] == _SENT


def outbox_subject(lane: str, serial: str | None) -> str:
    """The subject of a message to the factory's broker; lanes are command, mock and replay."""
    return f"mqtt.factory.{lane}.{token(serial) if serial else '_'}"
