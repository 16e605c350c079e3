"""tests/golden/line.json holds every message of the catalogue in each form that it takes along the line; each form is
made of the one before by the product's own functions, and compared.

uplinks: payload of a device → message on the bus → event and row that follow from it alone → frame of the WebSocket.
downlinks: message of a service on OUTBOX → payload for the device. events: data → subject → frame. bus: body.
`UPDATE_GOLDEN=1` writes the file anew: read what changed before it is committed.
"""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kaiser_actuator.domain import outgoing as of_actuator
from kaiser_common.bus.connection import Outgoing
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.catalogue import (
    BUS_MESSAGES,
    DOWNLINKS,
    EVENT_MODELS,
    EVENTS,
    UPLINK,
    UPLINKS,
    DownlinkRow,
    EventRow,
    Kind,
    UplinkRow,
)
from kaiser_common.contract.schemas.event import OutboxMessage
from kaiser_common.contract.subjects import (
    command_subject,
    event_pack_subject,
    event_subject,
    is_packed,
    outbox_subject,
)
from kaiser_common.contract.topics import BROADCAST, build, parse
from kaiser_gateway.domain.frames import events_of
from kaiser_health.domain import events as of_health
from kaiser_ingest.domain.judge import Allowed, judge
from kaiser_ingest.domain.outgoing import to_outgoing
from kaiser_ingest.domain.validate import Accepted, Ignored, validate
from kaiser_sensor.domain.decode import decode as readings_of
from kaiser_sensor.domain.process import Processor
from kaiser_sensor.domain.rows import COLUMNS, to_event, to_row

FILE = Path(__file__).parent / "golden/line.json"
GOLDEN: dict[str, dict[str, dict[str, Any]]] = json.loads(FILE.read_text())
NOW_MS = 1_767_225_700_000
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)
STREAM_SEQUENCE = 1000
PROCESSOR = Processor({}, lambda sensor_type, reason: None)

FOLLOWING: dict[Kind, Callable[[Any], Outgoing]] = {
    Kind.ACTUATOR_STATUS: of_actuator.status_event,
    Kind.ACTUATOR_RESPONSE: of_actuator.unmatched_response_event,
    Kind.ACTUATOR_ALERT: lambda alert: of_actuator.alert_event(alert, critical=True),
    Kind.HEARTBEAT: lambda beat: of_health.health_event(beat.kaiser_id, beat.esp_id, True, NOW, heartbeat=beat),
    Kind.HEARTBEAT_METRICS: lambda beat: of_health.health_event(beat.kaiser_id, beat.esp_id, True, NOW, heartbeat=beat),
    Kind.INTENT: lambda intent: of_health.intent_event(intent, NOW),
    Kind.LIFECYCLE: lambda intent: of_health.intent_event(intent, NOW),
    Kind.SCAN: lambda scan: of_health.scan_event(scan, None, NOW),
}
"""The event of a message, where it follows from the message alone. Others depend on what a service knows, as the push
that a device answers; the tests of that service have them."""


def object_of(text: bytes | str) -> Any:
    return json.loads(text)


def frame_of(subject: str, body: bytes) -> Any:
    """The frame that a client gets of a message on EVENTS."""
    delivery = Delivery(subject, f"$JS.ACK.EVENTS.c.1.{STREAM_SEQUENCE}.1.{NOW_MS}000000.0", body, None)
    [event] = events_of(delivery, lambda kind, esp_id: True)
    return object_of(event.frame)


def uplink(row: UplinkRow, given: dict[str, Any]) -> dict[str, Any]:
    """The forms of a device's payload along the line."""
    topic = build(row.kind, "god", given["esp_id"], given.get("gpio"))
    forms: dict[str, Any] = {**given, "topic": topic}
    found, *_ = validate(topic, json.dumps(given["payload"]).encode(), NOW_MS)  # of a batch the first reading
    if isinstance(found, Ignored):
        return forms
    assert isinstance(found, Accepted), found
    sent = to_outgoing(found, "id")
    forms |= {"subject": sent.subject, "body": object_of(sent.body)}
    if sent.subject.startswith("esp.sensor.data."):
        delivery = Delivery(sent.subject, "$JS.ACK.SENSORS.c.1.1.1.1.0", sent.body, None)
        [pack], _ = readings_of([delivery])
        processed = PROCESSOR.process(pack.readings[0], None)
        body = to_event(processed)
        row_of_it = [each.isoformat() if isinstance(each, datetime) else each for each in to_row(processed)]
        forms["row"] = dict(zip(COLUMNS, row_of_it, strict=True))
        follows = Outgoing(event_pack_subject(), body, "")
    elif row.kind in FOLLOWING:
        follows = FOLLOWING[row.kind](found.message)
    else:
        return forms
    forms["event"] = {"subject": follows.subject, "data": object_of(follows.body)}
    forms["frame"] = frame_of(follows.subject, follows.body)
    return forms


