"""Docstrings open as plain English does: with the thing itself, or with what a function does (a verb)."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [
    path
    for pattern in ("services/*/*/**/*.py", "libs/*/*/**/*.py", "tools/*/*/**/*.py", "bench/*.py", "tests/**/*.py")
    for path in sorted(ROOT.glob(pattern))
    if "vendor" not in path.parts
]
INVERTED = re.compile(r'"""\s*(?:What|Whatever|Who|Whoever|Whom|Whose)\b')


def test_no_docstring_opens_with_an_inverted_clause():
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if path != Path(__file__) and INVERTED.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("line", "is_inverted"),
    [
        ('    """What rules did, newest first."""', True),
        ('"""Who asks; empty without a token."""', True),
        ('"""Executions of rules, newest first."""', False),
        ('"""Whether a request is let in."""', False),
    ],
)
def test_an_inverted_opening_is_seen(line: str, is_inverted: bool):
    assert bool(INVERTED.search(line)) == is_inverted
