"""Events that are older than the answer of an owner."""

from kaiser_alarm.domain.answers import Answers
from kaiser_alarm.domain.life import Clear, Key, Raise

ONE, OTHER = Key("device_offline", "ESP_1"), Key("device_offline", "ESP_2")


def left(answers, *ends):
    """The places of those ends that are left, of (key, place)."""
    found = [(Clear(key, 7), f"event {place}") for key, place in ends]
    kept = answers.without_older_ends(found, {f"event {place}": place for _, place in ends})
    return [(finding.key, int(origin.split()[1])) for finding, origin in kept]


def test_only_an_end_that_the_owner_knew_of_is_left_out_and_only_of_what_it_said_to_hold():
    answers = Answers()
    answers.note([Raise(ONE, "warning", "m", 5), Clear(OTHER, 5)], last_event=20)
    assert left(answers, (ONE, 19), (ONE, 20), (ONE, 21), (OTHER, 19)) == [(ONE, 21), (OTHER, 19)]


def test_what_begins_is_never_left_out():
    answers = Answers()
    begun = Raise(ONE, "warning", "m", 5)
    answers.note([begun], last_event=20)
    assert answers.without_older_ends([(begun, "event 3")], {"event 3": 3}) == [(begun, "event 3")]


def test_an_answer_is_forgotten_once_all_older_events_are_read():
    answers = Answers()
    answers.note([Raise(ONE, "warning", "m", 5)], last_event=20)
    answers.read_to(19)
    assert answers
    answers.read_to(20)
    assert not answers


def test_of_another_stream_no_event_is_older():
    answers = Answers()
    answers.note([Raise(ONE, "warning", "m", 5)], last_event=20)
    answers.forget()
    assert left(answers, (ONE, 3)) == [(ONE, 3)]
