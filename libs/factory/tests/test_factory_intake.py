"""Intake: what the broker repeats, and the bounds on topics and serials."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.contract.errors import Rejected
from kaiser_factory_dialect.intake import Intake
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted, FactoryIgnored


def arrival(topic: str, payload: str, retained: bool = True) -> Arrival:
    return Arrival(topic, payload.encode(), 1_771_000_000_000, 1, retained)


def reasons(intake: Intake, *arrivals: Arrival) -> list[str]:
    found = []
    for one in arrivals:
        match intake.take(one):
            case FactoryAccepted():
                found.append("accepted")
            case FactoryIgnored(reason):
                found.append(reason)
            case Rejected() as rejected:
                found.append(str(rejected.code.value))
    return found


ONLINE = '{"connectionState":"ONLINE"}'
TOPIC = "module/v1/ff/S1/connection"


def test_what_the_broker_repeats_is_read_once():
    again = [arrival(TOPIC, ONLINE, False), arrival(TOPIC, ONLINE), arrival(TOPIC, ONLINE)]
    assert reasons(Intake(), *again) == ["accepted", "retained_same", "retained_same"]


def test_what_changed_while_nobody_listened_is_read():
    other = '{"connectionState":"OFFLINE"}'
    assert reasons(Intake(), arrival(TOPIC, ONLINE), arrival(TOPIC, other)) == ["accepted", "accepted"]


def test_a_message_that_is_sent_again_live_is_read_again():
    assert reasons(Intake(), arrival(TOPIC, ONLINE), arrival(TOPIC, ONLINE, False)) == ["accepted", "accepted"]


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        ("ccu/set/reset", '{"timestamp":"2026-02-13T16:26:40.000Z"}', "retained_command"),
        ("osf/a", "1", "observed"),
        ("omf/a", "1", "uncatalogued"),
        (TOPIC, "", "cleared"),
    ],
)
def test_what_is_ignored_for_another_reason_stays_so_when_repeated(topic: str, payload: str, reason: str):
    assert reasons(Intake(), *[arrival(topic, payload)] * 2) == [reason, reason]


def test_a_rejected_message_is_rejected_once():
    assert reasons(Intake(), *[arrival(TOPIC, "{")] * 2) == ["5209", "retained_same"]


def test_a_serial_more_than_the_bound_is_ignored_and_the_known_ones_go_on():
    intake = Intake(max_serials=2)
    topics = [f"module/v1/ff/S{number}/connection" for number in (1, 2, 3, 1)]
    assert reasons(intake, *(arrival(one, ONLINE, False) for one in topics)) == [
        *("accepted", "accepted", "too_many", "accepted"),
    ]


def test_a_rejected_message_takes_no_place_of_a_serial():
    intake = Intake(max_serials=1)
    assert reasons(intake, arrival("module/v1/ff/S1/state", "{}"), arrival("module/v1/ff/S2/connection", ONLINE)) == [
        *("5205", "accepted"),
    ]


@given(st.lists(st.integers(0, 9), max_size=40))
def test_topics_are_bounded_whatever_comes(numbers: list[int]):
    intake = Intake(max_topics=4)
    known = list(dict.fromkeys(numbers))[:4]
    for number in numbers:
        verdict = intake.take(arrival(f"osf/{number}", json.dumps(number)))
        assert isinstance(verdict, FactoryIgnored)
        assert verdict.reason == ("observed" if number in known else "too_many")
