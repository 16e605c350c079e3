"""The differences between two JSON values, path by path; pure."""

from collections.abc import Iterator, Sequence
from itertools import islice, zip_longest
from typing import Any, NamedTuple

from kaiser_common.contract.schemas.api.messages import MessageChange

MOST_CHANGES = 500
_DEEPEST = 50
"""Deeper values are compared as wholes."""
_IDENTITIES = ("id", "serialNumber", "orderId", "location")
"""A list of objects that all have one of these, each another value, is compared by it; other lists by place."""


class _Nothing(NamedTuple):
    """Stands for a value that is not there."""


_NOTHING = _Nothing()


def differences(old: Any, new: Any) -> tuple[list[MessageChange], bool]:
    """The first 500 differences, and whether these are all."""
    found = list(islice(_changes("", old, new, 0), MOST_CHANGES + 1))
    return found[:MOST_CHANGES], len(found) <= MOST_CHANGES


def _changes(path: str, old: Any, new: Any, depth: int) -> Iterator[MessageChange]:
    if old is _NOTHING:
        yield MessageChange(path=path or "$", op="add", new=new)
    elif new is _NOTHING:
        yield MessageChange(path=path or "$", op="remove", old=old)
    elif depth < _DEEPEST and isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            below = f"{path}.{name}" if path else name
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
                below = f"{path}[{name}={key}]"
                yield from _changes(below, before.get(key, _NOTHING), after.get(key, _NOTHING), depth)
            return
    for place, (one, other) in enumerate(zip_longest(old, new, fillvalue=_NOTHING)):
        yield from _changes(f"{path}[{place}]", one, other, depth)


def _by_identity(items: Sequence[Any], name: str) -> dict[str, Any] | None:
    """Objects by their identity; None if one has none or two have the same."""
    found: dict[str, Any] = {}
    for item in items:
        key = item.get(name) if isinstance(item, dict) else None
        if not isinstance(key, str | int) or str(key) in found:
            return None
        found[str(key)] = item
    return found
