"""`make bench`, part factory: a state that is shown late, or never, makes the figures worse."""

import json
from itertools import pairwise

from kaiser_factory_dialect.layout import DEFAULT_LAYOUT, road_between

from bench.factory import AGVS, RATE, Shown, _numbered


def test_a_state_counts_from_when_it_was_due_until_it_is_shown():
    shown = Shown(agvs=2, rate=10.0)
    for number in range(6):
        shown.sent(number)
    shown.event(0, 0.5)
    shown.event(4, 1.0)  # of AGV 0: what it said at 2 had no event of its own, and is shown by this one
    shown.event(2, 1.5)  # comes late, and shows nothing that is not shown
    shown.event(1, 2.0)
    assert [round(each, 6) for each in shown.taken] == [0.5, 0.8, 0.6, 1.9]
    assert shown.events == 3
    assert shown.end(10.0) == 2
    assert [round(each, 6) for each in shown.taken[4:]] == [9.7, 9.5]


def test_an_event_shows_nothing_of_another_agv():
    shown = Shown(agvs=2, rate=10.0)
    shown.sent(0)
    shown.event(1, 1.0)
    assert (shown.taken, shown.events) == ([], 0)


def test_the_agvs_of_the_bench_drive_along_roads():
    """An AGV that stands still makes neither a node's transition nor another row."""
    of_one = [json.loads(_numbered(number).payload) for number in range(7, int(RATE), AGVS)]
    nodes = [each["lastNodeId"] for each in of_one]
    assert len(of_one) == RATE / AGVS
    assert set(nodes) == {"1", "2", "3", "4"}
    assert all(road_between(DEFAULT_LAYOUT, *pair) is not None for pair in pairwise(nodes))
    assert {each["driving"] for each in of_one} == {True, False}
