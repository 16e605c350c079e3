"""The files for Prometheus and Grafana, tried on a running stack: metrics are there, panels show data."""

import json
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import forked
import httpx
import psycopg
import pytest
import yaml
from auditing import audited
from esp32 import Device
from harness import ROOT, Message, Stack, reading, wait_until
from kaiser_factory_dialect.recordings import parse_file
from kaiser_stack import mosquitto
from kaiser_stack.process import Child, Program
from websockets.sync.client import connect

pytestmark = pytest.mark.timeout(400)  # its first test waits for a stack, a Prometheus and a rule that waters

PROMETHEUS = ROOT / "deploy/prometheus"
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
FOREIGN = ("node_", "kubelet_", "prometheus_")
"""Metrics of other programs' exporters."""
OF_PROMETHEUS = {"up", "ALERTS"}
WHERE = {"namespace": "here", "site": "god"}
"""The labels of every target, as prometheus.yml and a ServiceMonitor give them."""
VARIABLES = {"$namespace": "here", "$site": "god", "$zone": "east"}
"""The choices on the dashboards; $esp_id is the device that speaks."""


class Observed:
    """A stack with traffic, and a Prometheus that scrapes it by the shipped rules."""

    def __init__(self, stack: Stack, url: str) -> None:
        self.stack = stack
        self.url = url
        self.esp_id = ""
        self.diagnosis = doctor(stack)

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expr}, timeout=60, verify=False)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["data"]["result"])

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.stack.addresses["database_url"], connect_timeout=5) as connection:
            return connection.execute(sql).fetchall()

    @cached_property
    def declared(self) -> set[str]:
        """The name of every series that any service declares."""
        found: set[str] = set()
        for port in self.stack.addresses["metrics_ports"].values():
            text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60, verify=False).text
            for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
                suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
                found |= {f"{name}{suffix}" for suffix in suffixes}
        return found


def doctor(stack: Stack) -> subprocess.CompletedProcess[str]:
    """The doctor's findings about a stack now."""
    # Ports of 0 are for the stack to choose; the doctor finds the ones in use by the state folder.
    environment = {name: value for name, value in stack.environment.items() if not name.endswith("_PORT")}
    return forked.run(["kaiser-doctor", "--quiet"], env=environment, timeout=60)


