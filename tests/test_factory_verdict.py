"""The judge of a factory under faults sees what is lost, twice, or elsewhere than its verdict says."""

from dataclasses import asdict, replace

import pytest
from factory_verdict import FactoryEvidence, judge_factory

from bench import fault_figures
from bench.faults import summary

SOUND = FactoryEvidence(
    sent={b"a": 2, b"b": 1, b"bad": 1, b"far": 1},
    kept={b"a": 2, b"b": 1, b"bad": 1, b"own": 1},
    unseen={b"far"},
    verdicts=[("1", "module.state"), ("2", "module.state"), ("3", "observed"), ("4", "5209"), ("5", "retained_same")],
    factory=["1", "2", "5"],
    rejected={"4"},
)


def test_it_is_content_when_each_message_is_where_its_verdict_says():
    verdict = judge_factory(SOUND)
    assert (verdict.sent, verdict.stored, verdict.rejected, verdict.ignored) == (5, 2, 1, 2)
    assert (verdict.lost, verdict.broken) == (0, [])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"kept": {b"a": 1, b"b": 1, b"bad": 1}}, "1 messages are lost"),
        ({"verdicts": [*SOUND.verdicts, ("1", "module.state")]}, "a message is on TOPICS twice"),
        ({"factory": ["1", "2", "2"]}, "a message is on FACTORY twice"),
        ({"factory": ["1"]}, "an accepted message is not on FACTORY"),
        ({"factory": ["1", "2", "3"]}, "FACTORY has a message that was not accepted"),
        ({"rejected": set()}, "others are rejected than TOPICS says"),
        ({"rejected": {"4", "1"}}, "others are rejected than TOPICS says"),
    ],
)
def test_it_names_what_is_wrong(changed, said):
    assert judge_factory(replace(SOUND, **changed)).broken == [said]


def test_its_trial_is_a_line_of_the_table():
    found = {
        "name": "factory-mosquitto",
        "started_at": "2026-11-30T19:00:00Z",
        "versions": {"kaiser": "abc1234"},
        "faults": 7,
        "factory": asdict(judge_factory(SOUND)),
    }
    table = fault_figures.table({"trials": [summary(found)]})
    assert "| Mosquitto | 1 | 5 | 0 | – | abc1234; 2026-11-30 |" in table
