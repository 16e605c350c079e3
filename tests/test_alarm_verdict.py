"""The judge of alarms during kills sees what is missing, twice or undelivered; verdicts are merged, none is lost."""

from collections import Counter
from dataclasses import replace

import pytest
from alarm_verdict import LIFE, AlarmEvidence, judge_alarms

from bench.faults import merged, summary

SOUND = AlarmEvidence(
    expected=2,
    kills=2,
    raised={"a", "b"},
    stored=["a", "b"],
    steps={"a": LIFE, "b": LIFE},
    notifications=[("a/1", "a", "x", "sent"), ("b/1", "b", "y", "sent")],
    references=Counter("xy"),
)


def test_it_is_content_when_each_alarm_is_stored_and_delivered_also_where_a_message_came_again():
    verdict = judge_alarms(replace(SOUND, references=Counter("xxyy")))
    assert (verdict.raised, verdict.stored, verdict.delivered, verdict.sent_again, verdict.broken) == (2, 2, 2, 2, [])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"expected": 3}, "raised 2 of 3"),
        ({"stored": ["a"]}, "stored others than were raised"),
        ({"stored": ["a", "b", "b"]}, "an alarm is stored twice"),
        ({"steps": {"a": LIFE, "b": LIFE[:2]}}, "an alarm has other steps than its life"),
        ({"steps": {"a": LIFE, "b": ("raised", *LIFE)}}, "an alarm has other steps than its life"),
        (
            {"notifications": [("a/1", "a", "x", "sent"), ("b/1", "b", "y", "failed")]},
            "a notification did not end as sent",
        ),
        ({"references": Counter("x")}, "a notification did not reach the receiver"),
        ({"references": Counter("xxxxy")}, "3 messages came again after 2 kills"),
    ],
)
def test_it_names_what_is_wrong(changed, said):
    assert judge_alarms(replace(SOUND, **changed)).broken == [said]


def test_two_notifications_of_a_key_are_seen():
    twice = [*SOUND.notifications, ("b/1", "b", "y", "sent")]
    assert "a key has two notifications" in judge_alarms(replace(SOUND, notifications=twice)).broken


def trial(name: str, at: str, **more: object) -> dict[str, object]:
    return {"name": name, "at": at, "broken": [], **more}


def test_a_verdict_takes_the_place_of_the_one_of_its_name_and_names_another_machine():
    before = {"machine": {"cores": 2}, "trials": [trial("one", "2026-01-01"), trial("two", "2026-01-02")]}
    new = [trial("one", "2026-01-03")]
    assert merged(before, {"cores": 2}, new)["trials"] == [before["trials"][1], new[0]]
    assert merged(before, {"cores": 4}, new) == {
        "machine": {"cores": 2},
        "trials": [trial("two", "2026-01-02"), trial("one", "2026-01-03", machine={"cores": 4})],
    }
    assert merged({}, {"cores": 4}, new) == {"machine": {"cores": 4}, "trials": new}


def test_trials_drawn_by_chance_take_the_place_of_those_of_another_seed():
    before = {"machine": {}, "trials": [trial(name, "1") for name in ("kill-nats", "model-1-1-nats", "model-2-1-nats")]}
    new = [trial("model-2-2-nats", "2")]
    assert [each["name"] for each in merged(before, {}, new)["trials"]] == [
        "kill-nats",
        "model-2-1-nats",
        "model-2-2-nats",
    ]
    assert len(merged(before, {}, [trial("kill-nats", "2")])["trials"]) == 3


def test_a_verdict_of_alarms_is_kept_with_its_counts():
    alarms = {"raised": 2, "stored": 2, "delivered": 2, "sent_again": 0, "broken": []}
    verdict = {"name": "n", "started_at": "2026-01-01", "versions": {}, "kills": 40, "alarms": alarms}
    assert summary(verdict) == {"name": "n", "at": "2026-01-01", "versions": {}, "kills": 40, **alarms}
