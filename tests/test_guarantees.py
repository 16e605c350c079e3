"""docs/guarantees.md names tests that exist, and each row of its tables names one."""

import re
from pathlib import Path

from promises import promises

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
    rows = [
        line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith(("| promise", "| attack"))
    ]
    assert [row for row in rows if "`test_" not in row and "all of the above" not in row] == []


def test_a_run_can_say_which_promise_a_test_shows():
    page = "| A | `test_a`, `test_b` |\n| … also when killed, | `test_c` |\n| B | all of the above |\nsee `test_d`\n"
    assert promises(page) == [
        ("A", {"test_a", "test_b"}),
        ("A … also when killed,", {"test_c"}),
        ("see `test_d`", {"test_d"}),
    ]
    shown = {test for _, tests in promises(TEXT) for test in tests}
    assert shown == set(re.findall(r"`(test_\w+)`", TEXT))
