"""The differences between two JSON values, path by path; pure."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import msgspec
from kaiser_common.contract.schemas.api.messages import MessageChange

MOST_CHANGES = 500
MOST_BYTES = 512 * 1024
"""Of all differences together."""
_DEEPEST = 50
"""Deeper values are compared as wholes."""
_LONGEST_PATH, _LONGEST_VALUE = 500, 16_384
_NESTED_DEEP = 100
"""A value that nests deeper is shown as text: encoders of JSON have a limit, at 255 levels."""
_IDENTITIES = ("id", "serialNumber", "orderId", "location")
"""A list of objects that all have one of these, each another value, is compared by it; other lists by place."""


class _Nothing(NamedTuple):
    """Stands for a value that is not there."""


_NOTHING = _Nothing()


def differences(old: Any, new: Any) -> tuple[list[MessageChange], bool]:
    """The first 500 differences, fewer if they are long, and whether these are all."""
    found: list[MessageChange] = []
    left = MOST_BYTES
    for change in _changes("", old, new, 0):
        shown, size = _shown(change)
        left -= size
        if len(found) == MOST_CHANGES or left < 0:
            return found, False
        found.append(shown)
    return found, True


def _shown(change: MessageChange) -> tuple[MessageChange, int]:
    """A difference as it is shown, and its size: a value that is long or nests deep is shown as the begin of its
    text."""
    (old, of_old), (new, of_new) = _short(change.old), _short(change.new)
    shown = change.model_copy(update={"old": old, "new": new})
    return shown, len(change.path) + of_old + of_new


def _short(value: Any) -> tuple[Any, int]:
    try:
        text = msgspec.json.encode(value)
    except RecursionError:
        return "…", 1
    if len(text) <= _LONGEST_VALUE and text.count(b"[") + text.count(b"{") <= _NESTED_DEEP:
        return value, len(text)
    begin = text[:_LONGEST_VALUE].decode(errors="ignore")
    return f"{begin}…" if len(text) > _LONGEST_VALUE else begin, len(begin)


def _changes(path: str, old: Any, new: Any, depth: int) -> Iterator[MessageChange]:
    if old is _NOTHING:
        yield MessageChange(path=path or "$", op="add", new=new)
    elif new is _NOTHING:
        yield MessageChange(path=path or "$", op="remove", old=old)
    elif depth < _DEEPEST and isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            below = _path(f"{path}.{name}" if path else name)
            yield from _changes(below, old.get(name, _NOTHING), new.get(name, _NOTHING), depth + 1)
    elif depth < _DEEPEST and isinstance(old, list) and isinstance(new, list):
        yield from _of_lists(path, old, new, depth + 1)
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield MessageChange(path=path or "$", op="change", old=old, new=new)


def _of_lists(path: str, old: Sequence[Any], new: Sequence[Any], depth: int) -> Iterator[MessageChange]:
    for name in _IDENTITIES:
        before, after = _by_identity(old, name), _by_identity(new, name)
        if before is not None and after is not None:
            for key in [*before, *(key for key in after if key not in before)]:
                below = _path(f"{path}[{name}={key}]")
                yield from _changes(below, before.get(key, _NOTHING), after.get(key, _NOTHING), depth)
            return
    for place, (one, other) in enumerate(zip_longest(old, new, fillvalue=_NOTHING)):
        yield from _changes(_path(f"{path}[{place}]"), one, other, depth)


def _path(text: str) -> str:
    return text if len(text) <= _LONGEST_PATH else f"{text[:_LONGEST_PATH]}…"


def _by_identity(items: Sequence[Any], name: str) -> dict[str, Any] | None:
    """Objects by their identity; None if one has none or two have the same."""
    found: dict[str, Any] = {}
    for item in items:
        key = item.get(name) if isinstance(item, dict) else None
        if not isinstance(key, str | int) or str(key) in found:
            return None
        found[str(key)] = item
    return found
