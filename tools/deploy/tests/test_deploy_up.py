"""`make up`: a port in use is told before anything is built, and a start that fails leaves no container."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kaiser_deploy.up import Published, published, without_effect

ROOT = Path(__file__).parents[3]
COMPOSE = (ROOT / "compose.yaml").read_text()
DOCKER = """#!/bin/sh
echo "$*" >> docker.log
case "$*" in
  "compose ps --quiet") cat running 2> /dev/null ;;
  "compose port "*) grep -x "$3" ours 2> /dev/null ;;
  "compose ps --all"*) printf 'nats running healthy 0\\nmigrate exited  1\\nnats-data exited  0\\n' ;;
  "compose logs "*) echo "the database is not there" ;;
  "compose up "*) exit "$(cat status)" ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with compose.yaml and a `docker` that notes what it is asked."""
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    (tmp_path / "bin").mkdir()
    docker = tmp_path / "bin" / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    (tmp_path / "status").write_text("0")
    return tmp_path


@pytest.fixture
def free(folder: Path) -> dict[str, str]:
    """Settings of which no port is in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    names = ("KAISER_MQTT_PORT", "KAISER_MQTT_TLS_PORT", "KAISER_HTTP_PORT", "KAISER_GRAFANA_PORT")
    return {name: str(20_000 + (number + place) % 10_000) for place, name in enumerate(names)}


@pytest.fixture
def taken() -> Iterator[str]:
    """A port that another program has."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield str(other.getsockname()[1])


def up(folder: Path, settings: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    command = [sys.executable, "-m", "kaiser_deploy", "--folder", str(folder / "secrets"), "up", "--", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KAISER_")}
    environment |= {**settings, "PATH": path}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def asked(folder: Path) -> list[str]:
    log = folder / "docker.log"
    return log.read_text().splitlines() if log.exists() else []


def test_the_ports_are_those_of_compose_yaml_with_the_settings_in_force():
    found = published(COMPOSE, {"KAISER_HTTP_PORT": "8080", "KAISER_MQTT_BIND": "0.0.0.0", "KAISER_MQTT_PORT": ""})
    assert {(each.service, each.host, each.port) for each in found} == {
        ("mosquitto", "0.0.0.0", "1883"),
        ("mosquitto", "127.0.0.1", "8883"),
        ("websocket-gateway", "127.0.0.1", "8080"),
        ("grafana", "127.0.0.1", "3000"),
    }
    assert Published("grafana", "3000", "127.0.0.1", "KAISER_GRAFANA_PORT", "3000") in found
    with_alerts = published(COMPOSE, {"COMPOSE_PROFILES": "factory,alerts"})
    assert {each.service for each in with_alerts} - {each.service for each in found} == {"alertmanager"}
    assert len(with_alerts) == COMPOSE.count("_PORT:-"), "no port of compose.yaml is missed"


def test_a_port_in_use_is_named_with_its_setting_before_anything_is_built(folder: Path, free, taken: str):
    done = up(folder, free | {"KAISER_HTTP_PORT": taken})
    assert done.returncode == 2
    start = f"kaiser: port {taken} (KAISER_HTTP_PORT, for websocket-gateway) is in use by another program, such as"
    assert done.stderr.startswith(start)
    assert "set KAISER_HTTP_PORT to a free port, such as KAISER_HTTP_PORT=" in done.stderr
    assert not any("compose up" in line for line in asked(folder))


def test_the_port_of_a_container_that_runs_already_is_its_own(folder: Path, free, taken: str):
    (folder / "ours").write_text("websocket-gateway\n")
    done = up(folder, free | {"KAISER_HTTP_PORT": taken}, "--scale", "sensor=3")
    assert done.returncode == 0, done.stderr
    assert "compose up --build --wait --detach --scale sensor=3" in asked(folder)


def test_ports_are_read_from_the_env_file_of_compose_too(folder: Path, free, taken: str):
    without = {name: value for name, value in free.items() if name != "KAISER_GRAFANA_PORT"}
    (folder / ".env").write_text(f'# own\nKAISER_GRAFANA_PORT="{taken}"\n')
    done = up(folder, without)
    assert (done.returncode, f"port {taken} (KAISER_GRAFANA_PORT" in done.stderr) == (2, True), done.stderr


def test_what_is_no_port_is_told(folder: Path, free):
    done = up(folder, free | {"KAISER_HTTP_PORT": "80a0"})
    assert (done.returncode, "KAISER_HTTP_PORT='80a0' is not a port" in done.stderr) == (2, True)


def test_a_start_that_fails_leaves_no_container_and_says_why(folder: Path, free):
    (folder / "status").write_text("1")
    done = up(folder, free)
    assert done.returncode == 1
    assert "the last lines of migrate:\nthe database is not there" in done.stderr
    assert "the last lines of nats" not in done.stderr
    assert "compose down" in asked(folder)
    assert "its containers are removed, the data stays" in done.stderr


def test_a_start_that_fails_beside_containers_that_run_takes_none_of_them_down(folder: Path, free):
    (folder / "status").write_text("1")
    (folder / "running").write_text("4711\n")
    assert up(folder, free).returncode == 1
    assert "compose down" not in asked(folder)


def test_a_misspelt_setting_is_refused_before_anything_is_started(folder: Path, free):
    done = up(folder, free | {"KAISER_SIET": "god"})
    assert (done.returncode, done.stderr) == (2, "kaiser: KAISER_SIET is no setting: did you mean KAISER_SITE?\n")
    assert not (folder / "docker.log").exists()
    assert up(folder, free | {"KAISER_SITE": "god", "KAISER_TEST_FORK": "0"}).returncode == 0


def test_a_wrong_time_zone_is_refused_before_anything_is_started(folder: Path, free):
    done = up(folder, free | {"KAISER_TIME_ZONE": "Europe/Berln"})
    said = "kaiser: KAISER_TIME_ZONE='Europe/Berln' is no time zone of the IANA: is it Europe/Berlin?\n"
    assert (done.returncode, done.stderr) == (2, said)
    assert not (folder / "docker.log").exists()


def test_the_standard_library_alone_is_needed(folder: Path):
    sources = os.pathsep.join(str(ROOT / part) for part in ("tools/deploy/src", "libs/common/src"))
    command = [sys.executable, "-S", "-m", "kaiser_deploy", "--folder", str(folder / "secrets"), "secrets"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": sources}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_setting_that_reaches_no_container_is_named_and_nothing_else(folder: Path, free: dict[str, str]):
    reaching = {"KAISER_COMPAT": "1", "KAISER_OIDC_ISSUER": "https://id.example", "KAISER_AUDIT_RETENTION_DAYS": "30"}
    ended = up(folder, free | reaching | {"KAISER_SENSOR_BATCH": "500", "KAISER_URL": "http://127.0.0.1:8000"})
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == "kaiser: KAISER_SENSOR_BATCH reaches no container, docs/containers.md says how it can\n"
    (folder / "compose.override.yaml").write_text("services: {sensor: {environment: {KAISER_SENSOR_BATCH: null}}}\n")
    assert up(folder, free | reaching | {"KAISER_SENSOR_BATCH": "500"}).stderr == ""


def test_a_secret_or_an_address_that_compose_fixes_is_not_passed_on():
    fixed = {"KAISER_OIDC_CLIENT_SECRET": "x", "KAISER_HTTP_HOST": "::", "KAISER_NATS_USER": "x"}
    assert without_effect(fixed | {"KAISER_HTTP_PORT": "80"}, COMPOSE) == sorted(fixed)