def scrape_config(stack: Stack, folder: Path) -> Path:
    """The shipped configuration with this stack's ports in place of the names of compose, and a second's patience."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(PROMETHEUS / "rules/*.yml")]
    [kaiser] = [job for job in config["scrape_configs"] if job["job_name"] == "kaiser"]
    del kaiser["dns_sd_configs"], kaiser["relabel_configs"]
    ports = stack.addresses["metrics_ports"]
    kaiser["static_configs"] = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"service": name, **WHERE}} for name, port in ports.items()
    ]
    config["scrape_configs"] = [kaiser]
    del config["alerting"]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
def observed(server_folder: Path, free_port: Callable[[], int], missing: Callable[..., Any]) -> Iterator[Observed]:
    """A whole stack with Mosquitto, traffic of every kind that the panels show, and Prometheus."""
    program = shutil.which("prometheus") or missing("prometheus", "prometheus is not installed")
    if not mosquitto.is_installed():
        missing("mosquitto", "mosquitto is not installed")
    folder = server_folder / f"observed-{secrets.token_hex(3)}"
    folder.mkdir()
    stack = Stack(folder / "stack", KAISER_MQTT_BROKER="mosquitto", KAISER_MQTT_DIALECTS='["esp", "factory"]')
    stack.start()
    port = free_port()
    command = (
        program,
        f"--config.file={scrape_config(stack, folder)}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    child = Child(Program("prometheus", command), folder / "prometheus.log")
    try:
        seen = Observed(stack, f"http://127.0.0.1:{port}")
        wait_until(lambda: ready(seen.url), "Prometheus answers")
        services = len(stack.addresses["metrics_ports"])
        wait_until(lambda: len(seen.query("up == 1")) == services, "Prometheus reaches every service")
        make_traffic(seen)
        yield seen
    finally:
        child.stop()
        stack.stop()


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", timeout=2, verify=False).status_code == 200
    except httpx.HTTPError:
        return False


def make_traffic(seen: Observed) -> None:
    """A little of all that can happen, and once the broker dies."""
    stack = seen.stack
    stack.control("kill", "mosquitto")
    wait_until(lambda: not reachable(stack), "ingest has lost the broker", 60.0)
    stack.control("start", "mosquitto")
    wait_until(lambda: reachable(stack), "ingest has the new broker", 60.0)
    [esp_id] = stack.register(1)
    seen.esp_id = esp_id
    now_ms = int(time.time() * 1000)
    device = f"kaiser/god/esp/{esp_id}"
    heartbeat = {"esp_id": esp_id, "ts": now_ms // 1000, "uptime": 3600, "heap_free": 45_000, "wifi_rssi": -45}
    error = {"error_code": 1002, "severity": "error", "message": "GPIO_CONFLICT", "ts": now_ms // 1000}
    messages = [reading(esp_id, 4, now_ms - number * 1000, 20.0 + number) for number in range(50)]
    messages += [
        Message(f"{device}/system/heartbeat", json.dumps({**heartbeat, "ts": now_ms // 1000 - n}).encode())
        for n in (60, 0)
    ]
    messages += [Message(f"{device}/system/error", json.dumps(error).encode())]
    messages += [Message(f"{device}/sensor/4/data", b"{")] * 3
    with stack.sign_in() as rest, watching(stack, rest), watching(stack, rest):
        stack.publish(messages)
        zone = rest.post(f"/api/v1/esp/devices/{esp_id}/zone", json={"zone_id": "north"})
        assert zone.status_code == 202, zone.text
        ack = {"esp_id": esp_id, "status": "zone_assigned", "zone_id": "north", "ts": int(time.time())}
        stack.publish([Message(f"{device}/zone/ack", json.dumps(ack).encode())])
        wait_until(lambda: stack.rows([esp_id]) == 50, "the readings are stored")
        rest.get("/api/v1/rejected").raise_for_status()
        stack.publish([reading(esp_id, 4, now_ms + 1000 + number, 20.0) for number in range(50)])
        wait_until(lambda: stack.rows([esp_id]) == 100, "more readings are stored")
    act(stack, esp_id)
    produce(stack)


def produce(stack: Stack) -> None:
    """A recorded production of the factory, and a command of which nothing answers."""
    session = parse_file("factory-session.jsonl", (ROOT / "tests/golden/factory-session.jsonl").read_bytes())
    stack.publish([Message(each.topic, each.payload) for each in session.messages])
    with stack.sign_in() as rest:

        def finished() -> bool:
            return bool(rest.get("/api/v1/factory/orders", params={"state": "FINISHED"}).json().get("items"))

        wait_until(finished, "the factory has finished an order")
        sent = rest.post("/api/v1/factory/steering", json={"do": "park"}).raise_for_status().json()
        entry = audited(rest, "steer_factory", "park")
        assert (entry["service"], entry["actor"], entry["outcome"]) == ("factory", "admin", "done")
        assert entry["after"]["commands"] == [
            {name: value for name, value in command.items() if value is not None} for command in sent["commands"]
        ]
        assert sent["commands"]


def touch(stack: Stack, esp_id: str) -> None:
    """A moment's traffic: a series that was born a minute ago has a rate only after it has changed."""
    odd = {"serialNumber": "SVR3QA2098", "orderId": 0, "actionState": {"id": secrets.token_hex(8), "state": "WAITIING"}}
    stack.publish(
        [
            reading(esp_id, 4, int(time.time() * 1000), 20.0),
            Message("module/v1/ff/SVR3QA2098/state", json.dumps(odd).encode()),
        ]
    )
    with stack.sign_in() as rest:
        rest.get("/api/v1/esp/devices").raise_for_status()


def act(stack: Stack, esp_id: str) -> None:
    """The greenhouse of `make demo`, until a rule of it has watered; an emergency stop; an alert of a device."""
    forked.run(["kaiser-demo", "load"], cwd=ROOT, env=stack.environment, check=True, timeout=90)
    alert = {"esp_id": esp_id, "gpio": 5, "alert_type": "overrun", "message": "too long", "ts": int(time.time() * 1000)}
    stack.publish([Message(f"kaiser/god/esp/{esp_id}/actuator/5/alert", json.dumps(alert).encode())])
    with stack.sign_in() as rest, Device(stack, esp_id) as device:
        device.on[5] = False  # it reports this actuator, so it confirms the clear

        def watered() -> bool:
            found = rest.get("/api/v1/logic/executions", params={"outcome": "succeeded"}).json()
            return bool(found.get("items"))

        wait_until(watered, "a rule of the greenhouse has fired", 120.0)
        stop = {"esp_id": esp_id, "reason": "a test"}
        rest.post("/api/v1/actuators/emergency_stop", json=stop).raise_for_status()
        rest.post("/api/v1/actuators/clear_emergency", json={"esp_id": esp_id}).raise_for_status()


