"""The messages that belong to a recording, and those missing in one; pure."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_factory_dialect.recordings import Recorded
from kaiser_factory_dialect.subjects import topic_subject
from kaiser_recorder.domain.arrived import take
from kaiser_recorder.domain.budget import Budget
from kaiser_recorder.domain.selection import Selection, chosen, seconds_back


@dataclass
class Stored:
    subject: str
    stream_sequence: int
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    timestamp_ns: int = 5_000


def stored(topic: str, sequence: int, env: str = "live", **more: object) -> Stored:
    return Stored(topic_subject(env, topic), sequence, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("span", "seconds"), [("-1s", 1), ("-10m", 600), ("-2h", 7200), ("-7d", 604_800)])
def test_a_span_is_read(span: str, seconds: int):
    assert seconds_back(span) == seconds


@pytest.mark.parametrize("span", ["", "10m", "-0m", "-10", "-10w", "-8d", "-10m ", "-999999h"])
def test_what_is_no_span_is_refused(span: str):
    with pytest.raises(ValueError, match=r"span|longer"):
        seconds_back(span)


def test_filters_that_others_cover_are_left_out_and_a_star_is_refused_with_the_hint():
    assert chosen(["ccu/#", "ccu/order/#", "fts/v1/+/+/state"]) == ("ccu/#", "fts/v1/+/+/state")
    with pytest.raises(ValueError, match=r"\+ for one level"):
        chosen(["module/v1/ff/*/state"])


@pytest.mark.parametrize(
    ("filters", "dialects", "topic", "has"),
    [
        (["module/v1/#"], ["factory"], "module/v1/ff/S/state", True),
        (["module/v1/#"], ["factory"], "fts/v1/ff/A/state", False),
        (["#"], ["factory"], "/j1/txt/1/i/bme680", True),
        (["#"], ["factory"], "kaiser/god/esp/ESP_1/system/heartbeat", False),
        (["#"], ["esp"], "kaiser/god/esp/ESP_1/system/heartbeat", True),
        (["#"], ["esp"], "ccu/global", False),
        (["#"], ["esp", "factory"], "$SYS/x", False),
    ],
)
def test_a_topic_belongs_by_filter_and_dialect(filters: list[str], dialects: list[str], topic: str, has: bool):
    selection = Selection(filters, dialects)
    assert selection.has(topic) is has
    assert selection.has(topic) is has


def test_a_message_is_taken_as_it_came_at_the_time_of_its_receipt():
    headers = {"Kaiser-Received-At": "1771000000000123456", "Mqtt-Qos": "1", "Mqtt-Retain": "1"}
    [message] = take(
        [stored("ccu/state/stock", 7, body=b"\xff", headers=headers)], "live", Selection(["#"], ["factory"]), None
    ).messages
    assert message == Recorded("ccu/state/stock", b"\xff", 1771000000000123, 1, True)


def test_another_environment_is_not_in_it():
    batch = [stored("ccu/global", 1, "live"), stored("ccu/global", 2, "mock"), stored("ccu/global", 3, "live")]
    taken = take(batch, "live", Selection(["#"], ["factory"]), 1)
    assert (len(taken.messages), taken.next_sequence, taken.missing) == (2, 4, 0)


@given(st.lists(st.integers(1, 60), unique=True, max_size=40).map(sorted), st.integers(1, 5))
def test_what_the_stream_has_lost_is_counted(sequences: list[int], size: int):
    """Of the sequences 1 to 60 those that are there, in batches: every other one up to the last is missing."""
    selection, next_sequence, missing, numbers = Selection(["#"], ["factory"]), 1, 0, 0
    for first in range(0, len(sequences), size):
        batch = [stored("ccu/global", number) for number in sequences[first : first + size]]
        taken = take(batch, "live", selection, next_sequence)
        next_sequence, missing, numbers = taken.next_sequence, missing + taken.missing, numbers + len(taken.messages)
    last = sequences[-1] if sequences else 0
    assert (numbers, missing, next_sequence) == (len(sequences), last - len(sequences), last + 1)


def test_a_stream_that_began_anew_is_no_gap():
    taken = take([stored("ccu/global", 1)], "live", Selection(["#"], ["factory"]), 500)
    assert (taken.missing, taken.next_sequence) == (0, 2)


def test_a_budget_takes_what_fits_and_no_more():
    budget = Budget(100)
    assert budget.take(60)
    assert not budget.take(41)
    assert budget.take(40)
    assert budget.used == 100
    assert not budget.take(1)
    assert "KAISER_RECORDER_BYTES" in budget.full()
