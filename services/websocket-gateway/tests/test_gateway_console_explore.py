"""The address of the page Explore, its search and its file: tables of cases."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console_module import called, node, printed

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
        {"range": {"spanMs": HOUR_MS, "toMs": None}, "ghost": False, "marked": True, "sensors": [PH]},
        {"range": {"spanMs": 5000, "toMs": 1_800_000_000_000}, "ghost": True, "marked": False, "sensors": [PROBE, PH]},
    ]
    parts = ask(*(["toParts", one] for one in shown))
    assert parts[0] == ["3600000", "ESP_A,34,ph,"]
    assert parts[1][0] == "5000-1800000000000-before-plain"
    assert ask(*(["fromParts", one, 1] for one in parts)) == shown
    nothing = {"range": {"spanMs": HOUR_MS, "toMs": None}, "ghost": False, "marked": True, "sensors": []}
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
    [named] = ask(["matching", sensors, "house tank", zones, {"ESP_A": "House 1"}])
    assert [one["name"] for one in named] == ["Tank 1"]


def test_a_text_is_broken_between_words_and_in_one_that_is_too_wide(missing: Callable[..., Any]):
    if node() is None:
        missing("node", "node is not installed")
    script = """
    import { wrapped } from "./core/wrapped.js";
    console.log(JSON.stringify(given.cases.map(([text, most]) => wrapped(text, most, ({ length }) => length))));
    """
    cases = [["ab cd ef", 5], ["a bb  cccccc d", 3], ["", 3], ["xyz", 0], ["Gewächshaustemperaturfühler Ost", 20]]
    assert printed(script, cases=cases) == [
        ["ab cd", "ef"],
        ["a", "bb", "ccc", "ccc", "d"],
        [],
        ["x", "y", "z"],
        ["Gewächshaustemperatu", "rfühler Ost"],
    ]


def test_a_file_has_times_in_utc_and_runs_no_formula(ask):
    point = {"ts": 1_800_000_000_000, "mean": 1.5, "min": -1, "max": 2, "count": 3}
    hour_before = {"ts": point["ts"] - HOUR_MS, "mean": 4, "min": 4, "max": 4, "count": 1}
    sensor = {"name": '=cmd, "x"', "zone": "-east", "esp_id": "ESP_A", "unit": "°C"}
    [text] = ask(["toCsv", [{**sensor, "points": [point], "past": [hour_before]}]])
    assert text.split("\r\n") == [
        "time,sensor,device,zone,unit,mean,lowest,highest,readings,period",
        """2027-01-15T08:00:00.000Z,"'=cmd, ""x""\",ESP_A,'-east,°C,1.5,-1,2,3,shown""",
        """2027-01-15T07:00:00.000Z,"'=cmd, ""x""\",ESP_A,'-east,°C,4,4,4,1,before""",
    ]


def span(
    begun_at: int, ended_at: int | None = None, kind: str = "limit_hi", severity: str = "warning"
) -> dict[str, Any]:
    return {"kind": kind, "severity": severity, "message": "too warm", "begun_at": begun_at, "ended_at": ended_at}


def test_marks_are_the_times_of_alarms_commands_and_starts_that_touch_the_time_shown(ask):
    """Also of an alarm that was raised before it and still stands, or was cleared in it."""
    happened = {
        "spans": [
            span(1000, 4000),
            span(2000, None, "stop_in_force", "critical"),
            span(10, 50),
            span(20, 1500),
            span(30),
            span(8001),
        ],
        "histories": [
            {
                "name": "Pump 1",
                "items": [
                    {"ts": 3000, "kind": "command", "command": "ON", "command_id": "c1", "actor": "ada"},
                    {"ts": 3001, "kind": "status", "command": None},
                    {"ts": 3500, "kind": "command", "command": "ON", "command_id": "c1", "actor": "ada"},
                    {"ts": 9000, "kind": "command", "command": "OFF", "actor": None},
                ],
            }
        ],
        "starts": [
            {"service": "ingest", "started_at": 5000, "version": "1.2"},
            {"service": "logic", "started_at": 5500, "version": "1.2"},
            {"service": "ingest", "started_at": 5000 + 200_000, "version": "1.3"},
        ],
    }
    [found] = ask(["marksOf", happened, [100, 300_000]])
    assert [(one["ts"], one["until"], one["kind"]) for one in found["marks"]] == [
        (100, 1500, "alarm"),
        (100, 300_000, "alarm"),
        (1000, 4000, "alarm"),
        (2000, 300_000, "stop"),
        (3000, None, "command"),
        (5000, None, "deployment"),
        (8001, 300_000, "alarm"),
        (9000, None, "command"),
        (205_000, None, "deployment"),
    ]
    texts = [one["text"] for one in found["marks"]]
    assert texts[0].startswith("warning: too warm, until ")
    assert ", began at " in texts[0]
    assert texts[3] == "critical: emergency stop in force: everything, still stands"
    assert texts[5] == "Kaiser 1.2 started: ingest, logic"
    assert texts[8] == "Kaiser 1.3 started: ingest"
    assert found["left"] == 0


def test_marks_are_bounded_and_those_left_out_are_counted(ask):
    """One that began before the time shown is kept, however many came since."""
    spans = [span(-5), *(span(at) for at in range(1, 251))]
    [found] = ask(["marksOf", {"spans": spans}, [0, 1000]])
    assert (len(found["marks"]), found["left"], found["areAll"]) == (100, 151, True)
    assert [one["ts"] for one in found["marks"][:2]] == [0, 152]
    many_before = [*(span(-at) for at in range(1, 71)), span(5)]
    cut, of_a_part = ask(
        ["marksOf", {"spans": many_before}, [0, 1000]], ["marksOf", {"spans": [span(5)], "areAll": False}, [0, 1000]]
    )
    assert ([one["ts"] for one in cut["marks"]], cut["left"]) == ([*[0] * 50, 5], 20)
    assert (len(of_a_part["marks"]), of_a_part["left"], of_a_part["areAll"]) == (1, 0, False)
