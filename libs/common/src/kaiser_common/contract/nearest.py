"""The known name that looks most like another one; imports the standard library alone."""

import difflib
from collections.abc import Iterable

_ALIKE = 0.7


def nearest(name: str, known: Iterable[str], alike: float = _ALIKE) -> str | None:
    """The known name that looks most like `name`; None if none does. alike: how much it must, of 1."""
    return next(iter(difflib.get_close_matches(name, sorted(known), 1, alike)), None)
