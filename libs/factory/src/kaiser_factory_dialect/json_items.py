"""Reads a JSON array item by item, without the whole file in memory."""

import codecs
import json
from collections.abc import Iterable, Iterator
from typing import Any

LONGEST = 16 * 1024 * 1024
"""Characters of one item. A picture has 0.8 million."""
_SPACE = " \t\r\n"
_ENDS = frozenset({*_SPACE, ",", "]"})
"""Characters that end an item; before them, `1` may still become `1.5`."""


def items_of(parts: Iterable[bytes]) -> Iterator[Any]:
    """The items of an array, or the one value that the file is.

    ValueError: no JSON from here on, or an item of more than LONGEST characters; items before it have been given.
    """
    text = _Text(parts)
    if text.peek() != "[":
        yield text.value()
        text.end()
        return
    text.take()
    if text.peek() == "]":
        text.take()
        text.end()
        return
    while True:
        yield text.value()
        match text.take():
            case ",":
                continue
            case "]":
                text.end()
                return
            case other:
                raise ValueError(f"not JSON: {other or 'the end'} where , or ] is expected")


class _Text:
    """A text of which only what is not read yet is kept."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = iter(parts)
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder()
        self._text = ""
        self._at = 0
        self._is_whole = False

    def peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self) -> str:
        """The same, read."""
        found = self.peek()
        self._at += len(found)
        return found

    def value(self) -> Any:
        """The next value. It is whole once something follows that may."""
        self.peek()
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except (json.JSONDecodeError, RecursionError) as error:
                if not self._twice():
                    raise ValueError(f"not JSON: {error}") from error
                continue
            if self._text[end : end + 1] in _ENDS or not self._more():
                self._at = end
                return value

    def end(self) -> None:
        """ValueError: something follows."""
        if self.peek():
            raise ValueError("not JSON: text follows the end")

    def _twice(self) -> bool:
        """Read as much again as there is of a value that is cut, so that it is not looked at for each part."""
        wanted = 2 * (len(self._text) - self._at)
        found = self._more()
        while len(self._text) < wanted and self._more():
            continue
        return found

    def _more(self) -> bool:
        """Read on. ValueError: an item is too long."""
        if len(self._text) - self._at > LONGEST:
            raise ValueError(f"an item has more than {LONGEST} characters")
        if self._is_whole:
            return False
        part = next(self._parts, b"")
        self._is_whole = not part
        try:
            more = self._decode.decode(part, final=not part)
        except UnicodeDecodeError as error:
            raise ValueError(f"not JSON: {error}") from error
        self._text, self._at = self._text[self._at :] + more, 0
        return True
