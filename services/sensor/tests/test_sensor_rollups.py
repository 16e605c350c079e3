"""The rollups that new readings make out of date, and the rollup that answers; pure."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_sensor.domain.rollups import (
    EPOCH,
    HOUR,
    MINUTE,
    RollupProgress,
    Span,
    answers,
    ceiling,
    floor,
    from_readings,
    merged,
    sliced,
    touched,
    widened,
)

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
MINUTES = timedelta(minutes=1)


def row(minute: float, esp_id: str = "TEST_A") -> tuple:
    return (NOON + minute * MINUTES, esp_id, 4, "ph", None, None, 1.0, "pH", "good", "device", "TEST", "device", "")


def span(start: int, end: int, esp_id: str | None = None) -> Span:
    return Span(NOON + start * MINUTES, NOON + end * MINUTES, esp_id)


@pytest.mark.parametrize(
    ("bucket_s", "rollup"),
    [(1, None), (59, None), (60, MINUTE), (90, None), (300, MINUTE), (3600, HOUR), (5400, MINUTE), (86_400, HOUR)],
)
def test_the_coarsest_rollup_answers_of_which_the_buckets_can_be_made(bucket_s, rollup):
    assert answers(bucket_s) is rollup


def test_a_batch_that_just_came_touches_its_minutes():
    assert touched([row(0.1), row(0.9), row(1.5, "TEST_B")]) == [span(0, 1), span(1, 2)]


def test_a_backlog_touches_one_span_of_its_device_beside_the_busiest_minutes():
    new = [row(1000 + minute, f"TEST_{device}") for minute in range(4) for device in range(9)]
    backlog = [row(minute, "TEST_LATE") for minute in (5, 300, 17)]
    assert touched(new + backlog) == [
        *(span(minute, minute + 1) for minute in range(1000, 1004)),
        span(5, 301, "TEST_LATE"),
    ]


ROWS = st.lists(
    st.builds(row, st.floats(-10_000, 10_000), st.sampled_from(["TEST_A", "TEST_B", "TEST_C"])), min_size=1, max_size=60
)
SPANS = st.lists(
    st.builds(
        lambda start, length, esp_id: span(start, start + length, esp_id),
        st.integers(0, 200),
        st.integers(1, 50),
        st.sampled_from([None, "TEST_A", "TEST_B"]),
    ),
    max_size=30,
)


def covers(spans: list[Span], at: datetime, esp_id: str) -> bool:
    return any(one.from_at <= at < one.to_at and one.esp_id in (None, esp_id) for one in spans)


@given(ROWS)
def test_every_reading_lies_in_what_its_batch_touches(rows):
    spans = touched(rows)
    assert all(covers(spans, one[0], one[1]) for one in rows)
    assert len(spans) <= 4 + 3


@given(SPANS)
def test_merging_keeps_the_time_and_no_device_twice(spans):
    result = merged(spans)
    for minute in range(260):
        at = NOON + minute * MINUTES
        for esp_id in ("TEST_A", "TEST_B", "TEST_OTHER"):
            assert covers(result, at, esp_id) == covers(spans, at, esp_id)
        for esp_id in (None, "TEST_A", "TEST_B"):
            assert sum(one.esp_id == esp_id and one.from_at <= at < one.to_at for one in result) <= 1


@given(SPANS)
def test_slices_are_the_span_in_parts_that_are_short_enough(spans):
    for one in spans:
        parts = sliced(one, timedelta(minutes=7))
        assert (parts[0].from_at, parts[-1].to_at) == (one.from_at, one.to_at)
        assert all(left.to_at == right.from_at for left, right in pairwise(parts))
        assert all(part.to_at - part.from_at <= timedelta(minutes=7) for part in parts)


@given(st.floats(-1e9, 3e9), st.sampled_from([1, 60, 3600]))
def test_a_time_lies_between_the_bounds_of_its_bucket(at_s, seconds):
    at, width = EPOCH + timedelta(seconds=at_s), timedelta(seconds=seconds)
    assert floor(at, width) <= at <= ceiling(at, width) <= floor(at, width) + width
    assert widened(Span(at, at + width), width).from_at == floor(at, width)


@given(st.sampled_from([MINUTE, HOUR]), st.integers(-100, 300), SPANS, st.integers(0, 5))
def test_the_readings_tell_exactly_what_a_rollup_has_not(rollup, complete_to, waiting, hours):
    asked = widened(span(60, 60 + 60 * hours + 1), HOUR.width)
    progress = RollupProgress(floor(NOON + complete_to * MINUTES, rollup.width), waiting)
    parts = from_readings(asked, rollup, progress)
    assert all(asked.from_at <= part.from_at < part.to_at <= asked.to_at for part in parts)
    buckets = [widened(one, rollup.width) for one in waiting]
    for number in range((asked.to_at - asked.from_at) // MINUTES):
        at = asked.from_at + number * MINUTES
        missing = at >= progress.complete_to or any(one.from_at <= at < one.to_at for one in buckets)
        assert any(part.from_at <= at < part.to_at for part in parts) == missing


def test_very_many_late_minutes_are_read_as_one():
    waiting = [span(minute, minute + 1) for minute in range(0, 200, 2)]
    assert from_readings(span(0, 1440), MINUTE, RollupProgress(NOON + 1440 * MINUTES, waiting)) == [span(0, 199)]
