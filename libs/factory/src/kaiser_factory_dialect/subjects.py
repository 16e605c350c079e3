"""NATS subjects of the factory: the one of each MQTT topic and back, and those of its kinds."""

import re
from collections.abc import Iterable
from itertools import combinations, zip_longest

from kaiser_factory_dialect.catalogue import FactoryKind

_EMPTY = "="
_ESCAPED = re.compile(rb"=([0-9A-F]{2})")
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_ENV = re.compile(r"[a-z0-9_-]{1,16}\Z")


def is_env(text: str) -> bool:
    """Whether a text may name an environment, which is a token of every subject."""
    return _ENV.match(text) is not None


def token(text: str) -> str:
    """A level of a topic, or a serial, as a token: other bytes than A-Z a-z 0-9 _ - are `=XX`; "" is `=`."""
    if not text:
        return _EMPTY
    octets = text.encode(errors="surrogatepass")
    return "".join(chr(octet) if octet in _PLAIN else f"={octet:02X}" for octet in octets)


def from_token(text: str) -> str:
    """The level that a token stands for. UnicodeDecodeError: it is no token of ours."""
    if text == _EMPTY:
        return ""
    return _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), text.encode()).decode(errors="surrogatepass")


def topic_subject(env: str, topic: str) -> str:
    """The subject under which TOPICS keeps the messages of an MQTT topic in an environment."""
    return ".".join(("topic", env, *map(token, topic.split("/"))))


def topic_of(subject: str) -> tuple[str, str]:
    """The environment and the MQTT topic of a subject of TOPICS. ValueError: it is none."""
    root, env, *tokens = subject.split(".")
    if root != "topic" or not tokens:
        raise ValueError(f"{subject!r} is no subject of TOPICS")
    return env, "/".join(map(from_token, tokens))


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

    NATS refuses filters that overlap (10138): covered ones are left out, and two that overlap otherwise (`a.*.c` and
    `a.b.*`) are replaced by the narrowest filter that covers both. So some messages may have to be dropped by
    `filters.matches`; none is missed.
    """
    patterns = {tuple(one.split(".")) for each in topic_filters for one in filter_subjects(env, each)}
    while (pair := next(filter(_overlap, combinations(sorted(patterns), 2)), None)) is not None:
        patterns -= set(pair)
        patterns.add(_covering(*pair))
    return tuple(".".join(one) for one in sorted(patterns))


def _overlap(pair: tuple[tuple[str, ...], tuple[str, ...]]) -> bool:
    """Whether some subject matches both patterns."""
    for left, right in zip_longest(*pair):
        if left is None or right is None:
            return False
        if ">" in {left, right}:
            return True
        if "*" not in {left, right} and left != right:
            return False
    return True


def _covering(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """The narrowest pattern that covers two that overlap."""
    common: list[str] = []
    for left, right in zip(one, other, strict=False):
        if ">" in {left, right}:
            return (*common, ">")
        common.append(left if left == right else "*")
    return tuple(common)


def factory_subject(env: str, kind: FactoryKind, serial: str | None) -> str:
    """The subject of a message that was read: FACTORY's."""
    return f"factory.{env}.{kind.value}.{token(serial) if serial else '_'}"


def receipt_subject(env: str, command_id: str) -> str:
    """The subject on which ingest says that the broker has acknowledged a command."""
    return f"factory.{env}.sent.{token(command_id)}"


def outbox_subject(lane: str, serial: str | None) -> str:
    """The subject of a message to the factory's broker; lanes are command, mock and replay."""
    return f"mqtt.factory.{lane}.{token(serial) if serial else '_'}"
