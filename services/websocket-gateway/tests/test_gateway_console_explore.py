"""The address of the page Explore, its search and its file: tables of cases."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console_module import called, node

pytestmark = pytest.mark.servers  # they start node

HOUR_MS = 3_600_000
PH = {"esp_id": "ESP_A", "gpio": 34, "sensor_type": "ph", "address": ""}
PROBE = {"esp_id": "ESP_B", "gpio": 4, "sensor_type": "ds18b20", "address": "28FF641E8D3C0C79"}


@pytest.fixture
def ask(missing: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """`ask([function, *arguments], …)` of core/explore.js."""
    if node() is None:
        missing("node", "node is not installed")
    return lambda *calls: called("explore.js", [list(call) for call in calls], tmp_path)


def test_an_address_shows_the_same_elsewhere_and_a_spoilt_one_what_can_be_read(ask):
    shown = [
        {"range": {"spanMs": HOUR_MS, "toMs": None}, "ghost": False, "sensors": [PH]},
        {"range": {"spanMs": 5000, "toMs": 1_800_000_000_000}, "ghost": True, "sensors": [PROBE, PH]},
    ]
    parts = ask(*(["toParts", one] for one in shown))
    assert parts[0] == ["3600000", "ESP_A,34,ph,"]
    assert ask(*(["fromParts", one, 1] for one in parts)) == shown
    nothing = {"range": {"spanMs": HOUR_MS, "toMs": None}, "ghost": False, "sensors": []}
    spoilt = [[], ["x"], ["10"], ["99999999999999"], ["3600000", "ESP_A", ",,", "ESP_A,four,ph,"]]
    assert ask(*(["fromParts", one, HOUR_MS] for one in spoilt)) == [nothing] * len(spoilt)
    [many] = ask(["fromParts", ["3600000", *["ESP_A,34,ph,"] * 9], HOUR_MS])
    assert len(many["sensors"]) == 6


def test_sensors_are_found_by_name_type_zone_and_device(ask):
    sensors = [{**PH, "name": "Tank 1", "unit": "pH"}, {**PROBE, "name": None, "unit": "°C"}]
    zones = {"ESP_A": "east"}
    texts = {"": 2, "tank": 1, "esp_b": 1, "ds18 °c": 1, "tank ds18": 0, "EAST tank": 1}
    script = [["matching", sensors, text, zones] for text in texts]
    assert [len(found) for found in ask(*script)] == list(texts.values())


def test_a_file_has_times_in_utc_and_runs_no_formula(ask):
    point = {"ts": 1_800_000_000_000, "mean": 1.5, "min": -1, "max": 2, "count": 3}
    [text] = ask(
        ["toCsv", [{"name": '=cmd, "x"', "zone": "-east", "esp_id": "ESP_A", "unit": "°C", "points": [point]}]]
    )
    assert text.split("\r\n") == [
        "time,sensor,device,zone,unit,mean,lowest,highest,readings",
        """2027-01-15T08:00:00.000Z,"'=cmd, ""x""\",ESP_A,'-east,°C,1.5,-1,2,3""",
    ]
