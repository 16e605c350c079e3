"""The content of lists and figures of alarms, as their address states it: tables of cases."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console_module import called, node, printed
from kaiser_common.contract.schemas.api.actuators import ACTUATOR_TYPE
from kaiser_gateway.http import console_files

pytestmark = pytest.mark.servers  # they start node

NAMES = ["state", "zone_id"]
DAY_MS = 86_400_000


@pytest.fixture
def ask(missing: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """`ask(module, [function, *arguments], …)`: of a module of core/."""
    if node() is None:
        missing("node", "node is not installed")
    return lambda module, *calls: called(module, [list(call) for call in calls], tmp_path)


@pytest.fixture
def answered(missing: Callable[..., Any]) -> Callable[..., Any]:
    """`answered(script, **given)`: the JSON that a script prints."""
    if node() is None:
        missing("node", "node is not installed")
    return printed


def test_an_address_of_a_list_shows_the_same_elsewhere(ask):
    filters = {"state": "silent", "zone_id": "north=1"}
    [parts] = ask("list_filters.js", ["filterParts", filters])
    assert parts == ["state=silent", "zone_id=north=1"]
    nothing = {"state": "", "zone_id": ""}
    calls = [["filtersOf", given, NAMES] for given in (parts, [], ["other=1"], ["state"], ["zone_id="])]
    assert ask("list_filters.js", *calls) == [filters, *[nothing] * 4]
    assert ask("list_filters.js", ["asQuery", {"state": "", "zone_id": "north"}]) == [
        {"state": None, "zone_id": "north"}
    ]


def test_the_parts_of_a_things_address_are_those_of_no_list(ask):
    given = [[], ["state=silent"], ["ESP_A", "4", "ph"], ["ESP_A", "4", "ph", "addr=1"]]
    assert ask("list_filters.js", *(["isList", parts] for parts in given)) == [True, True, False, False]


def test_the_figures_of_alarms_have_a_time_and_a_group_whatever_the_address_says(ask):
    week = {"spanMs": 7 * DAY_MS, "toMs": None}
    cases = [
        ({"by": "", "span": "", "to": ""}, {"by": "kind", "range": week}),
        ({"by": "zone", "span": str(DAY_MS), "to": "1800000000000"},
         {"by": "zone", "range": {"spanMs": DAY_MS, "toMs": 1_800_000_000_000}}),
        ({"by": "x", "span": "12", "to": "soon"}, {"by": "kind", "range": week}),
        ({"by": "source", "span": "99999999999999", "to": ""}, {"by": "source", "range": week}),
    ]  # fmt: skip
    assert ask("alarm_figures.js", *(["askedBy", given] for given, _ in cases)) == [expected for _, expected in cases]
    assert ask("alarm_figures.js", ["rangeFilters", week]) == [{"span": str(7 * DAY_MS), "to": ""}]


def test_a_row_of_figures_leads_to_its_thing_and_to_its_alarms(ask):
    device = {"name": "ESP_A", "esp_id": "ESP_A", "gpio": None, "sensor_type": None, "address": None}
    sensor = {**device, "name": "s", "gpio": 4, "sensor_type": "ph", "address": "64"}
    cases = [
        ("kind", {"name": "no_channel"}, None, ["alarms", "shown=all", "kind=no_channel"]),
        ("source", device, ["devices", "ESP_A"], ["alarms", "shown=all", "source=ESP_A"]),
        (
            "source",
            {**device, "name": "p", "gpio": 25},
            ["actuators", "ESP_A", 25],
            ["alarms", "shown=all", "source=p"],
        ),
        ("source", sensor, ["sensors", "ESP_A", 4, "ph", "64"], ["alarms", "shown=all", "source=s"]),
        ("source", {"name": "", "esp_id": None}, None, None),
        ("zone", {"name": "north"}, ["zones", "north"], ["alarms", "shown=all", "zone_id=north"]),
        ("zone", {"name": ""}, None, None),
    ]
    pages = ask("alarm_figures.js", *(["pageOf", by, row] for by, row, _, _ in cases))
    alarms = ask("alarm_figures.js", *(["alarmsOf", by, row] for by, row, _, _ in cases))
    assert (pages, alarms) == ([page for _, _, page, _ in cases], [listed for _, _, _, listed in cases])


def test_an_empty_list_of_alarms_says_that_all_is_well_only_if_nothing_narrows_it(ask):
    every = {"severity": "", "kind": "", "source": "", "zone_id": ""}
    told = "Nothing is wrong: no alarm is open."
    cases = [
        ({**every, "shown": ""}, told),
        ({**every, "shown": "open"}, told),
        ({**every, "shown": "closed"}, "No alarm is closed yet."),
        ({**every, "shown": "all"}, "There have been no alarms yet."),
        *[({**every, name: "x", "shown": ""}, "No alarm fits this choice.") for name in every],
        *[({**every, name: "x", "shown": "all"}, "No alarm fits this choice.") for name in every],
    ]
    assert ask("alarms.js", *(["emptyText", filters] for filters, _ in cases)) == [text for _, text in cases]


def test_groups_stand_by_name_and_what_has_none_last_or_all_as_their_first_rows_do(answered: Callable[..., Any]):
    script = """
    import { inGroups } from "./core/groups.js";
    const rows = [[1, "b"], [2, null], [3, "a"], [4, "b"], [5, ""]];
    const groups = (of, order) => inGroups(of, ([, name]) => name, order);
    const shown = (of, order) => groups(of, order).map((group) => [group.name, group.rows.map(([row]) => row)]);
    console.log(JSON.stringify([shown(rows), shown(rows, "rows"), shown([[0, null], ...rows], "rows")]));
    """
    by_name, by_rows, by_rows_with_a_stop = answered(script)
    assert by_name == [["a", [3]], ["b", [1, 4]], ["", [2, 5]]]
    assert by_rows == [["b", [1, 4]], ["", [2, 5]], ["a", [3]]]
    assert by_rows_with_a_stop == [["", [0, 2, 5]], ["b", [1, 4]], ["a", [3]]]


def test_a_text_in_the_log_s_field_means_the_devices_that_it_fits_and_none_narrows_where_they_are_many(
    answered: Callable[..., Any],
):
    script = """
    import { idsOf, isCalled } from "./core/filters.js";
    const devices = new Map(Object.entries(given.names).map(([id, name]) => [id, { esp_id: id, name }]));
    const called = [isCalled("HOUSE", null, "House 1"), isCalled("x", null, null)];
    console.log(JSON.stringify([given.texts.map((text) => idsOf(text, devices)), ...called]));
    """
    many = {f"SIM_{number}": None for number in range(30)}
    names = {"ESP_A": "House 1", "ESP_AB": "House 2", "ESP_C": None, **many}
    texts = ["", "ESP_A", "esp_a", "house 2", "ESP_NEW", "sim_"]
    assert answered(script, names=names, texts=texts) == [
        [[], ["ESP_A"], ["ESP_A", "ESP_AB"], ["ESP_AB"], ["ESP_NEW"], []],
        True,
        False,
    ]


def test_the_severity_of_an_event_is_in_its_line_and_its_badge(ask):
    def event(kind: str, **data: Any) -> dict[str, Any]:
        return {"type": kind, "data": data}

    notice = {"event": "rule_notification", "message": "too warm", "details": {"rule_name": "East"}}
    alert = {"gpio": 25, "alert_type": "hardware_error", "message": "stuck"}
    cases = [
        (event("system_event", severity="critical", **notice), "critical: rule East: too warm", "bad"),
        (event("system_event", severity="error", **notice), "error: rule East: too warm", "bad"),
        (event("system_event", severity="warning", **notice), "warning: rule East: too warm", "warn"),
        (event("system_event", severity="info", **notice), "info: rule East: too warm", "info"),
        (event("system_event", **notice), "rule East: too warm", None),
        (event("actuator_alert", severity="warning", **alert), "warning: gpio 25 hardware error: stuck", "warn"),
    ]
    assert ask("summaries.js", *(["summary", one] for one, _, _ in cases)) == [line for _, line, _ in cases]
    alarms = [event("alarm", severity="critical", what=what) for what in ("raised", "raised_again", "cleared")]
    badges = ask("alarms.js", *(["severityBadge", one] for one in (*(case for case, _, _ in cases), *alarms)))
    assert badges == [*(badge for _, _, badge in cases), "bad", "bad", None]


def test_the_list_of_actuators_knows_the_form_of_their_types():
    source = (Path(console_files.FOLDER) / "pages" / "actuators.js").read_text()
    assert re.findall(r"^const TYPE = /(.*)/;$", source, re.MULTILINE) == [ACTUATOR_TYPE]
