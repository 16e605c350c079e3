"""Which values are known, as a table of cases, and how an interval is learned."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kaiser_sensor.domain.known import LONGEST_S, SHORTEST_S, is_shown, judge, usual_interval_s

NOW = 1_800_000_000_000


@pytest.mark.parametrize(
    ("received_s_ago", "interval_s", "offline_s_ago", "expected"),
    [
        (0, 30, None, ("known", None)),
        (90, 30, None, ("known", None)),  # three intervals, not one ms more
        (90.001, 30, None, ("silent", NOW - 1)),
        (600, 30, None, ("silent", NOW - 510_000)),
        (600, 30, 300, ("offline", NOW - 510_000)),  # it fell silent before its device went
        (20, 30, 10, ("offline", NOW - 10_000)),
        (10, 30, 10, ("offline", NOW - 10_000)),  # the last that was heard of the device is this reading
        (5, 30, 10, ("offline", NOW - 5_000)),  # heartbeats, by which the registry hears a device, are rarer
        (5, 30, 96, ("known", None)),  # the device is back
    ],
)
def test_a_value_is_known_until_its_sensor_or_device_is_silent(received_s_ago, interval_s, offline_s_ago, expected):
    offline_since = None if offline_s_ago is None else NOW - round(offline_s_ago * 1000)
    assert judge(NOW - round(received_s_ago * 1000), interval_s, NOW, offline_since) == expected


@pytest.mark.parametrize(
    ("times", "interval_s"),
    [
        ([], None),
        ([0, 30, 60], None),  # two gaps are too few
        ([0, 30, 60, 90], 30),
        ([90, 0, 60, 30], 30),
        ([0, 30, 60, 3600, 3630], 30),  # an outage does not count
        ([0, 2, 4, 6, 8], SHORTEST_S),
        ([0, 100_000, 200_000, 300_000], LONGEST_S),
        ([*range(0, 600_000, 6000), *range(600_000, 600_510, 10)], 10),  # the newest 50 gaps: it sends faster now
    ],
)
def test_the_interval_is_the_median_of_the_newest_gaps(times, interval_s):
    assert usual_interval_s(times) == interval_s


@settings(derandomize=True)
@given(st.lists(st.floats(0, 2e9), max_size=80))
def test_an_interval_is_bounded_whatever_came(times):
    found = usual_interval_s(times)
    assert found is None if len(times) < 4 else found is not None and SHORTEST_S <= found <= LONGEST_S


@pytest.mark.parametrize(
    ("wanted", "state", "quality", "shown"),
    [
        ("known", "known", "good", True),
        ("known", "known", "error", True),
        ("known", "silent", "good", False),
        ("silent", "silent", "error", True),
        ("silent", "known", "good", False),
        ("offline", "offline", "good", True),
        ("offline", "silent", "good", False),
        ("bad", "known", "bad", True),
        ("bad", "known", "error", True),
        ("bad", "known", "suspect", False),
        ("bad", "known", "good", False),
        ("bad", "silent", "bad", False),
        ("bad", "offline", "error", False),
    ],
)
def test_a_list_shows_the_sensors_in_the_state_that_is_asked_for(wanted, state, quality, shown):
    assert is_shown(wanted, state, quality) is shown
