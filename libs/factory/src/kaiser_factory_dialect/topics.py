"""Parses MQTT topics of the factory into (kind, serial, source) and builds them again."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from kaiser_factory_dialect.catalogue import (
    DEFAULT_INTERFACES,
    OPEN_ROOTS,
    ROWS,
    ROWS_BY_LENGTH,
    VDA_VERSIONS,
    FactoryKind,
    StateSource,
    TopicRow,
)

MANUFACTURER = "ff"
LONGEST_TOPIC = 256
"""In characters; recordings of the factory have 60."""
_SERIAL = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")
_NO_SERIAL = "NodeRed"


@dataclass(frozen=True, slots=True)
class FactoryTopic:
    """A topic that is in the catalogue. serial: of a module or AGV, the number of a TXT, None where there is none.

    name: the last level, which distinguishes topics of one kind (`reset` of `ccu/set/reset`, `ldr` of a TXT's sensor).
    version: `v1`, `v2`, `v3` of a VDA 5050 interface, else None. is_well_formed: the serial, if there is one, is
    one. kind, source and limit are the row's.
    """

    row: TopicRow
    kind: FactoryKind
    source: StateSource
    limit: int
    serial: str | None = None
    name: str = ""
    version: str | None = None
    is_well_formed: bool = True


def is_serial(text: str) -> bool:
    """Whether a text may be the serial of a module, an AGV or a TXT."""
    return _SERIAL.match(text) is not None and text != _NO_SERIAL


def ends_connection(topic: str) -> bool:
    """Whether NATS, as the sandbox broker, hangs up on a client that publishes to this topic."""
    return " " in topic or not {"*", ">"}.isdisjoint(topic.split("/"))


def parse(topic: str, interfaces: Iterable[str] = DEFAULT_INTERFACES) -> FactoryTopic | None:
    """The catalogue's row for a topic and what the topic names; None for a topic that is not in the catalogue.

    A topic longer than LONGEST_TOPIC is in no catalogue: its manufacturer's level would be kept with each message.
    """
    if len(topic) > LONGEST_TOPIC:
        return None
    interfaces = tuple(interfaces)
    return _cached(topic, interfaces) if len(topic) <= _LONGEST_CACHED else _parse(topic, interfaces)


def _parse(topic: str, interfaces: tuple[str, ...]) -> FactoryTopic | None:
    levels = topic.split("/")
    if (row := OPEN_ROOTS.get(levels[0])) is not None:
        return _topic_of(row)
    for template, row in ROWS_BY_LENGTH.get(len(levels), ()):
        if (found := _match(template, levels, interfaces)) is not None:
            return _topic_of(row, found.get("{s}") or found.get("{n}"), levels[-1], found.get("{v}"))
    return None


def _topic_of(row: TopicRow, serial: str | None = None, name: str = "", version: str | None = None) -> FactoryTopic:
    is_well_formed = serial is None or is_serial(serial)
    return FactoryTopic(row, row.kind, row.source, row.limit, serial, name, version, is_well_formed)


_LONGEST_CACHED = 128
_cached = lru_cache(maxsize=16_384)(_parse)
"""A factory repeats its topics; long ones, of which there may be any number, are not cached."""


def _match(template: tuple[str, ...], levels: list[str], interfaces: tuple[str, ...]) -> dict[str, str] | None:
    """The value of each variable, or None if the topic does not match."""
    found: dict[str, str] = {}
    for expected, level in zip(template, levels, strict=True):
        if not expected.startswith("{"):
            if expected != level:
                return None
        elif (expected == "{i}" and level not in interfaces) or (expected == "{v}" and level not in VDA_VERSIONS):
            return None
        else:
            found[expected] = level
    return found


def build(
    kind: FactoryKind,
    serial: str = "",
    *,
    name: str = "",
    source: StateSource = "device",
    root: tuple[str, str] = (DEFAULT_INTERFACES[0], VDA_VERSIONS[1]),
    manufacturer: str = MANUFACTURER,
) -> str:
    """The topic of a kind. name: which one where a kind has several; root: interface and version of a VDA vehicle.

    ValueError: the catalogue has no such topic, or the serial cannot be one.
    """
    if serial and not is_serial(serial):
        raise ValueError(f"{serial!r} is not a serial")
    for row in ROWS:
        if row.kind is kind and row.source == source and (not name or row.template.rsplit("/", 1)[-1] == name):
            filled = {"{s}": serial, "{n}": serial, "{m}": manufacturer, "{i}": root[0], "{v}": root[1]}
            levels = [filled.get(level, level) for level in row.template.split("/")]
            if ("{s}" in row.template or "{n}" in row.template) == bool(serial):
                return "/".join(levels)
    raise ValueError(f"the catalogue has no topic of kind {kind} with source {source!r}, name {name!r}, {serial!r}")
