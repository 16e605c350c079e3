"""The oracle itself: it must see what is missing, twice, foreign or out of place."""

from collections import Counter
from dataclasses import replace

import pytest
from fleet import Fleet, good_before, is_bad, number_of_rejected
from oracle import Evidence, judge

SENT = 100
GOOD = [number for number in range(SENT) if not is_bad(number)]
BAD = [number for number in range(SENT) if is_bad(number)]
SOUND = Evidence(SENT, range(SENT), Counter(GOOD), Counter(BAD), Counter(GOOD))


def test_it_is_content_when_all_is_well():
    judgement = judge(SOUND)
    assert (judgement.sent, judgement.stored, judgement.rejected, judgement.broken) == (100, 99, 1, [])


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        (replace(SOUND, acknowledged=range(99)), "sent and never acknowledged: 1 (99)"),
        (replace(SOUND, stored=Counter(GOOD[1:]), shown=None), "acknowledged, but neither stored nor rejected: 1 (0)"),
        (replace(SOUND, stored=Counter([*GOOD, 7])), "stored twice: 1 (7)"),
        (replace(SOUND, stored=Counter([*GOOD, -1]), shown=None), "stored, but not to be: 1 (-1)"),
        (replace(SOUND, stored=Counter([*GOOD, 50]), shown=None), "stored, but not to be: 1 (50)"),
        (replace(SOUND, rejected=Counter([*BAD, 3])), "rejected, but not to be: 1 (3)"),
        (replace(SOUND, rejected=Counter([*BAD, 50])), "rejected again 1 times, sent again 0 times"),
        (replace(SOUND, shown=Counter(GOOD[:-1])), "never shown to the resuming client: 1 (99)"),
        (replace(SOUND, missed_by_client=5), "the client was told that it missed 5 events"),
    ],
)
def test_it_names_what_is_wrong(evidence: Evidence, said: str):
    assert judge(evidence).broken == [said]


@pytest.mark.parametrize(("again", "broken"), [(5, []), (6, ["shown again 6 times, 5000 were sent"])])
def test_one_event_in_a_thousand_may_be_shown_again(again: int, broken: list[str]):
    good = [number for number in range(5000) if not is_bad(number)]
    bad = Counter(number for number in range(5000) if is_bad(number))
    evidence = Evidence(5000, range(5000), Counter(good), bad, Counter([*good, *good[:again]]))
    assert (judge(evidence).shown_again, judge(evidence).broken) == (again, broken)


def test_what_a_killed_mosquitto_may_lose_is_counted_and_not_held_against_anyone():
    lossy = replace(SOUND, stored=Counter(GOOD[2:]), shown=Counter(GOOD[2:]), excused=frozenset({0, 1, 2}))
    judgement = judge(lossy)
    assert (judgement.lost, judgement.broken) == (2, [])
    assert judge(replace(lossy, excused=frozenset({0}))).broken == [
        "acknowledged, but neither stored nor rejected: 1 (1)"
    ]


def test_a_number_comes_back_from_what_was_sent_and_from_nothing_else():
    fleet = Fleet(["TEST_A", "TEST_B"], 1_700_000_000_000)
    assert fleet.number_of("TEST_B", 1_700_000_000_003, 3.0) == 3
    assert fleet.number_of("TEST_A", 1_700_000_000_003, 3.0) == -1
    assert fleet.number_of("TEST_B", 1_700_000_000_003, 4.0) == -1
    assert fleet.number_of("TEST_B", 1_699_999_999_999, -1.0) == -1
    assert (good_before(50), good_before(51), good_before(52)) == (50, 50, 51)
    assert number_of_rejected({"payload_base64": "eyJyYXciOiA0OX0="}) == 49
    assert number_of_rejected({"payload_base64": "e30="}) == -1
