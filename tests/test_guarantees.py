"""docs/guarantees.md names tests that exist, and each row of its tables names one."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "guarantees.md").read_text()


def defined() -> set[str]:
    """The names of all tests."""
    folders = [ROOT / "tests", *ROOT.glob("services/*/tests"), *ROOT.glob("libs/*/tests")]
    return {
        name
        for folder in folders
        for path in folder.rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }


def test_every_test_that_is_named_exists():
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert len(named) > 15
    assert named - defined() == set()


def test_every_promise_names_what_shows_it():
    rows = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| promise")]
    assert [row for row in rows if "`test_" not in row and "all of the above" not in row] == []
