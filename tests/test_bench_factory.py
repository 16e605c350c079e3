"""`make bench`, part factory: a state that is shown late, or never, makes the figures worse."""

from bench.factory import Shown


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
