"""docs/devices.md says what the code does: it is written from it, and ingest takes and refuses what it says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kaiser_common.contract.catalogue import (
    COMMON_CODES,
    DOWNLINKS,
    TOPIC_CODES,
    UPLINK,
    UPLINKS,
    DownlinkRow,
    UplinkRow,
)
from kaiser_common.contract.errors import ERRORS, Code
from kaiser_common.contract.topics import Kind, build
from kaiser_deploy.device_docs import page
from kaiser_ingest.domain.device_messages import PARSERS
from kaiser_ingest.domain.validate import Accepted, Ignored, Rejection, validate

NOW = 1_767_225_700_000


def test_the_page_is_what_the_code_says():
    assert (Path(__file__).parents[1] / "docs/devices.md").read_text() == page(), "run: make device-docs"


@pytest.mark.parametrize("row", DOWNLINKS, ids=lambda row: row.kind.value)
def test_each_field_that_a_device_is_sent_is_in_its_row(row: DownlinkRow):
    """The payload of the row: the model's fields and those that the sender adds; with a question mark those that a
    message may be without."""
    tail = row.topic.removeprefix("kaiser/{k}/esp/{esp}/")
    topic = row.topic if tail == row.topic else f"T/{tail}"
    [line] = [each for each in page().splitlines() if each.startswith(f"| `{topic}` | {row.sender} |")]
    stated = line.split(" | ")[2].split()
    assert [name.removesuffix("?") for name in stated] == [*row.model.model_fields, *row.added]
    needed = {name for name, field in row.model.model_fields.items() if field.is_required()}
    assert needed <= set(stated)


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


WRONG = [None, True, "", "x" * 99, "a\x00b", -1, 300, 2.5, 10**30, 1e300, [], [1], {}, {"a": 1}, "ESP_2"]
"""Wrong values of a field; some of them are right for some fields."""
OF_THE_STORE = {Kind.SENSOR_DATA: {Code.DUPLICATE_ENTRY}}
"""Found after ingest: test_what_is_sent_is_stored_or_rejected_and_two_probes_are_two_sensors."""


def bad_payloads(row: UplinkRow) -> Iterator[bytes]:
    """The least payload with each field missing or wrong, and what is no payload at all."""
    yield from (b"{", b"[]", b" " * 20_000, json.dumps({**row.required, "esp_id": "ESP_2"}).encode())
    names = {*row.required, *row.model.model_fields, *(each for others in row.aliases.values() for each in others)}
    for fields in _with_one_wrong(dict(row.required), names):
        yield json.dumps(fields).encode()
    for item in row.required.get("sensors", ()):
        yield json.dumps({**row.required, "ts": NOW, "sensors": [item, {**item, "value": 2}]}).encode()
        for wrong in _with_one_wrong(item, {*item, "raw_mode", "address"}):
            yield json.dumps({**row.required, "sensors": [wrong]}).encode()


def _with_one_wrong(fields: dict[str, Any], names: set[str]) -> Iterator[dict[str, Any]]:
    for name in sorted(names):
        yield {other: value for other, value in fields.items() if other != name}
        yield from ({**fields, name: value} for value in WRONG)


@pytest.mark.parametrize("row", UPLINKS, ids=lambda row: row.kind.value)
def test_a_message_is_rejected_with_the_codes_of_its_row_and_no_others(row: UplinkRow):
    topic = build(row.kind, "god", "ESP_1", 4)
    outcomes = [one for payload in bad_payloads(row) for one in validate(topic, payload, NOW)]
    found = {one.code for one in outcomes if isinstance(one, Rejection)}
    assert found - {*COMMON_CODES} == {*row.codes} - OF_THE_STORE.get(row.kind, set())


def test_a_topic_that_is_no_row_s_is_rejected_with_the_codes_of_topics():
    topics = (
        "kaiser/god/esp/ESP_1/system/nothing",
        "kaiser/god/esp/esp-1/system/will",
        "kaiser/god/esp/ESP_1/sensor/49/data",
    )
    outcomes = [one for topic in topics for one in validate(topic, b"{}", NOW)]
    assert {one.code for one in outcomes if isinstance(one, Rejection)} == {*TOPIC_CODES}


def test_a_device_s_message_is_rejected_only_with_codes_that_reject():
    said = {code for row in UPLINKS for code in row.codes} | {*COMMON_CODES, *TOPIC_CODES}
    assert said <= {row.code for row in ERRORS if row.rejects}
