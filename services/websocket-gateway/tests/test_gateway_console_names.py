"""Names in place of ids, rules in words, and durations with units: the console's modules in Node, as tables."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console_module import called, node


@pytest.fixture
def ask(missing: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """`ask(module, [function, *arguments], …)` of core/."""
    if node() is None:
        missing("node", "node is not installed")
    return lambda module, *calls: called(module, [list(call) for call in calls], tmp_path)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (1, "1 s"),
        (59, "59 s"),
        (60, "1 min"),
        (90, "90 s"),
        (3600, "1 h"),
        (5400, "90 min"),
        (86_400, "1 d"),
    ],
)
def test_a_duration_has_the_largest_unit_in_which_it_is_whole(ask, seconds, text):
    assert ask("durations.js", ["durationText", seconds]) == [text]


def test_things_are_named_by_what_was_configured_else_by_what_they_are(ask):
    assert ask(
        "names.js",
        ["sensorName", {"name": "East", "sensor_type": "ds18b20", "gpio": 4}],
        ["sensorName", {"name": None, "sensor_type": "ds18b20", "gpio": 4, "address": "28FF"}],
        ["actuatorName", {"name": "", "actuator_type": "pump", "gpio": 25}],
        ["actuatorName", {"gpio": 25}],
    ) == ["East", "ds18b20 on gpio 4 at 28FF", "pump on gpio 25", "actuator on gpio 25"]


def test_a_search_finds_each_word_in_name_place_type_or_id(ask):
    choices = [
        {"name": "East air", "where": "north, House 1", "words": "sht31_temp ESP_A"},
        {"name": "West air", "where": "north, House 1", "words": "sht31_temp ESP_B"},
    ]
    found = ask("names.js", *[["fitting", choices, text] for text in ("", "EAST", "air house", "esp_b", "east west")])
    assert [[one["name"] for one in each] for each in found] == [
        ["East air", "West air"],
        ["East air"],
        ["East air", "West air"],
        ["West air"],
        [],
    ]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("East over 30 °C for 1 min", "east-over-30-c-for-1-min"),
        ("Überhitzt!", "berhitzt"),
        ("…", "rule"),
        ("a" * 80, "a" * 64),
    ],
)
def test_a_name_of_an_alarm_is_made_of_the_name_of_its_rule(ask, text, name):
    assert ask("rule_words.js", ["alarmName", text]) == [name]
