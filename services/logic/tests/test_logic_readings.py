"""Which readings rules act on: none of the past, none dated ahead, none that its sensor doubts."""

import pytest
from kaiser_logic.domain.lags import Lags
from kaiser_logic.domain.readings import Readings, RuleInput

NOW = 1_800_000_000_000
MINUTE, HOUR = 60_000, 3_600_000
PLACE = ("ESP_A", 4)


def reading(value=20.0, *, ts=NOW, received_at=NOW, quality="good", address="", device_ts=None):
    return RuleInput(*PLACE, "ds18b20", ts, value, quality, 1, address, received_at, device_ts)


@pytest.fixture
def readings():
    found = Readings(MINUTE)
    found.watch(PLACE)
    return found


def value(readings, address=None):
    newest = readings.of(PLACE, "ds18b20", address)
    return newest.value if newest is not None and newest.known else None


@pytest.mark.parametrize(
    ("given", "verdict", "known"),
    [
        (reading(), "taken", 20.0),
        (reading(ts=NOW - 59_000), "taken", 20.0),
        (reading(ts=NOW + 59_000), "taken", 20.0),
        (reading(ts=NOW, device_ts=0), "taken", 20.0),
        (reading(ts=NOW, device_ts=86_400_000), "taken", 20.0),
        (reading(ts=NOW - 61_000), "late", None),
        (reading(ts=NOW - 3 * HOUR), "late", None),
        (reading(ts=NOW - HOUR, received_at=NOW - 61_000), "late", None),
        (reading(ts=NOW + 61_000), "ahead", None),
        (reading(ts=NOW + 2 * HOUR), "ahead", None),
        (reading(ts=NOW, device_ts=NOW + 2 * HOUR), "ahead", None),
        (reading(ts=NOW, device_ts=NOW // 1000 + 7200), "ahead", None),
        (reading(quality="error", value=None), "unusable", None),
        (reading(quality="bad"), "unusable", None),
        (reading(quality="suspect"), "unusable", None),
        (reading(quality="stale"), "unusable", None),
        (reading(value=None), "unusable", None),
        (reading(quality="poor"), "taken", 20.0),
        (reading(quality="unknown"), "taken", 20.0),
    ],
)
def test_what_a_reading_tells_rules(readings, given, verdict, known):
    assert readings.note(given, NOW) == verdict
    assert value(readings) == known


def test_after_a_reading_dated_ahead_nothing_is_known_until_the_next_one(readings):
    readings.note(reading(58.0), NOW)
    assert readings.note(reading(12.0, ts=NOW + 2 * HOUR, received_at=NOW + 1000), NOW + 1000) == "ahead"
    assert value(readings) is None
    assert readings.note(reading(58.5, ts=NOW + 2000, received_at=NOW + 2000), NOW + 2000) == "taken"
    assert value(readings) == 58.5


@pytest.mark.parametrize("first", ["event", "stored"])
def test_an_obsolete_stored_reading_dated_ahead_is_not_known_and_beats_no_event(readings, first):
    """Case 11 of the public bug reports: it fired a rule at each restart."""
    stored = reading(12.0, ts=NOW + 2 * HOUR, received_at=NOW - 10 * MINUTE)
    steps = [
        lambda: readings.note(reading(60.0), NOW),
        lambda: readings.recall(stored, NOW, 15 * MINUTE),
    ]
    for step in steps if first == "event" else reversed(steps):
        step()
    assert value(readings) == 60.0


@pytest.mark.parametrize(("late_by_ms", "known"), [(MINUTE, 12.0), (MINUTE + 1, None)])
def test_a_stored_reading_that_was_late_when_it_came_is_not_known_at_a_start_either(readings, late_by_ms, known):
    stored = reading(12.0, ts=NOW - late_by_ms, received_at=NOW)
    assert readings.recall(stored, NOW, 15 * MINUTE) == "taken"
    assert value(readings) == known


def test_of_a_stored_reading_of_the_version_before_the_receive_time_is_not_known(readings):
    assert readings.recall(reading(12.0, ts=NOW + 2 * HOUR, received_at=None), NOW, 15 * MINUTE) == "ahead"
    assert value(readings) is None


def test_a_sensor_told_to_be_stale_is_not_known_until_it_sends_again(readings):
    readings.note(reading(20.0), NOW)
    later = NOW + 2 * MINUTE
    assert readings.note(reading(20.0, quality="stale", received_at=None), later) == "unusable"
    assert value(readings) is None
    readings.note(reading(21.0, ts=later, received_at=later), later)
    assert readings.note(reading(20.0, quality="stale", received_at=None), later) == "out_of_order"
    assert value(readings) == 21.0


def test_a_clock_that_is_minutes_behind_moves_rules_by_the_receive_time(readings):
    verdicts = [
        readings.note(
            reading(float(second), ts=NOW + second * 1000 - 5 * MINUTE, received_at=NOW + second * 1000),
            NOW + second * 1000,
        )
        for second in range(0, 30, 5)
    ]
    assert verdicts == ["late", "late", "taken", "taken", "taken", "taken"]
    assert value(readings) == 25.0
    right = NOW + 30_000
    assert readings.note(reading(30.0, ts=right, received_at=right), right) == "taken", "the clock was put right"


def test_a_backlog_moves_no_rule_however_it_is_sent(readings):
    """1,080 readings of three hours, the newest an hour old, within six seconds."""
    for number in range(1080):
        now = NOW + number * 6
        assert readings.note(reading(12.0, ts=NOW - 4 * HOUR + number * 10_000, received_at=now), now) == "late"
    assert value(readings) is None


@pytest.mark.parametrize(
    ("taken_every_ms", "sent_every_ms", "steady"),
    [
        (1000, 1000, True),
        (30_000, 30_000, True),
        (10_000, 9_990, True),
        (500, 10, False),
        (10_000, 6, False),
        (1000, 500, False),
    ],
)
def test_a_lag_is_steady_where_readings_come_at_the_pace_at_which_they_are_taken(taken_every_ms, sent_every_ms, steady):
    lags = Lags()
    found = [
        lags.is_steady(("ph", ""), NOW - HOUR + number * taken_every_ms, NOW + number * sent_every_ms)
        for number in range(3000)
    ]
    assert any(found) is steady


def test_probes_on_one_pin_are_told_apart_by_address_and_the_newest_stands_for_all(readings):
    readings.note(reading(20.0, address="28AA"), NOW)
    readings.note(reading(61.5, address="28BB", ts=NOW + 1, received_at=NOW + 1), NOW + 1)
    assert (value(readings, "28AA"), value(readings, "28BB"), value(readings)) == (20.0, 61.5, 61.5)
    assert value(readings, "28CC") is None
    assert readings.count(PLACE, "ds18b20") == 2
    supposed = readings.supposing([reading(1.0, address="28AA")], NOW + 2)
    assert (value(supposed, "28AA"), value(supposed, "28BB")) == (1.0, 61.5)
    supposed = readings.supposing([reading(1.0, address=None)], NOW + 2)
    assert (value(supposed, "28AA"), value(supposed, "28BB"), supposed.count(PLACE, "ds18b20")) == (1.0, 1.0, 1)
