"""Refuses environment variables that begin with `KAISER_` and that no page of the documentation names.

Every setting is documented (tests/test_docs.py), so a name that is not there is misspelt and would be silently ignored.
A service cannot refuse one: all of them may share an environment, and none knows the settings of the others.
"""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

_NAME = re.compile(r"\bKAISER_[A-Z0-9_]*[A-Z0-9]\b")
_ALIKE = 0.8
_OF_TESTS = "KAISER_TEST_"
"""Variables of Kaiser's own tests, which start the stack too."""


class UnknownSetting(Exception):
    """A setting does not exist; the text has a line for each, with the one that looks like it."""


def documented(docs: Path) -> set[str]:
    """Every name in the pages of a folder; none where the folder is not there."""
    return {name for page in docs.glob("*.md") for name in _NAME.findall(page.read_text())}


def check(environment: Iterable[str], known: set[str]) -> None:
    """UnknownSetting if a name is none of `known`. Every name is right where no setting is known."""
    names = (name for name in environment if name.startswith("KAISER_") and not name.startswith(_OF_TESTS))
    unknown = sorted(set(names) - known) if known else []
    if unknown:
        raise UnknownSetting("\n".join(_advice(name, known) for name in unknown))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like `name`; None if none does."""
    return next(iter(difflib.get_close_matches(name, sorted(known), 1, _ALIKE)), None)


def _advice(name: str, known: set[str]) -> str:
    meant = nearest(name, known)
    return f"{name} is no setting: " + (f"did you mean {meant}?" if meant else "unset it; docs/operating.md lists them")
