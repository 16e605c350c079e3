"""A message that a service rejected from the bus goes to it again, marked as replayed."""

import json

import pytest
from kaiser_common.bus.connection import Outgoing
from kaiser_common.contract.schemas.actuator import ActuatorAlert
from kaiser_common.contract.schemas.sensor import Reading
from kaiser_ingest.domain.replays import to_outgoing_again
from kaiser_ingest.domain.validate import Rejection

NOW = 1_767_225_600_000
KNOWN = {"ESP_A": None}
COMMON = {"kaiser_id": "god", "esp_id": "ESP_A", "gpio": 4, "ts": NOW, "received_at": NOW}


@pytest.mark.parametrize(
    ("subject", "model", "fields"),
    [
        ("esp.sensor.data.god.0", Reading, {"sensor_type": "ph", "raw": 1, "raw_mode": True}),
        ("esp.actuator.alert.god.ESP_A.4", ActuatorAlert, {"alert_type": "emergency_stop"}),
    ],
)
def test_a_message_on_which_a_service_had_a_bug_is_sent_to_it_again(subject, model, fields):
    body = json.dumps({**COMMON, **fields}).encode()
    again = to_outgoing_again(subject, body, KNOWN, "replay.7.0")
    assert isinstance(again, Outgoing)
    assert (again.subject, again.msg_id) == (subject, "replay.7.0")
    before, after = model.model_validate_json(body), model.model_validate_json(again.body)
    assert after == before.model_copy(update={"replayed": True})


@pytest.mark.parametrize(
    ("subject", "body", "code"),
    [
        ("esp.actuator.sent.god.ESP_A.4.c1", b"{}", 5212),
        ("esp.downlink.god.ESP_A", json.dumps(COMMON).encode(), 5212),
        ("esp.system.alive.god.digest", b'{"devices":{}}', 5212),
        ("esp.actuator.alert.*.ESP_A.4", json.dumps(COMMON).encode(), 5212),
        ("esp.actuator.alert.god.ESP_A.4", b"\xff", 5209),
        ("esp.actuator.alert.god.ESP_A.4", b"[" * 9000, 5209),
        ("esp.actuator.alert.god.ESP_A.4", b"[]", 5209),
        ("esp.actuator.alert.god.ESP_A.4", json.dumps({**COMMON, "esp_id": "ESP_B"}).encode(), 5001),
        ("esp.actuator.alert.god.ESP_A.4", b"{}", 5001),
    ],
)
def test_what_is_no_message_of_a_registered_device_is_rejected_again(subject, body, code):
    found = to_outgoing_again(subject, body, KNOWN, "replay.7.0")
    assert isinstance(found, Rejection)
    assert found.code == code
