"""Messages as devices of both firmware generations send them: each is accepted or rejected as written."""

import json
from pathlib import Path
from typing import Any

import pytest
from kaiser_ingest.validate import Accepted, Ignored, Rejection, validate

RECEIVED_AT_MS = 1_767_225_700_000
GOLDEN = Path(__file__).parents[3] / "tests/golden"
MESSAGES = [
    example
    for name in ("device-messages", "firmware-messages")
    for example in json.loads((GOLDEN / f"{name}.json").read_text())
]
COUNTED_ONLY = "queue_pressure"


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
    expected = example["normalised"]
    if expected is not None:
        assert expected, "nothing is compared"
        for one in accepted:
            assert {name: getattr(one.message, name) for name in expected} == expected


def test_both_readings_of_the_batch_come_with_their_figures() -> None:
    [batch] = [example for example in MESSAGES if example["name"] == "sensor batch"]
    outcomes = validate(batch["topic"], batch["payload"].encode(), RECEIVED_AT_MS)
    found = [
        (one.gpio, one.message.sensor_type, one.message.value, one.message.unit)  # type: ignore[attr-defined]
        for one in outcomes
        if isinstance(one, Accepted)
    ]
    assert found == [(4, "DS18B20", 21.5, "°C"), (34, "ph", 7.2, None)]