def reachable(stack: Stack) -> bool:
    port = stack.addresses["metrics_ports"]["ingest"]
    return (
        "\nkaiser_ingest_connected 1.0" in httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60, verify=False).text
    )


def is_ready(stack: Stack, service: str) -> bool:
    """Whether a service says so on its page."""
    try:
        url = f"http://127.0.0.1:{stack.addresses['metrics_ports'][service]}/readyz"
        return httpx.get(url, timeout=10, verify=False).status_code == 200
    except httpx.HTTPError:
        return False


def watching(stack: Stack, rest: httpx.Client) -> Any:
    """A WebSocket client; a second one with the same id takes its place."""
    token = rest.headers["Authorization"].removeprefix("Bearer ")
    host = stack.addresses["http_url"].removeprefix("http://")
    return connect(f"ws://{host}/api/v1/ws/realtime/observer?token={token}", open_timeout=60)


def rules() -> list[dict[str, Any]]:
    files = (PROMETHEUS / "rules").glob("*.yml")
    return [rule for path in files for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def chosen(text: str) -> str:
    """A query with the variables of its dashboard."""
    for name, value in VARIABLES.items():
        text = text.replace(name, value)
    return text


def queries(kind: str) -> list[Any]:
    """Every query of every dashboard to one kind of data source, with a readable id and whether it may be empty: its
    panel says so itself."""
    found = []
    for path in DASHBOARDS:
        board = json.loads(path.read_text())
        for panel in board["panels"]:
            may_be_empty = "noValue" in panel.get("fieldConfig", {}).get("defaults", {})
            for target in panel["targets"]:
                if target["datasource"]["type"] == kind:
                    text = chosen(target.get("expr") or target.get("rawSql"))
                    place = f"{path.stem}: {panel['title']} {target['refId']}"
                    found.append(pytest.param(text, may_be_empty, id=place))
        for variable in board["templating"].get("list", []):
            if kind != "prometheus" and variable.get("datasource", {}).get("type") == kind:
                found.append(pytest.param(variable["query"], False, id=f"{path.stem}: ${variable['name']}"))
    return found


def names_in(expr: str) -> set[str]:
    """The metrics that an expression reads; recording rules have a colon and are no metric."""
    bare = re.sub(r'"[^"]*"', "", expr)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", "", bare)
    words = re.findall(r"(?<![\w:$])([a-zA-Z_:][\w:]*)(?![\w:]*\s*\()", re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare))
    known = {"and", "or", "unless", "bool", "offset"}
    return {word for word in words if ":" not in word and word not in known and not word.startswith(FOREIGN)}


@pytest.mark.parametrize(
    ("expr", "names"),
    [
        (
            'sum by (code) (rate(kaiser_a_total{up="b"}[5m])) / on (x) group_left (y) kaiser_b',
            {"kaiser_a_total", "kaiser_b"},
        ),
        ("max(kaiser_c_bucket) or vector(0) unless stage:kaiser_d:max > 0", {"kaiser_c_bucket"}),
        ("deriv(consumer:x:max[5m]) > 0 and node_e / up == 1", {"up"}),
    ],
)
def test_metrics_are_found_in_expressions(expr: str, names: set[str]) -> None:
    assert names_in(expr) == names


def expand(sql: str, esp_id: str) -> str:
    """Grafana's macros, as it writes them for PostgreSQL, for an hour in buckets of ten seconds."""
    sql = re.sub(
        r"\$__timeFilter\((\w+)\)", r"\1 BETWEEN now() - interval '1 hour' AND now() + interval '1 minute'", sql
    )
    sql = re.sub(r"\$__timeGroupAlias\((\w+), \$__interval\)", r'floor(extract(epoch from \1)/10)*10 AS "time"', sql)
    sql = sql.replace("$esp_id", esp_id)
    assert "$" not in sql, f"a macro that nobody has explained: {sql}"
    return sql


