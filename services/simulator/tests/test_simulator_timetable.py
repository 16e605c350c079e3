"""The timetable gives every key when it is due, once, in order."""

import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_simulator.domain.timetable import Timetable

KEYS = st.sampled_from("abcdefgh")
ORDERS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), KEYS, st.integers(0, 100)),
        st.tuples(st.just("remove"), KEYS, st.just(0)),
        st.tuples(st.just("pop"), st.just(""), st.integers(0, 100)),
    ),
    max_size=60,
)


@given(ORDERS)
def test_it_agrees_with_a_plain_dictionary(orders):
    table: Timetable[str] = Timetable()
    plain: dict[str, int] = {}
    for order, key, number in orders:
        if order == "set":
            table.set(key, number)
            plain[key] = number
        elif order == "remove":
            table.remove(key)
            plain.pop(key, None)
        else:
            popped = list(table.pop_due(number))
            assert sorted(popped) == sorted((k, due) for k, due in plain.items() if due <= number)
            assert [due for _, due in popped] == sorted(due for _, due in popped)
            plain = {k: due for k, due in plain.items() if due > number}
        assert len(table) == len(plain)
        assert table.next() == min(plain.values(), default=None)


def test_moving_a_key_again_and_again_does_not_let_the_heap_grow():
    table: Timetable[str] = Timetable()
    for number in range(200_000):
        table.set("a", 10**9 + number)
    assert len(table._heap) < 2000
    assert list(table.pop_due(10**10)) == [("a", 10**9 + 199_999)]


@pytest.mark.speed
def test_a_turn_costs_microseconds_with_five_thousand_keys():
    table: Timetable[int] = Timetable()
    for key in range(5000):
        table.set(key, key)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    for now in range(0, 50_000, 10):
        for key, due in table.pop_due(now):
            table.set(key, due + 5000)
    took = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
    assert took < 2.0, f"{took:.2f} s of CPU for 50,000 turns"
