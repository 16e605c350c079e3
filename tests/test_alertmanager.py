"""Alertmanager as compose starts it: its files are valid, and an alert reaches the example receiver."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from receivers import HttpReceiver, http_receiver

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy/alertmanager"
FILES = sorted(FOLDER.glob("*.yml"))
CRITICAL = {
    "labels": {"alertname": "KaiserIngestDown", "severity": "critical", "namespace": "kaiser", "site": "god"},
    "annotations": {"summary": "No process of ingest answers."},
}
STUCK = {"labels": {**CRITICAL["labels"], "alertname": "KaiserConsumerStuck"}}


def program(name: str, missing: Callable[..., Any]) -> str:
    return shutil.which(name) or missing("prometheus", f"{name} is not installed (Debian: prometheus-alertmanager)")


@pytest.fixture
def alertmanager(
    tmp_path: Path, free_port: Callable[[], int], missing: Callable[..., Any]
) -> Iterator[tuple[str, HttpReceiver]]:
    """Alertmanager with the example receiver, whose address leads here, and what was posted there."""
    command = program("prometheus-alertmanager", missing)
    with http_receiver() as receiver:
        where = receiver.url.replace("json://", "http://")
        text = (FOLDER / "alertmanager-webhook.yml").read_text()
        assert "url_file: /tmp/webhook-url" in text
        config = tmp_path / "alertmanager.yml"
        config.write_text(
            text.replace("url_file: /tmp/webhook-url", f"url: {where}").replace("group_wait: 5s", "group_wait: 1s")
        )
        port = free_port()
        process = subprocess.Popen(
            [
                command,
                f"--config.file={config}",
                f"--storage.path={tmp_path}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ],
            stderr=subprocess.DEVNULL,
        )
        try:
            yield f"http://127.0.0.1:{port}", receiver
        finally:
            process.terminate()
            process.wait(60)


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            if found := condition():
                return found
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"not within 90 s: {what}")


def test_an_alert_reaches_the_example_receiver_and_what_follows_from_it_does_not(alertmanager):
    url, receiver = alertmanager
    until(lambda: httpx.get(f"{url}/-/ready", timeout=5).is_success, "Alertmanager answers")
    httpx.post(f"{url}/api/v2/alerts", json=[STUCK, CRITICAL], timeout=30).raise_for_status()
    posted = until(lambda: receiver.taken, "a post to the receiver")
    names = {alert["labels"]["alertname"] for body in posted for alert in body["alerts"]}
    assert names == {"KaiserIngestDown"}, "KaiserConsumerStuck follows from it"
    assert posted[0]["alerts"][0]["annotations"]["summary"] == "No process of ingest answers."


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_alertmanager_accepts_its_files(path: Path, tmp_path: Path, missing: Callable[..., Any]):
    checked = tmp_path / path.name
    checked.write_text(path.read_text().replace("url_file: /tmp/webhook-url", "url: http://127.0.0.1/"))
    done = subprocess.run(
        [program("amtool", missing), "check-config", str(checked)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_starts_it_with_one_of_the_files_and_prometheus_finds_it_by_name():
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["alertmanager"]
    [command] = service["command"]
    names = {path.name for path in FILES}
    assert names == {"alertmanager.yml", "alertmanager-webhook.yml"}
    assert "/etc/alertmanager/alertmanager$${KAISER_ALERT_WEBHOOK:+-webhook}.yml" in command
    assert {f"./deploy/alertmanager/{name}:/etc/alertmanager/{name}:ro" for name in names} < set(service["volumes"])
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    [found] = config["alerting"]["alertmanagers"]
    assert found["dns_sd_configs"] == [{"names": ["alertmanager"], "type": "A", "port": 9093}]


def test_every_alert_that_is_held_back_is_one_that_there_is():
    config = yaml.safe_load((FOLDER / "alertmanager-webhook.yml").read_text())
    rules = "".join(path.read_text() for path in (ROOT / "deploy/prometheus/rules").glob("*.yml"))
    for rule in config["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            for name in matcher.partition('"')[2].strip('"').split("|"):
                assert f"- alert: {name}\n" in rules, name
