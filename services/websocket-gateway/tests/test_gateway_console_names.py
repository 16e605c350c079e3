"""Names in place of ids, rules in words, and durations with units: the console's modules in Node, as tables."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console_module import called, node, printed


@pytest.fixture
def ask(missing: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """`ask(module, [function, *arguments], …)` of core/."""
    if node() is None:
        missing("node", "node is not installed")
    return lambda module, *calls: called(module, [list(call) for call in calls], tmp_path)


@pytest.fixture
def answered(missing: Callable[..., Any]) -> Callable[..., Any]:
    """`answered(script, **given)`: the JSON that a script prints, which has `given` and imports from core/."""
    if node() is None:
        missing("node", "node is not installed")
    return printed


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


SENT = """
import { toDirectory, withSentNames } from "./core/names.js";
const sensor = (gpio, name) => ({ esp_id: "ESP_A", gpio, sensor_type: "ds18b20", address: "", name });
const directory = toDirectory({ devices: [], sensors: [sensor(4, null), sensor(5, "East")], actuators: [] });
const reading = (gpio, name) => ({ type: "sensor_data", data: { ...sensor(gpio), sensor_name: name } });
const named = (batch) => [...withSentNames(directory, batch).sensors.values()].map(({ name }) => name);
console.log(JSON.stringify([
  named([reading(4, "Tank"), reading(5, "Other"), reading(6, "Unknown")]),
  named([reading(4, null)]),
  withSentNames(directory, [reading(5, "Other"), { type: "alarm", data: {} }]) === directory,
]));
"""


def test_a_sensor_without_a_configured_name_has_the_one_that_its_device_sends(answered: Callable[..., Any]):
    assert answered(SENT) == [["Tank", "East"], [None, "East"], True]


OF_A_DIRECTORY = """
import { actuatorChoices, sensorChoices, toDirectory } from "./core/names.js";
import { zonesOfRule } from "./core/rule_words.js";
const directory = toDirectory(given.overview);
console.log(JSON.stringify({
  choices: [...sensorChoices(directory), ...actuatorChoices(directory)].map(({ isKnown, value }) => [isKnown, value]),
  zones: given.rules.map((rule) => zonesOfRule(rule, directory)),
}));
"""


def test_a_rule_is_in_the_zones_of_all_devices_that_it_names(answered: Callable[..., Any]):
    devices = [
        {"esp_id": "ESP_A", "zone_id": "south"},
        {"esp_id": "ESP_B", "zone_id": "north"},
        {"esp_id": "ESP_C", "zone_id": None},
    ]
    zones = [{"zone_id": "north", "name": "North house"}]
    overview = {"devices": devices, "sensors": [], "actuators": [], "zones": zones}

    def rule(*of_conditions: str, of_actions: tuple[str, ...] = ()) -> dict[str, Any]:
        conditions = [{"type": "compound", "conditions": [{"esp_id": esp_id}]} for esp_id in of_conditions]
        actions = [{"type": "sequence", "actions": [{"esp_id": esp_id}]} for esp_id in of_actions]
        return {"conditions": [*conditions, {"type": "time_window"}], "actions": [*actions, {"type": "delay"}]}

    rules = [rule("ESP_A"), rule("ESP_A", of_actions=("ESP_B", "ESP_A")), rule("ESP_C", "ESP_D"), rule()]
    found = answered(OF_A_DIRECTORY, overview=overview, rules=rules)
    assert found["zones"] == ["south", "North house, south", "", ""]


def test_a_device_is_called_by_its_name_unless_another_has_the_same(ask):
    names = {"A": "House 1", "B": "House 2", "C": "House 2", "D": None, "E": ""}
    [found] = ask("names.js", ["namesByDevice", [{"esp_id": esp_id, "name": name} for esp_id, name in names.items()]])
    assert found == {"A": "House 1", "B": "B", "C": "C", "D": "D", "E": "E"}


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


def test_a_picker_says_of_what_is_not_known_what_was_known_last_and_until_when(answered: Callable[..., Any]):
    sensor = {"esp_id": "ESP_A", "gpio": 4, "sensor_type": "ds18b20", "value": 20.5, "unit": "°C"}
    pump = {"esp_id": "ESP_A", "gpio": 25, "actuator_type": "pump", "value": 0}
    overview = {
        "devices": [{"esp_id": "ESP_A"}],
        "sensors": [
            {**sensor, "name": "a", "state": "known", "known_until": None},
            {**sensor, "gpio": 5, "name": "b", "state": "silent", "known_until": 1_800_000_000_000},
            {**sensor, "gpio": 6, "name": "c", "state": "offline", "known_until": None},
        ],
        "actuators": [
            {**pump, "name": "a", "state": True, "known": True, "value": 1, "last_state": True},
            {**pump, "gpio": 26, "name": "b", "state": None, "known": False, "last_state": False,
             "known_until": 1_800_000_000_000},
            {**pump, "gpio": 27, "name": "c", "state": None, "known": False, "last_state": None, "known_until": None},
        ],
    }  # fmt: skip
    found = answered(OF_A_DIRECTORY, overview=overview, rules=[])["choices"]
    since = found[1][1].partition(" not known since ")[2]
    assert re.match(r"1[456] Jan 2027, \d\d:", since), since
    assert found == [
        [True, "20.5 °C"],
        [False, f"last known 20.5 °C, not known since {since}"],
        [False, "last known 20.5 °C, not known since then"],
        [True, "on"],
        [False, f"last known off, not known since {since}"],
        [False, "no state was reported yet"],
    ]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("East over 30 °C for 1 min", "east-over-30-c-for-1-min"),
        ("Überhitzt!", "ueberhitzt"),
        ("…", "rule"),
        ("a" * 80, "a" * 64),
    ],
)
def test_a_name_of_an_alarm_is_made_of_the_name_of_its_rule(ask, text, name):
    assert ask("rule_words.js", ["alarmName", text]) == [name]


def test_a_zone_has_its_name_and_one_that_only_a_device_names_its_id(ask):
    devices = [{"esp_id": "A", "zone_id": "east"}, {"esp_id": "B", "zone_id": "old"}, {"esp_id": "C", "zone_id": None}]
    zones = [{"zone_id": "east", "name": "Greenhouse, east"}]
    overview = {"devices": devices, "sensors": [], "actuators": [], "zones": zones}
    [found] = ask("names.js", ["zonesByDevice", overview])
    assert found == {"A": "Greenhouse, east", "B": "old", "C": None}


def test_a_form_sends_what_was_changed_alone(ask):
    stored = {"name": "East", "description": None, "position": 0, "points": [1, 2], "id": 7}
    same, changed = ask(
        "changes.js",
        ["changesOf", stored, {"name": "East", "description": None, "position": 0, "points": [1, 2], "new": None}],
        ["changesOf", stored, {"name": None, "description": "by the river", "points": [2]}],
    )
    assert (same, changed) == ({}, {"name": None, "description": "by the river", "points": [2]})


@pytest.mark.parametrize(
    ("name", "zone_id"),
    [
        ("Greenhouse, east", "greenhouse_east"),
        ("Gewächshaus Süd 2", "gewachshaus_sud_2"),
        ("Straße", "strasse"),
        ("–", ""),
    ],
)
def test_an_id_is_proposed_for_a_name(ask, name, zone_id):
    assert ask("changes.js", ["idOf", name]) == [zone_id]


def test_a_rejected_message_stands_once_among_what_came_and_went(ask):
    topic = "kaiser/god/esp/ESP_1/sensor/4/data"
    passed = [
        {"seq": 1, "at": 10, "direction": "came", "verdict": "accepted", "topic": topic, "payload": "{}"},
        {"seq": 2, "at": 20, "direction": "came", "verdict": "rejected", "topic": topic, "payload": "{", "code": 5209},
        {"seq": 3, "at": 30, "direction": "went", "verdict": "sent", "topic": "kaiser/x", "payload": "ON"},
    ]
    rejected = [
        {
            "seq": 4096,
            "received_at": 20,
            "topic": topic,
            "payload": "{",
            "encoding": "text",
            "code": 5209,
            "message": "no JSON",
        },
        {
            "seq": 8192,
            "received_at": 5,
            "topic": "esp.zone.ack.god.ESP_1",
            "payload": "{}",
            "encoding": "text",
            "code": 5407,
            "message": "x",
        },
    ]
    [found] = ask("inspection.js", ["inOneList", passed, rejected])
    assert [(one["at"], one["direction"], one["seq"]) for one in found] == [
        (30, "went", None),
        (20, "came", 4096),
        (10, "came", None),
        (5, "inside", 8192),
    ]
    wanted = [
        {"way": way, "text": text} for way, text in (("", "json"), ("went", ""), ("rejected", "5209"), ("came", "on"))
    ]
    answers = ask("inspection.js", *(["isWanted", one, want] for want in wanted for one in found[:3]))
    assert [answers[place : place + 3] for place in range(0, 12, 3)] == [
        [False, True, False],
        [True, False, False],
        [False, True, False],
        [False, True, False],
    ]