def downlink(row: DownlinkRow, given: dict[str, Any]) -> dict[str, Any]:
    """How a message of a service reaches a device."""
    message = row.model.model_validate(given["message"])
    broadcast = row.kind is Kind.BROADCAST_EMERGENCY
    topic = build(row.kind, "god", "ESP_0A1B2C3D", 4)
    payload = message.model_dump_json(exclude_none=True, by_alias=True)
    forms = {**given, "topic": topic, "sent": object_of(payload)}
    assert parse(topic).kind is row.kind
    if row.lane is None:
        return forms
    site, device = (BROADCAST, "all") if broadcast else ("god", "ESP_0A1B2C3D")
    subject = command_subject(site, device, 4) if row.lane == "command" else outbox_subject(site, device, row.lane)
    allowed = judge(subject, OutboxMessage(topic=topic, payload=payload), "B")
    assert isinstance(allowed, Allowed), allowed
    return {**forms, "subject": subject, "sent": object_of(allowed.payload)}


def event(row: EventRow, given: dict[str, Any]) -> dict[str, Any]:
    """The frame of an event, as a client sees it."""
    data = row.model.model_validate(given["data"]).model_dump_json(exclude_none=True)
    esp_id = given["data"].get("esp_id")
    subject = event_subject(row.name, esp_id)
    if is_packed(f"event.{row.name}."):
        subject = event_pack_subject(kind=row.name)
    return {**given, "data": object_of(data), "subject": subject, "frame": frame_of(subject, data.encode())}


def compare(part: str, name: str, forms: dict[str, Any]) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN[part][name] = forms
        FILE.write_text(json.dumps(GOLDEN, indent=1, ensure_ascii=False) + "\n")
    assert forms == GOLDEN[part][name]


def test_every_message_of_the_catalogue_is_here():
    assert list(GOLDEN["uplinks"]) == [row.kind.value for row in UPLINKS]
    assert list(GOLDEN["downlinks"]) == [row.kind.value for row in DOWNLINKS]
    assert list(GOLDEN["events"]) == [row.name for row in EVENTS]
    assert list(GOLDEN["bus"]) == [row.name for row in BUS_MESSAGES]


@pytest.mark.parametrize("row", UPLINKS, ids=lambda row: row.kind.value)
def test_a_device_s_message_in_all_its_forms(row: UplinkRow):
    compare("uplinks", row.kind.value, uplink(row, _given("uplinks", row.kind.value, "payload", "esp_id", "gpio")))


@pytest.mark.parametrize("row", DOWNLINKS, ids=lambda row: row.kind.value)
def test_a_message_to_a_device_in_all_its_forms(row: DownlinkRow):
    compare("downlinks", row.kind.value, downlink(row, _given("downlinks", row.kind.value, "message")))


@pytest.mark.parametrize("row", EVENTS, ids=lambda row: row.name)
def test_an_event_in_all_its_forms(row: EventRow):
    compare("events", row.name, event(row, _given("events", row.name, "data")))


@pytest.mark.parametrize("row", BUS_MESSAGES, ids=lambda row: row.name)
def test_another_message_of_the_bus(row):
    body = GOLDEN["bus"][row.name]["body"]
    read = row.model.model_validate(body)
    assert object_of(read.model_dump_json(exclude_none=True)) == body


def test_an_event_that_follows_from_a_message_is_one_that_its_service_publishes():
    for kind, forms in GOLDEN["uplinks"].items():
        if "event" not in forms:
            continue
        name = forms["event"]["subject"].split(".")[1]
        owner = UPLINK[Kind(kind)].owner
        assert owner in next(row.publishers for row in EVENTS if row.name == name)
        EVENT_MODELS[name].model_validate(forms["event"]["data"])


def _given(part: str, name: str, *fields: str) -> dict[str, Any]:
    return {field: value for field, value in GOLDEN[part][name].items() if field in fields}
