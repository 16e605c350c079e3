"""Finds what the console's JavaScript shows to people: words of its templates, and of strings that are shown."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

ATTRIBUTES = (
    "label",
    "title",
    "hint",
    "submit",
    "empty",
    "aria-label",
    "placeholder",
    "words",
    "alt",
    "data-label",
    "legend",
    "zero",
    "none",
)
"""Attributes of elements and components whose text is read by people."""

_WORD = re.compile(r"[^\W\d_]{2,}")
_CHOICE = re.compile(r"(?:[?:]|\|\|)\s*$")
"""The end of code before a text that an expression chooses: `isOn ? "on" : "off"`, `name ?? "none"`."""
_ATTRIBUTE = re.compile(r"(?<=\s)([\w-]+)=$")


@dataclass(frozen=True, slots=True)
class Shown:
    """A text of a template, with its place in the source. holes: the expressions in it, as source."""

    start: int
    end: int
    kind: Literal["run", "attribute", "string"]
    parts: tuple[str, ...]
    holes: tuple[str, ...]

    @property
    def text(self) -> str:
        """The text with {0}, {1}… in place of expressions."""
        found = self.parts[0]
        for number, part in enumerate(self.parts[1:]):
            found += f"{{{number}}}{part}"
        return found


def shown_in(source: str) -> list[Shown]:
    """Every text of a file, in order, without those that have no word."""
    return [one for one in _code(source, 0, len(source)) if any(_WORD.search(part) for part in one.parts)]


def _code(source: str, at: int, end: int) -> Iterator[Shown]:
    """Texts of code."""
    while at < end:
        letter = source[at]
        if source.startswith("//", at) and (at == 0 or source[at - 1] != ":"):
            at = source.find("\n", at) % (end + 1) if source.find("\n", at) != -1 else end
        elif source.startswith("/*", at):
            at = source.index("*/", at) + 2
        elif letter in "\"'":
            close = _end_of_string(source, at)
            yield Shown(at, close, "string", (source[at + 1 : close - 1],), ())
            at = close
        elif letter == "`":
            close, parts, holes = _template(source, at)
            if source[max(0, at - 4) : at] == "html":
                yield from _markup(source, parts, holes)
            else:
                yield Shown(
                    at, close, "string", tuple(source[a:b] for a, b in parts), tuple(source[a:b] for a, b in holes)
                )
                for a, b in holes:
                    yield from _code(source, a, b)
            at = close
        elif letter == "/" and re.search(r"(?:[(,=:\[!&|?{};>]|return)\s*$", source[max(0, at - 20) : at]):
            at = _end_of_regex(source, at)
        else:
            at += 1


def _end_of_string(source: str, at: int) -> int:
    quote, at = source[at], at + 1
    while source[at] != quote:
        at += 2 if source[at] == "\\" else 1
    return at + 1


def _end_of_regex(source: str, at: int) -> int:
    at, in_class = at + 1, False
    while source[at] != "/" or in_class:
        if source[at] == "\\":
            at += 1
        elif source[at] == "[":
            in_class = True
        elif source[at] == "]":
            in_class = False
        at += 1
    return at + 1


Spans = list[tuple[int, int]]


def _template(source: str, at: int) -> tuple[int, Spans, Spans]:
    """The end of a template literal, its literal parts and its expressions."""
    at += 1
    parts, holes, begin = [], [], at
    while source[at] != "`":
        if source[at] == "\\":
            at += 2
        elif source.startswith("${", at):
            parts.append((begin, at))
            close = _end_of_hole(source, at + 2)
            holes.append((at + 2, close))
            at = begin = close + 1
        else:
            at += 1
    parts.append((begin, at))
    return at + 1, parts, holes


def _end_of_hole(source: str, at: int) -> int:
    depth = 0
    while depth or source[at] != "}":
        letter = source[at]
        if letter in "\"'":
            at = _end_of_string(source, at)
            continue
        if letter == "`":
            at = _template(source, at)[0]
            continue
        if letter == "/" and re.search(r"(?:[(,=:\[!&|?{};>]|return)\s*$", source[max(0, at - 20) : at]):
            at = _end_of_regex(source, at)
            continue
        depth += {"{": 1, "}": -1}.get(letter, 0)
        at += 1
    return at


def _markup(source: str, parts: Spans, holes: Spans) -> Iterator[Shown]:
    """Runs of text between tags, and attributes with text."""
    in_tag, quote = False, ""
    run: list[tuple[int, int]] = []
    between: list[tuple[int, int]] = []
    begin = parts[0][0]
    attribute_begin = -1

    def ended(stop: int) -> Iterator[Shown]:
        nonlocal run, between
        spans = [*run, (begin, stop)]
        yield Shown(
            spans[0][0], stop, "run", tuple(source[a:b] for a, b in spans), tuple(source[a:b] for a, b in between)
        )
        run, between = [], []

    for number, (first, end) in enumerate(parts):
        at = first
        if number:
            if not in_tag:
                run.append((begin, parts[number - 1][1]))
                between.append(holes[number - 1])
                begin = at
            hole, close = holes[number - 1]
            for one in _code(source, hole, close):
                ends = not in_tag and not source[one.end : close].strip()
                yield replace(one, kind="run") if ends and _CHOICE.search(source[hole : one.start]) else one
        while at < end:
            letter = source[at]
            if quote:
                if letter == quote:
                    name = _ATTRIBUTE.search(source[:attribute_begin])
                    if name and name[1] in ATTRIBUTES and parts[number][0] <= attribute_begin:
                        text = source[attribute_begin + 1 : at]
                        yield Shown(attribute_begin, at + 1, "attribute", (text,), ())
                    quote = ""
            elif in_tag and letter in "\"'":
                quote, attribute_begin = letter, at
            elif in_tag and letter == ">":
                in_tag, begin = False, at + 1
            elif not in_tag and letter == "<":
                yield from ended(at)
                in_tag = True
            at += 1
    if not in_tag:
        yield from ended(parts[-1][1])
