"""docs/devices.md says what the code does: it is written from it, and ingest takes and refuses what it says."""

import json
from pathlib import Path

import pytest
from kaiser_common.contract.catalogue import UPLINK, UPLINKS
from kaiser_common.contract.topics import Kind, build
from kaiser_deploy.device_docs import page
from kaiser_ingest.domain.device_messages import PARSERS
from kaiser_ingest.domain.validate import Accepted, Ignored, Rejection, validate

NOW = 1_767_225_700_000


def test_the_page_is_what_the_code_says():
    assert (Path(__file__).parents[1] / "docs/devices.md").read_text() == page(), "run: make device-docs"


SAID = {row.kind: row for row in UPLINKS if row.becomes == "a message"}


def test_every_message_has_a_parser():
    assert set(SAID) == set(PARSERS)


@pytest.mark.parametrize("kind", SAID, ids=lambda kind: kind.value)
def test_the_least_payload_is_accepted_and_nothing_of_it_may_be_missing(kind: Kind):
    topic = build(kind, "god", "ESP_1", 4)
    required = dict(SAID[kind].required)
    (accepted,) = validate(topic, json.dumps(required).encode(), NOW)
    assert isinstance(accepted, Accepted), accepted
    assert type(accepted.message) is SAID[kind].model
    for name in required:
        without = {other: value for other, value in required.items() if other != name}
        (refused,) = validate(topic, json.dumps(without).encode(), NOW)
        assert isinstance(refused, Rejection), name
        assert refused.code == 5205, name


def test_a_batch_is_readings_and_queue_pressure_is_only_counted():
    for kind, expected in ((Kind.SENSOR_BATCH, Accepted), (Kind.QUEUE_PRESSURE, Ignored)):
        payload = json.dumps(dict(UPLINK[kind].required)).encode()
        (found,) = validate(build(kind, "god", "ESP_1"), payload, NOW)
        assert isinstance(found, expected), found
