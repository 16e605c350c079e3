"""Whether a value is known: the console judges events as the service sensor judges what it lists; a table of cases.

The cases are those of services/sensor/tests/test_sensor_known.py.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console_module import called, node

pytestmark = pytest.mark.servers  # they start node

NOW = 1_800_000_000_000
INTERVAL_S = 30


@pytest.fixture
def ask(missing: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """`ask([function, *arguments], …)` of core/overview.js."""
    if node() is None:
        missing("node", "node is not installed")
    return lambda *calls: called("overview.js", [list(call) for call in calls], tmp_path)


def test_a_device_that_goes_offline_takes_its_sensors_along_as_the_service_has_it(ask):
    cases = [  # received and last heard, s ago; state and until when it was known, s ago
        (600, 300, ("offline", 510)),  # it fell silent before its device went
        (20, 10, ("offline", 10)),
        (10, 10, ("offline", 10)),
        (5, 10, ("offline", 5)),  # heartbeats, by which the registry hears a device, are rarer
        (5, 96, ("known", None)),  # the device is back
    ]

    def after(received_s_ago: int, heard_s_ago: int) -> list[Any]:
        sensor = {"esp_id": "ESP_A", "gpio": 4, "sensor_type": "ph", "ts": NOW - received_s_ago * 1000,
                  "interval_s": INTERVAL_S, "state": "known", "known_until": None}  # fmt: skip
        health = {"esp_id": "ESP_A", "status": "offline", "last_seen": NOW - heard_s_ago * 1000, "ts": NOW}
        overview = {"devices": [], "sensors": [sensor], "actuators": []}
        return ["withEvents", overview, [{"type": "esp_health", "data": health}]]

    answers = ask(*(after(received, heard) for received, heard, _ in cases))
    assert [(one["state"], one["known_until"]) for answer in answers for one in answer["sensors"]] == [
        (state, None if until is None else NOW - until * 1000) for _, _, (state, until) in cases
    ]