@pytest.mark.parametrize(
    "expr",
    [*(rule["expr"] for rule in rules()), *(parameter.values[0] for parameter in queries("prometheus"))],
)
def test_every_metric_in_use_is_declared_by_a_service(observed: Observed, expr: str) -> None:
    assert names_in(expr) - OF_PROMETHEUS - observed.declared == set()


@pytest.mark.parametrize(("expr", "may_be_empty"), queries("prometheus"))
def test_every_panel_of_prometheus_shows_data(observed: Observed, expr: str, may_be_empty: bool) -> None:
    asked = expr.replace("$__rate_interval", "1m").replace("$__range", "10m")
    assert "$" not in asked

    def figures() -> list[float]:
        found = [value for each in observed.query(asked) if (value := float(each["value"][1])) == value]
        if not found:
            touch(observed.stack, observed.esp_id)
        return found

    if may_be_empty:
        observed.query(asked)
    else:
        wait_until(figures, f"{asked} gives a number")


@pytest.mark.parametrize(("sql", "may_be_empty"), queries("grafana-postgresql-datasource"))
def test_every_panel_of_the_database_shows_data(observed: Observed, sql: str, may_be_empty: bool) -> None:
    asked = expand(sql, observed.esp_id)
    if may_be_empty:
        observed.rows(asked)
    else:
        wait_until(lambda: observed.rows(asked), f"rows of {sql}")


def test_the_zones_of_the_greenhouse_show_their_temperatures_with_devices_and_sensors_by_name(
    observed: Observed,
) -> None:
    board = json.loads((ROOT / "deploy/grafana/dashboards/zones.json").read_text())
    [panel] = [each for each in board["panels"] if each["title"] == "Temperature in $zone"]
    assert panel["fieldConfig"]["defaults"]["unit"] == "celsius"
    sql = expand(chosen(panel["targets"][0]["rawSql"]), "")
    shown = {str(row[1]) for row in wait_until(lambda: observed.rows(sql), "temperatures of the zone east")}
    assert any(name.startswith("Climate east: ") for name in shown), shown


def test_no_alert_fires_on_a_healthy_stack(observed: Observed) -> None:
    wait_until(lambda: observed.query("kaiser:ingest_received_messages:rate1m"), "the rules are evaluated")

    def firing() -> set[str]:
        return {each["metric"]["alertname"] for each in observed.query('ALERTS{alertstate="firing"}')}

    wait_until(lambda: "KaiserEmergencyActive" not in firing(), "the stop of a moment ago, now cleared, is no alert")
    # The broker was killed on purpose, and three of a few messages were no JSON.
    assert firing() <= {"KaiserMqttSessionLost", "KaiserRejectsMany"}


def test_a_standing_rule_group_has_no_errors(observed: Observed) -> None:
    groups = httpx.get(f"{observed.url}/api/v1/rules", timeout=60, verify=False).json()["data"]["groups"]
    states = wait_until(
        lambda: {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}, "rules are listed"
    )
    assert set(states.values()) <= {"ok", "unknown"}, states


def test_the_doctor_finds_nothing_red_on_a_fresh_stack(observed: Observed) -> None:
    assert observed.diagnosis.returncode == 0, observed.diagnosis.stdout + observed.diagnosis.stderr
    assert observed.diagnosis.stdout.rstrip().endswith("0 red")


def test_the_doctor_names_a_service_that_is_down(observed: Observed) -> None:
    observed.stack.control("stop", "sensor")
    try:
        found = doctor(observed.stack)
    finally:
        observed.stack.control("start", "sensor")
    wait_until(lambda: is_ready(observed.stack, "sensor"), "sensor is ready again for the other tests")
    assert found.returncode == 1
    assert "red     service sensor: no process answers: what it consumes waits" in found.stdout


def test_the_dashboards_are_what_the_generator_writes(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "deploy/grafana/generator"), str(tmp_path)]
    subprocess.run(command, check=True, timeout=60)
    made = {path.name: path.read_text() for path in tmp_path.glob("*.json")}
    assert made == {path.name: path.read_text() for path in DASHBOARDS}
