"""The problems on the overview, their order, and how events change them: tables of cases."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console_module import called, node

pytestmark = pytest.mark.servers  # they start node

NOW = 1_800_000_000_000
HEALTHY = {"esp_id": "ESP_A", "state": "approved", "online": True, "zone_id": "east", "last_seen": NOW, "name": None}
SENSOR = {"esp_id": "ESP_A", "gpio": 4, "sensor_type": "ph", "address": "", "ts": NOW - 5000, "received_at": NOW - 5000,
          "value": 7.0, "raw": 1, "unit": "pH", "quality": "good", "state": "known", "known_until": None,
          "interval_s": 10}  # fmt: skip
PUMP = {"esp_id": "ESP_A", "gpio": 25, "state": False, "value": 0, "reported_at": NOW - 9000, "last_error": None,
        "emergency": "normal", "known": True, "known_until": None}  # fmt: skip


REFUSED = {"kind": "command_failed", "severity": "warning", "esp_id": "ESP_A", "gpio": 25, "sensor_type": None,
           "address": None, "message": "ON failed: refused"}  # fmt: skip
LIMIT = {**REFUSED, "kind": "limit_hi_hi", "severity": "critical", "gpio": 4, "sensor_type": "ph"}
DISK = {**REFUSED, "kind": "disk_filling", "severity": "critical", "esp_id": None, "gpio": None}


def overview(**lists: Any) -> dict[str, Any]:
    answer = {
        "devices": [HEALTHY],
        "sensors": [SENSOR],
        "actuators": [PUMP],
        "stops": [],
        "missing": [],
        "complete": True,
    }
    return answer | lists


def event(kind: str, **data: Any) -> dict[str, Any]:
    return {"type": kind, "data": {"esp_id": "ESP_A", "gpio": 4, "sensor_type": "ph", **data}}


@pytest.fixture
def ask_spaced(missing: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """`ask_spaced([function, *arguments], …)` of core/spaced.js."""
    if node() is None:
        missing("node", "node is not installed")
    return lambda *calls: called("spaced.js", [list(call) for call in calls], tmp_path)


@pytest.fixture
def ask(missing: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """`ask([function, *arguments], …)` of core/overview.js."""
    if node() is None:
        missing("node", "node is not installed")
    return lambda *calls: called("overview.js", [list(call) for call in calls], tmp_path)


def test_each_trouble_is_named_and_leads_to_its_page(ask):
    other = {**HEALTHY, "esp_id": "ESP_B"}
    cases = [
        (overview(), []),
        (overview(devices=[{**HEALTHY, "online": False}]), [("1 device offline", "bad", ["devices", "ESP_A"])]),
        (overview(devices=[{**HEALTHY, "online": False}, {**other, "online": False}]),
         [("2 devices offline", "bad", ["devices", "state=offline"])]),
        (overview(devices=[{**one, "state": "pending"} for one in (HEALTHY, other)]),
         [("2 devices waiting for approval", "info", ["devices", "state=pending"])]),
        (overview(devices=[{**HEALTHY, "online": False, "state": "rejected"}]), []),
        (overview(devices=[HEALTHY, {**other, "online": False, "state": "pending"}]),
         [("1 device waiting for approval", "info", ["devices", "ESP_B"])]),
        # silent by the clock of the page, before anybody reports it
        (overview(sensors=[{**SENSOR, "received_at": NOW - 30_001}]),
         [("1 sensor silent", "warn", ["sensors", "ESP_A", 4, "ph"])]),
        (overview(sensors=[{**SENSOR, "received_at": NOW - 30_000}]), []),
        (overview(sensors=[{**SENSOR, "received_at": NOW - 30_001, "watched": False}]), []),
        (overview(sensors=[{**SENSOR, "gpio": gpio, "received_at": NOW - 30_001} for gpio in (4, 5)]),
         [("2 sensors silent", "warn", ["sensors", "state=silent"])]),
        (overview(sensors=[{**SENSOR, "gpio": gpio, "quality": "bad"} for gpio in (4, 5)]),
         [("2 sensors with bad values", "warn", ["sensors", "state=bad"])]),
        (overview(sensors=[{**SENSOR, "state": "offline", "known_until": NOW - 9}]), []),  # its device is counted
        (overview(sensors=[{**SENSOR, "quality": "error", "address": "64"}]),
         [("1 sensor with bad values", "warn", ["sensors", "ESP_A", 4, "ph", "64"])]),
        (overview(actuators=[{**PUMP, "last_error": "refused"}]),
         [("1 actuator with an error", "warn", ["actuators", "ESP_A", 25])]),
        (overview(actuators=[{**PUMP, "last_error": "refused", "known": False}]), []),
        (overview(actuators=[{**PUMP, "gpio": gpio, "last_error": "refused"} for gpio in (25, 26)]),
         [("2 actuators with an error", "warn", ["actuators", "state=failed"])]),
        (overview(stops=[{"esp_id": None, "gpio": None}]),
         [("1 stop in force", "bad", ["actuators", "state=stopped"])]),
        (overview(alarms=[REFUSED], alarm_kinds={"command_failed": 1}),
         [("1 command failed", "warn", ["actuators", "ESP_A", 25])]),
        (overview(alarms=[REFUSED], alarm_kinds={"command_failed": 300}),
         [("300 commands failed", "warn", ["alarms", "kind=command_failed"])]),
        (overview(alarms=[LIMIT], alarm_kinds={"limit_hi_hi": 1, "sensor_silent": 4}),
         [("1 alarm: limit hi hi", "bad", ["sensors", "ESP_A", 4, "ph"])]),
        (overview(alarms=[DISK], alarm_kinds={"disk_filling": 1}),
         [("1 alarm: disk filling", "bad", ["alarms", "kind=disk_filling"])]),
        (overview(missing=["sensor"], sensors=[]), [("service sensor does not answer", "bad", ["system"])]),
    ]  # fmt: skip
    answers = ask(*(["troublesOf", given, NOW] for given, _ in cases))
    assert [[(one["text"], one["kind"], one["page"]) for one in answer] for answer in answers] == [
        expected for _, expected in cases
    ]


def test_a_zones_troubles_lead_to_lists_of_that_zone(ask):
    silent = [{**SENSOR, "gpio": gpio, "received_at": NOW - 30_001} for gpio in (4, 5)]
    [found] = ask(["troublesOf", overview(sensors=silent), NOW, "north house"])
    assert [one["page"] for one in found] == [["sensors", "state=silent", "zone_id=north house"]]


def test_zones_and_tiles_with_trouble_are_in_front(ask):
    devices = [
        {**HEALTHY, "esp_id": "ESP_A", "zone_id": "a"},
        {**HEALTHY, "esp_id": "ESP_B", "zone_id": "b", "online": False},
        {**HEALTHY, "esp_id": "ESP_C", "zone_id": None},
    ]
    sensors = [
        {**SENSOR, "gpio": 1},
        {**SENSOR, "gpio": 2, "state": "silent", "known_until": NOW - 1},
        {**SENSOR, "esp_id": "ESP_B", "state": "offline"},
    ]
    [zones] = ask(["zonesOf", overview(devices=devices, sensors=sensors, actuators=[]), NOW])
    assert [zone["name"] for zone in zones] == ["b", "a", ""]
    assert [one["sensor"]["gpio"] for one in zones[1]["sensors"]] == [2, 1]


def test_a_sensor_beyond_a_limit_is_in_front_and_names_the_worst_limit(ask):
    fine = {**SENSOR, "gpio": 5}
    warned = {**LIMIT, "kind": "limit_hi", "severity": "warning"}
    [[zone]] = ask(["zonesOf", overview(sensors=[fine, SENSOR], alarms=[LIMIT, warned]), NOW])
    assert [(one["sensor"]["gpio"], one["rank"], one["limit"]) for one in zone["sensors"]] == [
        (4, 2, {"name": "hi-hi", "severity": "critical"}),
        (5, 0, None),
    ]


def test_an_actuator_whose_last_command_failed_says_so_in_front(ask):
    other = {**PUMP, "gpio": 26}
    [[zone]] = ask(["zonesOf", overview(actuators=[other, PUMP], alarms=[REFUSED, LIMIT]), NOW])
    assert [(one["actuator"]["gpio"], one["failure"]) for one in zone["actuators"]] == [
        (25, "ON failed: refused"),
        (26, None),
    ]


def test_events_change_what_they_are_about(ask):
    went = event("esp_health", status="offline", last_seen=NOW - 7000, ts=NOW)
    came = event("esp_health", status="online", last_seen=NOW, ts=NOW)
    reading = event("sensor_data", ts=NOW, value=8.5, quality="fair")
    stale = event("sensor_data", ts=NOW - 5000, value=7.0, quality="stale", state="silent", known_until=NOW - 2)
    stale_too = {**stale, "data": {**stale["data"], "state": "offline"}}
    on = event("actuator_status", gpio=25, state=True, value=1, ts=NOW - 8000)
    still_on = event("actuator_status", gpio=25, state=True, value=1, ts=NOW - 7500)
    after = ask(
        ["withEvents", overview(), [went]],
        ["withEvents", overview(), [went, came]],
        ["withEvents", overview(), [reading]],
        ["withEvents", overview(), [stale]],
        ["withEvents", overview(sensors=[{**SENSOR, "state": "offline"}]), [stale_too]],
        ["withEvents", overview(), [event("logic_execution")]],
        ["withEvents", overview(), [on]],
        ["withEvents", overview(), [on, still_on, went]],
        ["needsReload", overview(), [reading]],
        ["needsReload", overview(), [event("sensor_data", gpio=5, ts=NOW)]],
        ["needsReload", overview(), [event("alarm", what="raised")]],
    )
    offline, back, read, silent, still, same, running, gone, known, unknown, alarmed = after
    assert (offline["devices"][0]["online"], offline["sensors"][0]["state"]) == (False, "offline")
    assert offline["sensors"][0]["known_until"] == NOW - 5000, "its reading is newer than the last heartbeat"
    assert (offline["actuators"][0]["known"], offline["actuators"][0]["known_until"]) == (False, NOW - 7000)
    assert (back["devices"][0]["online"], back["actuators"][0]["known"]) == (True, False)
    assert (read["sensors"][0]["value"], read["sensors"][0]["unit"], read["sensors"][0]["interval_s"]) == (
        8.5,
        "pH",
        10,
    )
    assert (silent["sensors"][0]["state"], silent["sensors"][0]["known_until"]) == ("silent", NOW - 2)
    assert (still["sensors"][0]["state"], still["sensors"][0]["known_until"]) == ("offline", NOW - 2)
    assert (running["actuators"][0]["state"], running["actuators"][0]["on_since"]) == (True, NOW - 8000)
    assert (gone["actuators"][0]["last_state"], gone["actuators"][0]["on_since"]) == (True, NOW - 8000)
    assert gone["actuators"][0]["known"] is False
    assert (same, known, unknown, alarmed) == (overview(), False, True, True)


def test_a_sparkline_breaks_where_nothing_came_and_tells_the_extremes(ask):
    hours = {"lows": [None, 1, 2, None, 0], "highs": [None, 5, 4, None, 9], "means": [None, 3, 3, None, 5]}
    nothing = {"lows": [], "highs": [], "means": []}
    drawn, empty = ask(["sparkline", hours, 50, 30], ["sparkline", nothing, 50, 30])
    assert (drawn["lowest"], drawn["highest"]) == (0, 9)
    assert drawn["line"].count("M") == 1, "the two hours in a row"
    assert len(drawn["dots"]) == 1, "the lonely hour"
    assert (empty["line"], empty["lowest"]) == ("", None)


def test_an_overview_that_does_not_name_all_is_not_loaded_again_for_each_that_it_lacks(ask):
    unknown = [event("sensor_data", gpio=5, ts=NOW), event("esp_health", esp_id="ESP_NEW", status="online", ts=NOW)]
    cases = [
        (overview(), unknown[:1], True),
        (overview(), unknown[1:], True),
        (overview(missing=["sensor"]), unknown[:1], False),
        (overview(missing=["health"]), unknown[1:], False),
        (overview(complete=False), unknown, False),
    ]
    assert ask(*(["needsReload", one, batch] for one, batch, _ in cases)) == [expected for _, _, expected in cases]


def test_what_is_not_ready_is_asked_again_at_growing_intervals_that_differ(ask_spaced):
    waits = ask_spaced(*(["againAfterMs", failures, draw] for failures in (1, 2, 5, 6, 40) for draw in (0, 1)))
    assert waits == [1500, 2500, 3000, 5000, 24_000, 40_000, 45_000, 75_000, 45_000, 75_000]
