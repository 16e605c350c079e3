"""Each message is declared once: what is not derived from the catalogue is held to it here."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest
from kaiser_actuator.domain.decode import decode as decode_of_actuator
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.catalogue import (
    BODIES,
    BUS_MESSAGES,
    DOWNLINKS,
    EVENT_MODELS,
    EVENTS,
    UPLINK,
    UPLINKS,
    Kind,
    UplinkRow,
)
from kaiser_common.contract.schemas.event import EventType
from kaiser_common.contract.schemas.sensor import SensorResponse
from kaiser_common.contract.subjects import CONSUMERS, DEVICES, SENSORS, STREAMS
from kaiser_common.contract.topics import build, is_downlink
from kaiser_deploy import broker_access
from kaiser_health.domain.decode import decode as decode_of_health
from kaiser_ingest.domain.outgoing import to_outgoing
from kaiser_ingest.domain.validate import Accepted, validate
from kaiser_sensor.domain.decode import decode as decode_of_sensor

ROOT = Path(__file__).parents[1]
NOW = 1_767_225_700_000
SAID = [row for row in UPLINKS if row.becomes == "a message"]
VECTORS = [
    vector["topic"]
    for name in ("device-messages", "firmware-messages")
    for vector in json.loads((ROOT / f"tests/golden/{name}.json").read_text())
]


def named(row: UplinkRow) -> str:
    return row.kind.value


def accepted(row: UplinkRow, payload: dict) -> Accepted:
    (found,) = validate(build(row.kind, "god", "ESP_1", 4), json.dumps(payload).encode(), NOW)
    assert isinstance(found, Accepted), found
    return found


def test_each_kind_has_one_row():
    downlinks = [row.kind for row in DOWNLINKS]
    assert [row.kind for row in UPLINKS] == list(UPLINK)
    assert sorted([*UPLINK, *downlinks]) == sorted(Kind)
    assert {kind for kind in Kind if is_downlink(kind)} == set(downlinks)
    topics = [topic for row in UPLINKS for topic in (row.topic, *row.older)] + [row.topic for row in DOWNLINKS]
    assert len(set(topics)) == len(topics)


@pytest.mark.parametrize("row", SAID, ids=named)
def test_the_least_message_goes_from_its_topic_to_its_consumer(row):
    """MQTT payload, message of the bus, and what the decoder of the service in the row makes of it."""
    found = accepted(row, dict(row.required))
    assert type(found.message) is row.model
    sent = to_outgoing(found, "id")
    assert sent.subject.startswith(f"esp.{(row.bus_kind or row.kind).value}.god.")
    stream = SENSORS if row.kind is Kind.SENSOR_DATA else DEVICES
    takers = {consumer.service for consumer in CONSUMERS if takes(consumer, stream.name, sent.subject)}
    assert takers == {row.owner, *row.also_read_by}
    delivery = Delivery(sent.subject, f"$JS.ACK.{stream.name}.c.1.1.1.1.0", sent.body, None)
    assert unreadable(row, delivery) == []


def unreadable(row: UplinkRow, delivery: Delivery) -> list:
    match row.owner:
        case "health":
            return decode_of_health([delivery]).unreadable
        case "actuator":
            return decode_of_actuator([delivery]).unreadable
        case _ if row.kind is Kind.SENSOR_DATA:
            return decode_of_sensor([delivery])[1]
    SensorResponse.model_validate_json(delivery.body)
    return []


def takes(consumer, stream: str, subject: str) -> bool:
    return consumer.stream == stream and any(subject.startswith(each.removesuffix(">")) for each in consumer.filters)


@pytest.mark.parametrize("row", [row for row in SAID if row.aliases], ids=named)
def test_a_field_is_read_under_each_of_its_names(row):
    for name, others in row.aliases.items():
        value = row.required.get(name, 7)
        rest = {other: each for other, each in row.required.items() if other != name}
        for other in others:
            message = accepted(row, {**rest, other: value}).message
            assert getattr(message, name) == getattr(accepted(row, {**rest, name: value}).message, name)


@pytest.mark.parametrize("row", [row for row in UPLINKS if row.a != "–" or row.b != "–"], ids=named)
def test_each_message_that_a_device_sends_stands_among_the_golden_ones(row):
    shapes = [re.escape(topic).replace(r"\{k\}", r"\w+") for topic in (row.topic, *row.older)]
    shapes = [shape.replace(r"\{esp\}", r"\w+").replace(r"\{gpio\}", r"\d+") for shape in shapes]
    assert any(re.fullmatch(shape, topic) for shape in shapes for topic in VECTORS)


def test_the_broker_lets_through_what_the_catalogue_has():
    assert (ROOT / "deploy/mosquitto/access.conf").read_text() == broker_access.render(), "run `make grants`"


def test_each_event_has_one_row_and_the_console_lists_it():
    names = [row.name for row in EVENTS]
    assert names == list(get_args(EventType)) == list(EVENT_MODELS)
    console = ROOT / "services/websocket-gateway/src/kaiser_gateway/console/core/filters.js"
    listed = re.search(r"EVENT_TYPES = \[(.*?)\]", console.read_text(), re.DOTALL)
    assert listed is not None
    assert re.findall(r'"(\w+)"', listed[1]) == names


def test_each_message_of_the_bus_lies_in_a_stream():
    subjects = [f"esp.{kind.value}." for kind in BODIES] + [f"event.{row.name}." for row in EVENTS]
    for subject in subjects + [row.subject for row in BUS_MESSAGES]:
        kept = [one.name for one in STREAMS for each in one.subjects if subject.startswith(each.removesuffix(">"))]
        assert len(kept) == 1, subject
