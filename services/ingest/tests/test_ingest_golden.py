"""The contract's example messages: each is accepted or rejected as written."""

import json
from pathlib import Path
from typing import Any

import pytest
from kaiser_ingest.validate import Accepted, Rejection, validate

RECEIVED_AT_MS = 1_767_225_700_000
MESSAGES = json.loads((Path(__file__).parents[3] / "tests/golden/device-messages.json").read_text())


@pytest.mark.parametrize("example", MESSAGES, ids=lambda example: example["name"])
def test_an_example_of_the_contract_is_accepted_or_rejected_as_written(example: dict[str, Any]) -> None:
    outcomes = validate(example["topic"], example["payload"].encode(), RECEIVED_AT_MS)
    if example["expect"] == "reject":
        assert [outcome.code for outcome in outcomes if isinstance(outcome, Rejection)] == [example["code"]]
        return
    accepted = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
    assert accepted
    assert len(accepted) == len(outcomes)
    expected = example["normalised"] or {}
    assert {name: getattr(accepted[0].message, name) for name in expected} == expected
