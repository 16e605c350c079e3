"""Times of the console: in the site's zone, named, whatever zone the machine has."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console_module import called, node

pytestmark = pytest.mark.servers  # they start node

NOON = 1_767_268_800_000  # 2026-01-01T12:00:00Z


@pytest.fixture
def ask(missing: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """`ask([function, *arguments], …)` of core/times.js."""
    if node() is None:
        missing("node", "node is not installed")
    return lambda *calls: called("times.js", [list(call) for call in calls], tmp_path)


@pytest.mark.parametrize(
    ("zone", "shown", "field"),
    [
        ("Asia/Tokyo", "1 Jan 2026, 21:00:00 GMT+9", "2026-01-01T21:00:00"),
        ("America/New_York", "1 Jan 2026, 07:00:00 GMT-5", "2026-01-01T07:00:00"),
        ("Europe/Berlin", "1 Jan 2026, 13:00:00 CET", "2026-01-01T13:00:00"),
        ("UTC", "1 Jan 2026, 12:00:00 UTC", "2026-01-01T12:00:00"),
    ],
)
def test_a_time_is_shown_in_the_zone_and_read_back_from_a_field(ask, zone, shown, field):
    calls = [
        ["openTimes", zone],
        ["zoneName"],
        ["dateTime", NOON],
        ["toField", NOON + 999],
        ["ofField", field],
        ["utc", NOON],
        ["axisTime", NOON / 1000, 60],
    ]
    assert ask(*calls)[1:] == [zone, shown, field, NOON, "2026-01-01T12:00:00Z", field[11:16]]


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-07-01T00:00:00", 1_782_856_800_000),  # summer: 22:00Z
        ("2026-03-29T02:30:00", 1_774_747_800_000),  # skipped by the clock: 01:30Z, shown as 03:30
        ("2026-03-29T03:00:00", 1_774_746_000_000),
        ("2026-10-25T12:00:00", 1_792_926_000_000),
        ("2026-07-01T00:00", 1_782_856_800_000),
    ],
)
def test_a_field_is_read_in_the_zone_also_on_the_days_when_the_clock_changes(ask, text, ms):
    assert ask(["openTimes", "Europe/Berlin"], ["ofField", text])[1] == ms


def test_an_empty_field_is_no_time(ask):
    assert ask(["openTimes", "Europe/Berlin"], ["ofField", ""])[1] is None  # NaN in JSON
