"""How values vary: by the step alone, within their bounds."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.contract.schemas.api.mock import MockSensor
from kaiser_simulator.patterns import bounds, compile_pattern, csv_values, fraction, installed_patterns

FACTORIES = installed_patterns()
DAY_MS = 86_400_000


def values(count: int, **fields) -> list[float]:
    pattern = compile_pattern(FACTORIES, MockSensor(gpio=4, sensor_type="ds18b20", **fields), 7)
    return [pattern(step, step * 1000) for step in range(count)]


def test_the_five_patterns_are_installed():
    assert set(FACTORIES) >= {"CONSTANT", "RANDOM", "DRIFT", "SINE", "REPLAY"}


def test_a_constant_stays_at_its_base():
    assert values(3, base_value=21.5) == [21.5, 21.5, 21.5]


def test_drift_goes_up_by_a_tenth_of_the_range_and_turns_at_both_bounds():
    assert values(14, base_value=20, variation_pattern="DRIFT", variation_range=5, min_value=19, max_value=21.2) == [
        20.0, 20.5, 21.0, 21.2, 20.7, 20.2, 19.7, 19.2, 19.0, 19.5, 20.0, 20.5, 21.0, 21.2,
    ]  # fmt: skip


def test_drift_without_bounds_turns_at_base_plus_and_minus_range():
    run = values(100, base_value=10, variation_pattern="DRIFT", variation_range=2)
    assert (run[0], run[1], run[10], max(run), min(run), run[30]) == (10.0, 10.2, 12.0, 12.0, 8.0, 8.0)


@given(
    base=st.floats(-100, 100),
    width=st.floats(0.1, 50),
    low=st.floats(-150, 0),
    high=st.floats(0, 150),
    step=st.integers(0, 10**9),
)
def test_drift_in_closed_form_is_the_walk_step_by_step(base, width, low, high, step):
    sensor = MockSensor(
        gpio=4, sensor_type="t", base_value=base, variation_pattern="DRIFT", variation_range=width, min_value=low,
        max_value=high,
    )  # fmt: skip
    pattern = FACTORIES["DRIFT"](sensor, 0)
    value, direction = min(max(base, low), high), 1
    for number in range(60):
        assert pattern(number, 0) == pytest.approx(value, abs=1e-6)
        if high - low < 1e-6:
            break
        if direction > 0 and value >= high - 1e-9 * width:
            direction = -1
        elif direction < 0 and value <= low + 1e-9 * width:
            direction = 1
        value = min(max(value + direction * width / 10, low), high)
    assert low - 1e-9 <= pattern(step, 0) <= high + 1e-9


def test_random_is_uniform_in_base_plus_minus_range_and_the_same_again():
    run = values(2000, base_value=50, variation_pattern="RANDOM", variation_range=10)
    assert run == values(2000, base_value=50, variation_pattern="RANDOM", variation_range=10)
    assert 40 <= min(run) < 40.2
    assert 59.8 < max(run) <= 60
    quarters = [sum(40 + 5 * place <= value < 45 + 5 * place for value in run) for place in range(4)]
    assert all(430 < count < 570 for count in quarters), quarters


def test_a_sine_is_lowest_at_midnight_and_highest_at_noon():
    sensor = MockSensor(gpio=4, sensor_type="t", base_value=20, variation_pattern="sine", variation_range=5)
    pattern = compile_pattern(FACTORIES, sensor, 0)
    day = 20_454 * DAY_MS
    assert [pattern(0, day + hour * 3_600_000) for hour in (0, 6, 12, 18)] == [15.0, 20.0, 25.0, 20.0]


def test_a_replay_takes_the_last_column_and_begins_again():
    text = "time,value\n0,1.5\n1,2.25\n2,-3\n"
    assert values(5, variation_pattern="REPLAY", replay_csv=text) == [1.5, 2.25, -3.0, 1.5, 2.25]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a\nb\n", "row 2 of replay_csv ends with 'b'"),
        ("value\n", "0 values"),
        ("1\nnan\n", "row 2"),
        ("1\n1e300\n", "row 2"),
    ],
)
def test_a_csv_that_cannot_be_replayed_is_refused_with_its_row(text, fault):
    with pytest.raises(ValueError, match=fault):
        csv_values(text)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_csv_values_come_back_as_they_were_written(numbers):
    text = io.StringIO()
    csv.writer(text).writerows([[place, number] for place, number in enumerate(numbers)])
    assert csv_values(text.getvalue()) == numbers


def test_an_unknown_pattern_is_refused_naming_those_there_are():
    with pytest.raises(ValueError, match="no pattern 'SAWTOOTH'; there are CONSTANT, DRIFT"):
        values(1, variation_pattern="SAWTOOTH")


@given(
    st.sampled_from(["CONSTANT", "RANDOM", "DRIFT", "SINE"]),
    st.floats(-1e6, 1e6),
    st.floats(0, 1e6),
    st.integers(0, 10**7),
    st.integers(0, 4 * 10**12),
)
def test_every_value_is_within_bounds_and_has_two_decimals(name, base, width, step, ts_ms):
    sensor = MockSensor(gpio=4, sensor_type="t", base_value=base, variation_pattern=name, variation_range=width)
    value = compile_pattern(FACTORIES, sensor, 3)(step, ts_ms)
    low, high = bounds(sensor)
    assert low - 0.01 <= value <= high + 0.01
    assert value == round(value, 2)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**40))
def test_a_fraction_is_in_its_range(seed, step):
    assert 0 <= fraction(seed, step) < 1
