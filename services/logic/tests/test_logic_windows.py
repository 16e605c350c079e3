"""Time windows: across midnight, by weekday, in any time zone, and when clocks are changed."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kaiser_common.contract.schemas.api.rules import TimeWindow
from kaiser_logic.domain.windows import contains, look_again_at
from pydantic import ValidationError


def window(start: str, end: str, days: list[int] | None = None, zone: str = "UTC") -> TimeWindow:
    return TimeWindow(type="time_window", start=start, end=end, days_of_week=days, timezone=zone)


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("start", "end", "days", "zone", "at", "open_"),
    [
        ("06:00", "20:00", None, "UTC", "2026-01-05T05:59:59.999Z", False),
        ("06:00", "20:00", None, "UTC", "2026-01-05T06:00:00Z", True),
        ("06:00", "20:00", None, "UTC", "2026-01-05T19:59:59.999Z", True),
        ("06:00", "20:00", None, "UTC", "2026-01-05T20:00:00Z", False),
        ("00:00", "24:00", None, "UTC", "2026-01-05T00:00:00Z", True),
        ("00:00", "24:00", None, "UTC", "2026-01-05T23:59:59Z", True),
        ("00:00", "24:00", [0], "UTC", "2026-01-06T00:00:00Z", False),
        # 2026-01-05 is a Monday
        ("06:00", "20:00", [0], "UTC", "2026-01-05T12:00:00Z", True),
        ("06:00", "20:00", [1, 6], "UTC", "2026-01-05T12:00:00Z", False),
        # across midnight: the day is that of its start
        ("22:00", "06:00", [0], "UTC", "2026-01-05T05:00:00Z", False),
        ("22:00", "06:00", [0], "UTC", "2026-01-05T23:00:00Z", True),
        ("22:00", "06:00", [0], "UTC", "2026-01-06T05:59:00Z", True),
        ("22:00", "06:00", [0], "UTC", "2026-01-06T06:00:00Z", False),
        ("22:00", "06:00", [6], "UTC", "2026-01-05T00:00:00Z", True),
        # other zones
        ("06:00", "20:00", None, "Europe/Berlin", "2026-01-05T05:00:00Z", True),
        ("06:00", "20:00", None, "Europe/Berlin", "2026-07-05T04:00:00Z", True),
        ("06:00", "20:00", None, "Asia/Kolkata", "2026-01-05T00:29:59Z", False),
        ("06:00", "20:00", None, "Asia/Kolkata", "2026-01-05T00:30:00Z", True),
        # clocks put forward in Berlin on 2026-03-29: 02:00 → 03:00 (01:00 UTC)
        ("02:30", "06:00", None, "Europe/Berlin", "2026-03-29T00:59:59Z", False),
        ("02:30", "06:00", None, "Europe/Berlin", "2026-03-29T01:00:00Z", True),
        ("02:10", "02:50", None, "Europe/Berlin", "2026-03-29T01:10:00Z", False),
        # clocks put back in Berlin on 2026-10-25: 03:00 → 02:00 (01:00 UTC), so 02:30 comes at 00:30 and 01:30 UTC
        ("02:15", "02:45", None, "Europe/Berlin", "2026-10-25T00:30:00Z", True),
        ("02:15", "02:45", None, "Europe/Berlin", "2026-10-25T01:00:00Z", False),
        ("02:15", "02:45", None, "Europe/Berlin", "2026-10-25T01:30:00Z", True),
        ("02:15", "02:45", None, "Europe/Berlin", "2026-10-25T01:45:00Z", False),
        # Lord Howe Island changes by half an hour: 02:00 → 02:30 on 2026-10-04 (15:30 UTC the day before)
        ("02:15", "04:00", None, "Australia/Lord_Howe", "2026-10-03T15:29:59Z", False),
        ("02:15", "04:00", None, "Australia/Lord_Howe", "2026-10-03T15:30:00Z", True),
    ],
)
def test_a_window_is_open_by_the_clock_on_the_wall(start, end, days, zone, at, open_):
    assert contains(window(start, end, days, zone), ms(at)) is open_


TIMES = st.integers(0, 24 * 60 - 1).map(lambda minute: f"{minute // 60:02}:{minute % 60:02}")
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])


@given(TIMES, TIMES, ZONES, st.integers(ms("2026-01-01T00:00Z"), ms("2026-12-31T00:00Z")))
@example("02:30", "06:00", "Europe/Berlin", ms("2026-03-29T00:40Z"))
@example("02:15", "02:45", "Europe/Berlin", ms("2026-10-25T00:50Z"))
@example("02:15", "04:00", "Australia/Lord_Howe", ms("2026-10-03T15:10Z"))
def test_nothing_changes_before_the_time_to_look_again(start, end, zone, at):
    if start == end:
        return
    one = window(start, end, None, zone)
    until = look_again_at(one, at)
    assert at < until <= at + 1_800_000
    now = contains(one, at)
    for minute in range(at // 60_000 + 1, (until - 1) // 60_000 + 1):  # limits lie on full minutes
        assert contains(one, minute * 60_000) is now


def test_a_window_over_a_year_is_open_for_its_length_each_day_except_when_clocks_change():
    zone = ZoneInfo("Europe/Berlin")
    one = window("01:00", "04:00", None, "Europe/Berlin")
    hours = {}
    at = datetime(2026, 1, 1, tzinfo=zone).timestamp()
    while (local := datetime.fromtimestamp(at, zone)).year == 2026:
        hours[local.date()] = hours.get(local.date(), 0) + contains(one, int(at * 1000))
        at += timedelta(minutes=30).total_seconds()
    assert {str(day): count for day, count in hours.items() if count != 6} == {"2026-03-29": 4, "2026-10-25": 8}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"end": "06:00"}, "empty"),
        ({"start": "24:00"}, "empty"),
        ({"start": "25:00"}, "not a time of day"),
        ({"end": "12:60"}, "not a time of day"),
        ({"end": "8:00"}, "pattern"),
        ({"timezone": "Europe/Atlantis"}, "IANA"),
        ({"timezone": "../../etc/passwd"}, "IANA"),
        ({"days_of_week": [7]}, "less than or equal to 6"),
        ({"days_of_week": []}, "at least 1"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused_with_the_reason(change, words):
    with pytest.raises(ValidationError, match=words):
        TimeWindow.model_validate({"type": "time_window", "start": "06:00", "end": "20:00", **change})
