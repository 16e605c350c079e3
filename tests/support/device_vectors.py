"""The messages of tests/golden as devices of both firmware generations send them, and how each is to be read."""

import json
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parents[1] / "golden"
MESSAGES: list[dict[str, Any]] = [
    example
    for name in ("device-messages", "firmware-messages")
    for example in json.loads((GOLDEN / f"{name}.json").read_text())
]
RECEIVED_AT_MS = 1_767_225_700_000
"""The receive time by which the messages are judged: where BY_CONTRACT has it, the time is the receive time."""
COUNTED_ONLY = "queue_pressure"
"""The topic of what is counted and goes no further."""
BATCH = "sensor batch"
READINGS_OF_BATCH = [(4, "DS18B20", 21.5, "°C"), (34, "ph", 7.2, None)]
"""gpio, sensor type, value and unit of each reading of the batch."""
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
"""The values of messages for which the files give no figures: from their payloads, as docs/devices.md reads them."""


def expected_of(example: dict[str, Any]) -> dict[str, Any]:
    """The fields that the message must have once it is read."""
    return {**(example["normalised"] or {}), **BY_CONTRACT.get(example["name"], {})}
