"""A consumer reads any bytes on the bus or says why it cannot: decoding never raises."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_actuator.domain.decode import MODELS as OF_ACTUATOR
from kaiser_actuator.domain.decode import decode as decode_of_actuator
from kaiser_common.bus.pull import Delivery
from kaiser_health.domain.decode import MODELS as OF_HEALTH
from kaiser_health.domain.decode import decode as decode_of_health
from kaiser_sensor.domain.decode import decode as decode_of_sensor

COMMON = {"kaiser_id": "god", "esp_id": "ESP_A", "ts": 1_795_000_000_000, "received_at": 1_795_000_000_000}
REST = {
    "gpio": 4,
    "state": True,
    "value": 0.5,
    "command": "ON",
    "success": True,
    "alert_type": "other",
    "actuator_type": "pump",
    "answer": "response",
    "status": "success",
    "type": "sensor",
    "handover_epoch": 1,
    "outcome": "failed",
    "correlation_id": "c",
    "devices": ["a"],
    "error_code": 1,
    "severity": "info",
    "message": "m",
    "sent_at": 1_795_000_000_000,
    "sensor_type": "ph",
    "raw_mode": True,
}
DIGITS = "9" * 5000
ODD = [
    DIGITS,
    f"-{DIGITS}",
    "253402300799999",
    "253402300800000",
    "-1",
    "1e400",
    "-1e400",
    "NaN",
    "Infinity",
    '"\\ud800"',
    '"\\u0000"',
    "[" * 500 + "]" * 500,
    '{"a":' * 100_000,
    "{}",
    "null",
    '""',
]
SUBJECTS = [
    *(f"esp.{kind}.god.ESP_A" for kind in OF_HEALTH),
    *(f"esp.{kind}.god.ESP_A.4" for kind in OF_ACTUATOR if kind != "actuator.sent"),
    "esp.actuator.sent.god.ESP_A.4.c1",
    f"esp.actuator.sent.god.ESP_A.{DIGITS}.c1",
    "esp.actuator.sent.god.ESP_A.²4.c1",
    "esp.sensor.data.god.ESP_A.4",
    "esp.of.nothing",
    "x",
]


def decoder(subject: str) -> Callable[[Sequence[Delivery]], Any]:
    if subject.startswith("esp.sensor."):
        return lambda batch: decode_of_sensor(batch)[1]
    decode = decode_of_actuator if subject.startswith("esp.actuator.") else decode_of_health
    return lambda batch: decode(batch).unreadable


def delivery(subject: str, body: bytes) -> Delivery:
    return Delivery(subject, "$JS.ACK.DEVICES.c.1.1.1.1.0", body, None)


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject[:40])
@given(body=st.binary(max_size=60))
def test_bytes_that_are_no_message_are_told_apart(subject, body):
    told = decoder(subject)([delivery(subject, body)])
    assert told, "a pack is told by its lines, anything else as a whole"
    assert all(reason for _, reason in told)


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject[:40])
def test_a_message_with_an_odd_value_in_any_field_is_read_or_told_apart(subject):
    whole = {**COMMON, **REST, "device_ts": 1, "details": {}, "meta": {}, "flags": {}, "failures": [{}], "devices": {}}
    for name in whole:
        for odd in ODD:
            others = json.dumps({key: value for key, value in whole.items() if key != name})
            body = f'{others[:-1]}, "{name}": {odd}}}'.encode()
            assert len(decoder(subject)([delivery(subject, body)])) <= 1
