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


@pytest.fixture
def ask_known(missing: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """`ask_known([function, *arguments], …)` of core/known.js."""
    if node() is None:
        missing("node", "node is not installed")
    return lambda *calls: called("known.js", [list(call) for call in calls], tmp_path)


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


def test_the_state_of_an_actuator_is_not_known_from_when_its_device_went_until_it_is_reported_again(ask_known):
    def health(status: str, esp_id: str = "ESP_A") -> dict[str, Any]:
        return {"type": "esp_health", "data": {"esp_id": esp_id, "status": status, "last_seen": NOW - 5000, "ts": NOW}}

    went, came = health("offline"), health("online")
    on = {"type": "actuator_status", "data": {"esp_id": "ESP_A", "gpio": 25, "state": True, "value": 1, "ts": NOW}}
    other_pin = {**on, "data": {**on["data"], "gpio": 26}}
    replayed = {**on, "data": {**on["data"], "replayed": True}}
    cases = [  # events in their order; state, whether it is known, until when it was
        ([], (False, True, None)),
        ([came], (False, True, None)),  # a heartbeat of a device that was online all the time
        ([went], (False, False, NOW - 5000)),
        ([went, health("online", "ESP_B"), health("unknown")], (False, False, NOW - 5000)),
        ([went, came], (False, False, None)),
        ([went, came, other_pin, came], (False, False, None)),
        ([went, came, on], (True, True, None)),
        ([went, came, replayed], (False, False, None)),
        ([replayed], (False, True, None)),
        ([went, on, came], (True, True, None)),
        ([on, came, went], (True, False, NOW)),
    ]
    pump = {"esp_id": "ESP_A", "gpio": 25, "state": False, "value": 0, "reported_at": NOW - 9000, "known": True,
            "known_until": None}  # fmt: skip
    after = ask_known(*(["actuatorWith", pump, batch] for batch, _ in cases))
    assert [(one["state"], one["known"], one["known_until"]) for one in after] == [expected for _, expected in cases]


def test_a_list_of_actuators_is_asked_for_again_when_the_device_of_one_comes_back_and_not_by_each_heartbeat(ask_known):
    here = {"esp_id": "ESP_A", "known": True, "known_until": None}
    away = {"esp_id": "ESP_B", "known": False, "known_until": NOW}
    never_reported = {"esp_id": "ESP_C", "known": False, "known_until": None}

    def health(esp_id: str, status: str = "online") -> dict[str, Any]:
        return {"type": "esp_health", "data": {"esp_id": esp_id, "status": status}}

    cases = [
        ([health("ESP_A"), health("ESP_C")], False),
        ([health("ESP_B", "offline")], False),
        ([{"type": "actuator_status", "data": {"esp_id": "ESP_B"}}], False),
        ([health("ESP_A"), health("ESP_B")], True),
    ]
    answers = ask_known(*(["bringsBack", [here, away, never_reported], batch] for batch, _ in cases))
    assert answers == [expected for _, expected in cases]
