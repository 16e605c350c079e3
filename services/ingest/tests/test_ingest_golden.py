"""Messages as devices of both firmware generations send them: each is accepted or rejected as written."""

import json
from pathlib import Path
from typing import Any

import pytest
from kaiser_ingest.domain.validate import Accepted, Ignored, Rejection, validate

RECEIVED_AT_MS = 1_767_225_700_000
GOLDEN = Path(__file__).parents[3] / "tests/golden"
MESSAGES = [
    example
    for name in ("device-messages", "firmware-messages")
    for example in json.loads((GOLDEN / f"{name}.json").read_text())
]
COUNTED_ONLY = "queue_pressure"
ROM_CODES = ["28FF641E8D3C0C79", "28AA1B2C3D4E5F60"]
BY_CONTRACT: dict[str, dict[str, Any]] = {
    "sensor, unknown extra fields": {"raw": 2048, "raw_mode": True, "subzone_id": "a", "ts": 1_767_225_600_000},
    "sensor, no clock": {"ts": RECEIVED_AT_MS, "clock": "server", "device_ts": 0},
    "sensor, other kaiser": {"kaiser_id": "kaiser_01", "esp_id": "ESP_0A1B2C3D", "raw": 2048},
    "sensor, far future": {"ts": RECEIVED_AT_MS, "clock": "server", "device_ts": 2_082_585_600_000},
    "heartbeat, wifi_rssi missing": {"wifi_rssi": None, "uptime": 3600, "heap_free": 45_000},
    "config response": {"status": "success", "type": "sensor", "count": 2, "failures": [], "error_code": None},
    "will": {"status": "offline", "reason": "unexpected_disconnect"},
    "zone ack": {"status": "zone_assigned", "zone_id": "z1", "subzone_id": None},
    "device error": {"error_code": 1002, "category": "HARDWARE", "message": "GPIO 5 in use"},
    "fw 26-01 stop refused, on actuator/emergency/error": {"answer": "error", "error": "unauthorized"},
    "fw 26-04 clearing failed, on actuator/emergency/error": {"answer": "error", "error": "clear_failed"},
    "fw 26-04 emergency ack": {
        "answer": "ack",
        "command": "emergency_stop",
        "outcome": "executed",
        "gpio_count": 3,
        "correlation_id": "b6d0c5",
    },
    "fw 26-04 recovery confirm": {"answer": "recovery", "state": "cleared", "correlation_id": "b6d0c6"},
    "fw 26-04 heartbeat metrics (split)": {"metrics": True, "uptime": None, "heap_free": None},
    "fw 26-04 onewire scan failed: only error and pin": {"success": False, "error": "OneWire scan failed"},
    "fw 26-04 onewire scan result": {"devices": ROM_CODES},
    "fw 26-04 intent outcome": {"outcome": "persisted", "flow": "config", "correlation_id": "6f1c2a9e8b7d4c01"},
    "fw 26-04 intent outcome, recovered from NVS, failed": {
        "outcome": "failed",
        "code": "PUBLISH_OUTBOX_FULL",
        "reason": "ESP-IDF MQTT outbox full",
    },
    "fw 26-01 subzone ack: timestamp is seconds since start": {
        "subzone_id": "beet_a",
        "status": "subzone_assigned",
        "ts": RECEIVED_AT_MS,
    },
    "fw 26-04 subzone ack": {"subzone_id": "beet_a", "ts": 1_767_225_600_000, "correlation_id": "a1b2c3d4e5f60719"},
}
"""What the messages say that the files give no figures for: from their payloads, as docs/devices.md reads them."""


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
    expected = {**(example["normalised"] or {}), **BY_CONTRACT.get(example["name"], {})}
    for one in accepted:
        assert {name: getattr(one.message, name) for name in expected} == expected


def test_something_is_compared_of_each_message_that_is_accepted() -> None:
    bare = {each["name"] for each in MESSAGES if each["expect"] == "accept" and not each["normalised"]}
    assert bare - BY_CONTRACT.keys() == {"sensor batch", "fw 26-04 queue pressure"}, "these two are compared otherwise"
    assert BY_CONTRACT.keys() <= bare


def test_both_readings_of_the_batch_come_with_their_figures() -> None:
    [batch] = [example for example in MESSAGES if example["name"] == "sensor batch"]
    outcomes = validate(batch["topic"], batch["payload"].encode(), RECEIVED_AT_MS)
    found = [
        (one.gpio, one.message.sensor_type, one.message.value, one.message.unit)  # type: ignore[attr-defined]
        for one in outcomes
        if isinstance(one, Accepted)
    ]
    assert found == [(4, "DS18B20", 21.5, "°C"), (34, "ph", 7.2, None)]
