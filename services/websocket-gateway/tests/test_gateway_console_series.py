"""The content of a chart, as a table of cases: gaps, bands, captions, ranges and gestures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console_module import called, node

pytestmark = pytest.mark.servers  # they start node


@pytest.fixture
def ask(missing: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """`ask(function, *arguments)` of core/series.js."""
    if node() is None:
        missing("node", "node is not installed")
    return lambda *call: called("series.js", [list(call)], tmp_path)[0]


def point(
    ts: int, mean: float, low: float | None = None, high: float | None = None, count: int = 1, last: float | None = None
) -> dict[str, Any]:
    return {"ts": ts, "mean": mean, "min": mean if low is None else low, "max": mean if high is None else high,
            "count": count, "last": mean if last is None else last, "lastTs": ts}  # fmt: skip


@pytest.mark.parametrize(
    ("times", "interval_ms", "bucket_ms", "means"),
    [
        ([0, 2000, 4000], 2000, 0, [1, 1, 1]),
        ([0, 2000, 8000], 2000, 0, [1, 1, 1]),  # exactly three intervals are no gap
        ([0, 2000, 8001], 2000, 0, [1, 1, None, 1]),
        ([0, 2000, 4000, 180_000, 182_000], None, 0, [1, 1, 1, None, 1, 1]),  # by the usual time between points
        ([0, 60_000], None, 0, [1, 1]),  # two points say nothing of what is usual
        ([0, 600_000, 1_200_000], 600_000, 120_000, [1, 1, 1]),  # a slow sensor in narrow buckets
        ([0, 120_000, 360_000], 2000, 120_000, [1, 1, None, 1]),  # an empty bucket of a fast one
        ([5000], 2000, 0, [1]),
        ([], 2000, 0, []),
    ],
)
def test_a_line_breaks_where_nothing_came_for_three_intervals(ask, times, interval_ms, bucket_ms, means):
    columns = ask("columnsOf", [point(ts, 1) for ts in times], interval_ms, bucket_ms)
    assert columns[1] == means
    assert [len(column) for column in columns] == [len(means)] * 4
    assert columns[0] == sorted(columns[0])


def test_the_caption_tells_the_lowest_highest_and_last_value_that_came_and_not_those_of_means(ask):
    points = ask("ofBuckets", [
        {"ts": 0, "count": 60, "avg": 56.8, "min": 40.0, "max": 70.0, "last": 56.0},
        {"ts": 60_000, "count": 0, "avg": None, "min": None, "max": None, "last": None},
        {"ts": 120_000, "count": 60, "avg": 56.9, "min": 56.0, "max": 57.0, "last": 57.0},
    ])  # fmt: skip
    assert ask("extremes", points) == {"lowest": 40, "highest": 70, "last": 57, "count": 2}
    assert ask("columnsOf", points, 1000, 60_000)[2:] == [[40, None, 56], [70, None, 57]]
    assert ask("extremes", []) is None


@pytest.mark.parametrize(
    ("live", "last"),
    [
        ([], 9),
        ([point(61_000, 20.0), point(62_000, 30.0)], 30),
        ([point(62_000, 30.0), point(61_000, 20.0)], 30),  # a device that sends an older reading later
        ([point(62_000, 30.0), point(121_000, 40.0), point(122_000, 50.0)], 50),
    ],
)
def test_the_last_value_of_a_caption_is_that_of_the_newest_reading_in_the_bucket(ask, live, last):
    stored = ask("ofBuckets", [{"ts": 60_000, "count": 3, "avg": 10.0, "min": 8.0, "max": 12.0, "last": 9.0}])
    assert ask("extremes", ask("withLive", stored, live, 60_000))["last"] == last


def test_a_figure_with_a_gap_on_either_side_is_drawn_as_a_point(ask):
    assert ask("alone", [1]) == [0]
    assert ask("alone", [1, 2, None, 3, None, 4, 5]) == [3]
    assert ask("alone", [None]) == []


def test_live_readings_go_behind_the_stored_ones_or_into_their_bucket(ask):
    raw = [point(1000, 1.0)]
    newer = [point(1000, 9.0), point(3000, 2.0), point(2000, 9.0)]
    assert [(one["ts"], one["mean"]) for one in ask("withLive", raw, newer, 0)] == [(1000, 1), (3000, 2)]
    buckets = [point(60_000, 10.0, 8.0, 12.0, 3)]
    found = ask("withLive", buckets, [point(119_000, 18.0), point(121_000, 5.0)], 60_000)
    assert [(one["ts"], one["mean"], one["min"], one["max"], one["count"]) for one in found] == [
        (60_000, 12, 8, 18, 4),
        (120_000, 5, 5, 5, 1),
    ]
    assert ask("ofReadings", [{"ts": 1, "value": 3.0, "quality": "stale"}, {"ts": 2, "value": None, "raw": None}]) == []


NOW = 1_000_000


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (["edges", {"spanMs": 10, "toMs": None}, NOW], [NOW - 10, NOW]),
        (["edges", {"spanMs": 10, "toMs": 50}, NOW], [40, 50]),
        (["rangeOf", 9000, 4000, NOW], {"spanMs": 5000, "toMs": 9000}),
        (["rangeOf", 4000, NOW + 5, NOW], {"spanMs": NOW + 5 - 4000, "toMs": None}),
        (["rangeOf", 4000, 4001, NOW], {"spanMs": 1000, "toMs": 4001}),
        (["moved", {"spanMs": 100_000, "toMs": None}, -0.5, NOW], {"spanMs": 100_000, "toMs": 950_000}),
        (["moved", {"spanMs": 100_000, "toMs": 980_000}, 0.5, NOW], {"spanMs": 100_000, "toMs": None}),
        (["scaled", {"spanMs": 1500, "toMs": None}, 0.5], {"spanMs": 1000, "toMs": None}),
        (["gestured", [0, 1000], [0.5], [0.75]], [-250, 750]),  # one finger to the right: earlier
        (["gestured", [0, 1000], [0.25, 0.75], [0, 1]], [250, 750]),  # two apart: closer
        (["gestured", [0, 1000], [0.25, 0.75], [0.9, 0.1]], [0, 1000]),  # crossed: nothing
    ],
)
def test_a_range_is_chosen_moved_and_stretched(ask, call, expected):
    assert ask(*call) == expected
