"""Finds environment variables that begin with `KAISER_` and that no page of the documentation names.

Every setting is documented (tests/test_docs.py), so a name that is not there is misspelt and would be silently ignored.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

_NAME = re.compile(r"\bKAISER_[A-Z0-9_]*[A-Z0-9]\b")
_ALIKE = 0.8


def documented(docs: Path) -> set[str]:
    """Every name in the pages of a folder; none where the folder is not there."""
    return {name for page in docs.glob("*.md") for name in _NAME.findall(page.read_text())}


def notices(environment: Iterable[str], known: set[str]) -> Iterator[str]:
    """A sentence for each unknown name, with the setting that looks like it. Nothing where no setting is known."""
    for name in sorted(environment) if known else ():
        if name.startswith("KAISER_") and name not in known:
            meant = nearest(name, known)
            hint = f"did you mean {meant}?" if meant else "docs/operating.md lists them"
            yield f"{name} is no setting and is ignored: {hint}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like `name`; None if none does."""
    return next(iter(difflib.get_close_matches(name, sorted(known), 1, _ALIKE)), None)
