"""The dashboards can be imported anywhere: no uid of a data source, and each metric is that of the chosen Kaiser."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy/grafana"
BOARDS = sorted((FOLDER / "dashboards").glob("*.json"))
SCOPE = 'namespace="$namespace",site="$site"'
boards = pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def targets(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [target for panel in board["panels"] for target in panel["targets"]]


@boards
def test_every_data_source_is_a_variable_that_the_board_has(path: Path):
    board = read(path)
    variables = {each["name"]: each for each in board["templating"]["list"]}
    used = set(re.findall(r'"uid": "([^"]*)"', json.dumps({**board, "uid": None})))
    assert used <= {"${datasource}", "${database}", "-- Grafana --"}
    kinds = {"${datasource}": "prometheus", "${database}": "grafana-postgresql-datasource"}
    for uid in used & kinds.keys():
        variable = variables[uid[2:-1]]
        assert (variable["type"], variable["query"]) == ("datasource", kinds[uid])


@boards
def test_every_variable_of_a_query_is_one_of_the_board(path: Path):
    board = read(path)
    known = {each["name"] for each in board["templating"]["list"]} | {"__rate_interval", "__range", "__interval"}
    known |= {"__timeFilter", "__timeGroupAlias", "__data"}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(board["panels"]))) <= known


@boards
def test_every_metric_is_that_of_the_kaiser_that_was_chosen(path: Path):
    for target in targets(read(path)):
        if "expr" in target:
            selectors = re.findall(r"([\w:]*kaiser[\w:]+|\bup|\bALERTS|\bprocess_\w+)(\{[^}]*\})?", target["expr"])
            named = [(name, rest) for name, rest in selectors if not re.search(rf'"{name}"', target["expr"])]
            assert named, target["expr"]
            assert all(rest.startswith("{" + SCOPE) for _, rest in named), target["expr"]


@boards
def test_every_series_over_time_has_a_unit_or_counts_things(path: Path):
    for panel in read(path)["panels"]:
        if panel["type"] in ("timeseries", "stat"):
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


def test_the_units_of_charts_are_those_of_the_sensor_libraries():
    text = (FOLDER / "generator/quantities.py").read_text()
    shown = set(re.findall(r'^    \("[^"]+", "[^"]+", "([^"]+)"\),$', text, re.MULTILINE))
    libraries = (ROOT / "services/sensor/src/kaiser_sensor/libraries").glob("*.py")
    units = {unit for each in libraries for unit in re.findall(r'(?i)unit\w* = "([^"]+)"', each.read_text())}
    assert units
    assert units <= shown


@pytest.mark.parametrize("name", ["sensors", "zones", "devices", "actions"])
def test_rows_of_devices_and_sensors_lead_to_the_console(name: str):
    board = read(FOLDER / "dashboards" / f"{name}.json")
    assert {"type": "textbox", "name": "console"}.items() <= next(
        each for each in board["templating"]["list"] if each["name"] == "console"
    ).items()
    links = re.findall(r'"url": "(\$\{console\}/#/[^"]+)"', json.dumps(board))
    assert links
    pages = {"devices", "sensors", "actuators", "alarms"}
    assert {link.split("/")[2] for link in links} <= pages


def test_the_limits_of_alerts_are_lines_on_their_charts():
    rules = (ROOT / "deploy/prometheus/rules/alerts.yml").read_text()
    panels = {each["title"]: each for each in read(FOLDER / "dashboards/bus.json")["panels"]}
    for title, limit, rule in (
        (
            "Streams, how full",
            0.7,
            'stream:kaiser_ingest_stream_fill:ratio{stream=~"SENSORS|DEVICES|OUTBOX|AUDIT|FACTORY"} > 0.7',
        ),
        ("Consumers, lag", 5000, "consumer:kaiser_bus_consumer_pending_messages:max > 5000"),
        ("Consumers, oldest", 60, "consumer:kaiser_bus_consumer_oldest_seconds:max > 60"),
    ):
        defaults = panels[title]["fieldConfig"]["defaults"]
        assert defaults["thresholds"]["steps"][-1]["value"] == limit
        assert defaults["custom"]["thresholdsStyle"] == {"mode": "dashed"}
        assert rule in rules


@boards
def test_a_threshold_has_a_colour_from_a_value_on(path: Path):
    for panel in read(path)["panels"]:
        for step in panel.get("fieldConfig", {}).get("defaults", {}).get("thresholds", {}).get("steps", []):
            assert step["color"] in {"green", "red"}, panel["title"]
            assert step["value"] is None or step["value"] > 0, panel["title"]


def lost(given: Any, again: Any, place: str = "") -> Iterator[str]:
    """The parts of a value that the other one has not, by their place; what it has besides does not count."""
    if isinstance(given, dict) and isinstance(again, dict):
        for name, value in given.items():
            yield from lost(value, again.get(name, "nothing"), f"{place}.{name}")
    elif isinstance(given, list) and isinstance(again, list) and len(given) == len(again):
        for number, (one, other) in enumerate(zip(given, again, strict=True)):
            yield from lost(one, other, f"{place}[{number}]")
    elif given != again:
        yield f"{place}: {given!r} became {again!r}"


@boards
def test_grafanas_own_models_know_every_field_of_a_board_and_of_its_panels(path: Path):
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    board = read(path)
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))
    assert list(lost(board, again)) == []
    wrong = {**board, "panels": [{**board["panels"][0], "gridPoss": {}}]}
    assert list(lost(wrong, json.loads(JSONEncoder().encode(Dashboard.from_json(wrong))))), (
        "a misspelt field is noticed"
    )


def test_every_query_of_metrics_is_promql(tmp_path: Path, missing: Callable[..., Any]):
    program = shutil.which("promtool") or missing("prometheus", "promtool is not installed (Debian: prometheus)")
    queries = {target["expr"] for path in BOARDS for target in targets(read(path)) if "expr" in target}
    queries |= {each["expr"] for path in BOARDS for each in read(path)["annotations"].get("list", []) if "expr" in each}
    plain = [query.replace("$__rate_interval", "1m").replace("$__range", "10m") for query in sorted(queries)]
    rules = [{"record": f"kaiser:query:{number}", "expr": query} for number, query in enumerate(plain)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "boards", "rules": rules}]}))
    checked = subprocess.run([program, "check", "rules", file], capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert len(rules) > 60
