"""Conditions that a figure decides: when they begin and end, and what is published of them."""

import pytest
from kaiser_common.contract.schemas.event import SystemEvent
from kaiser_common.contract.standing import (
    AGAIN_EVERY_S,
    OVER,
    STANDING,
    Bounds,
    ConditionKey,
    Seen,
    StandingWatch,
    over_of,
)

FILLING = ConditionKey("stream_filling", "SENSORS")
BOUNDS = {"stream_filling": Bounds("critical", over=0.7, under=0.6), "store_paused": Bounds("critical", 60.0, 1.0, 5.0)}


def watched(watch, figure, now_s, key=FILLING, **more):
    found = watch.events({key: Seen(figure, "it fills")}, now_s, 7, **more)
    return [(each.event, each.details) for each in found]


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ([0.1, 0.2], ["over", None]),
        ([0.8, 0.9, 0.95], ["holds", None, None]),
        ([0.1, 0.71, 0.65, 0.61, 0.7, 0.59], ["over", "holds", None, None, None, "over"]),
        ([0.65, 0.69, 0.71], ["over", None, "holds"]),
        ([0.1, 0.8, 0.5, 0.8], ["over", "holds", "over", "holds"]),
    ],
)
def test_a_condition_begins_above_one_bound_and_ends_below_another(figures, said):
    names = {"stream_filling": "holds", OVER: "over"}
    watch = StandingWatch(BOUNDS)
    found = [watched(watch, figure, float(look)) for look, figure in enumerate(figures)]
    assert [names[one[0][0]] if one else None for one in found] == said


def test_a_condition_begins_once_its_figure_was_above_for_its_time():
    key = ConditionKey("store_paused")
    watch = StandingWatch(BOUNDS)
    told = [watched(watch, figure, at, key) for at, figure in ((0, 61), (4, 61), (4.5, 50), (5, 61), (9, 61), (10, 61))]
    assert [len(each) for each in told] == [1, 0, 0, 0, 0, 1]
    assert told[-1] == [("store_paused", {"source": ""})]


def test_every_state_is_published_again_after_five_minutes_and_after_another_process_had_it():
    watch = StandingWatch(BOUNDS)
    holds = [("stream_filling", {"source": "SENSORS"})]
    assert watched(watch, 0.8, 0.0) == holds
    assert watched(watch, 0.8, AGAIN_EVERY_S - 1) == []
    assert watched(watch, 0.8, AGAIN_EVERY_S) == holds
    watch.forget()
    assert watched(watch, 0.8, AGAIN_EVERY_S + 1) == holds
    ended = [ConditionKey("broker_unreachable", "ingest.god")]
    over = [(OVER, {"over": [["broker_unreachable", "ingest.god"], ["stream_filling", "SENSORS"]]})]
    assert watched(watch, 0.1, AGAIN_EVERY_S * 3, ended=ended) == over
    assert watched(watch, 0.1, AGAIN_EVERY_S * 3 + 1, ended=ended) == []


def test_a_condition_with_events_of_its_own_is_published_again_only_while_it_holds():
    watch, holding = StandingWatch(BOUNDS), [SystemEvent(event="mqtt_breaker_open", message="refused", ts=7)]
    looks = [watch.events({}, at, 7, holding=holding) for at in (0.0, 10.0, AGAIN_EVERY_S)]
    assert looks == [holding, [], holding]


def test_what_is_not_seen_is_not_published_and_its_state_stays():
    watch = StandingWatch(BOUNDS)
    watched(watch, 0.8, 0.0)
    assert watch.events({}, AGAIN_EVERY_S, 7) == []
    assert watched(watch, 0.65, AGAIN_EVERY_S + 1) == []


@pytest.mark.parametrize("listed", [None, "x", [["a"], ["a", 1], "ab", {}], {}])
def test_an_event_that_lists_nonsense_ends_nothing(listed):
    assert over_of(SystemEvent(event=OVER, message="m", details={"over": listed}, ts=1)) == []


def test_every_condition_ends_below_where_it_begins():
    assert all(bounds.under < bounds.over for bounds in STANDING.values())
