"""The text of the page Audit about an entry, as a table of cases."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console_module import called, node

pytestmark = pytest.mark.servers  # they start node


@pytest.fixture
def ask(missing: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """`ask(calls)` of core/audit.js."""
    if node() is None:
        missing("node", "node is not installed")
    return lambda *calls: called("audit.js", [list(call) for call in calls], tmp_path)


def test_the_code_of_a_refusal_stands_at_its_end(ask):
    assert ask(
        ("codeIn", "no such zone (5001)"), ("codeIn", "gpio (25) is off"), ("codeIn", "wrong password"), ("codeIn", "")
    ) == ["5001", None, None, None]


def test_the_fields_that_differ_are_named_with_both_values(ask):
    before = {"name": "Bed", "calibration": {"offset": 0, "scale": 1}, "points": [1, 2], "gone": True}
    after = {"name": "Bed 1", "calibration": {"offset": 1.5, "scale": 1}, "points": [1, 2], "new": None}
    changed, made, same, short, long, nothing, query, action = ask(
        ("differences", before, after),
        ("differences", None, {"name": "Bed"}),
        ("differences", before, before),
        ("inShort", {"before": {"a": 1}, "after": {"a": 2, "b": [1]}}),
        ("inShort", {"before": {"a": 1, "b": 1, "c": 1, "d": 1}}),
        ("inShort", {"before": None, "after": None}),
        ("queryOf", {"time": "week", "actor": "ada"}, 1_000_000_000),
        ("actionOf", "set_limits"),
    )
    assert changed == [
        {"name": "name", "before": "Bed", "after": "Bed 1"},
        {"name": "calibration.offset", "before": 0, "after": 1.5},
        {"name": "gone", "before": True},
        {"name": "new", "after": None},
    ]
    assert (made, same) == ([{"name": "name", "after": "Bed"}], [])
    assert (short, nothing) == ("a 1 → 2, b – → [1]", "")
    assert long == "a 1 → –, b 1 → –, c 1 → –, and 1 more"
    assert query == {"actor": "ada", "from_ms": 1_000_000_000 - 7 * 86_400_000}
    assert action == "set limits"
