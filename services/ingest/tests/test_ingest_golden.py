"""Messages as devices of both firmware generations send them: each is accepted or rejected as written."""

from typing import Any

import pytest
from device_vectors import BATCH, BY_CONTRACT, COUNTED_ONLY, MESSAGES, READINGS_OF_BATCH, RECEIVED_AT_MS, expected_of
from kaiser_ingest.domain.validate import Accepted, Ignored, Rejection, validate


@pytest.mark.parametrize("example", MESSAGES, ids=lambda example: example["name"])
def test_a_message_of_a_device_is_accepted_or_rejected_as_written(example: dict[str, Any]) -> None:
    outcomes = validate(example["topic"], example["payload"].encode(), RECEIVED_AT_MS)
    if example["expect"] == "reject":
        assert [outcome.code for outcome in outcomes if isinstance(outcome, Rejection)] == [example["code"]]
        return
    if example["topic"].endswith(COUNTED_ONLY):
        assert outcomes == (Ignored(COUNTED_ONLY),)
        return
    accepted = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
    assert len(accepted) == len(outcomes) > 0
    expected = expected_of(example)
    for one in accepted:
        assert {name: getattr(one.message, name) for name in expected} == expected


def test_something_is_compared_of_each_message_that_is_accepted() -> None:
    bare = {each["name"] for each in MESSAGES if each["expect"] == "accept" and not each["normalised"]}
    assert bare - BY_CONTRACT.keys() == {BATCH, "fw 26-04 queue pressure"}, "these two are compared otherwise"
    assert BY_CONTRACT.keys() <= bare


def test_both_readings_of_the_batch_come_with_their_figures() -> None:
    [batch] = [example for example in MESSAGES if example["name"] == BATCH]
    outcomes = validate(batch["topic"], batch["payload"].encode(), RECEIVED_AT_MS)
    found = [
        (one.gpio, one.message.sensor_type, one.message.value, one.message.unit)  # type: ignore[attr-defined]
        for one in outcomes
        if isinstance(one, Accepted)
    ]
    assert found == READINGS_OF_BATCH
